"""AWS, as the registry knows it. The SDK and CDK Terrain are loaded when they are first needed."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from beta9_provisioning.clouds.aws import (
    earlier,
    kubeconfig,
    limits,
    load_balancer_values,
    permissions,
    rules,
)
from beta9_provisioning.clouds.aws.api_networks import api_networks
from beta9_provisioning.clouds.aws.choices import Choices, GivenNetwork, Zone
from beta9_provisioning.clouds.aws.of_cluster import chosen_cluster
from beta9_provisioning.clouds.aws.provider import SCHEMA_FILE
from beta9_provisioning.clouds.aws.terraform_rules import RULES
from beta9_provisioning.clouds.aws.terraform_variables import TERRAFORM_VARIABLES
from beta9_provisioning.engine.beta9.platform import Ingress, Platform, Shared, StorageClass
from beta9_provisioning.engine.errors import NotSupported
from beta9_provisioning.engine.synthesis.subject import Subject
from beta9_provisioning.engine.synthesis.synthesize import Backend
from beta9_provisioning.schemas.configuration import Cloud as CloudSection
from beta9_provisioning.schemas.configuration import EnvironmentConfig, Path

if TYPE_CHECKING:
    from constructs import Construct

    from beta9_provisioning.clouds.cloud import Account, Simulation, WorkerProblem
    from beta9_provisioning.engine.beta9.platform import SharedCluster
    from beta9_provisioning.engine.helm.release import Release
    from beta9_provisioning.engine.kubernetes.access import ClusterAccess
    from beta9_provisioning.engine.synthesis.bindings import Stack
    from beta9_provisioning.engine.terraform.errors import Rule
    from beta9_provisioning.settings import Settings

_HELD_BY_INTERFACES = frozenset({"aws_vpc", "aws_subnet", "aws_internet_gateway", "aws_security_group"})
_ACCESS = frozenset({"aws_eks_access_entry.provisioner", "aws_eks_access_policy_association.provisioner"})
_SAMPLE_ACCOUNT = "000000000000"
# Only nodes need it. Not that of EKS Pod Identity (169.254.170.23), which wants a token of the pod's own.
_INSTANCE_METADATA = "169.254.169.254/32"
_ZONES = ((1, "a"), (2, "b"), (4, "c"))


class Aws:
    """AWS; see `clouds.cloud.Cloud` for what each member is."""

    provider_schema = SCHEMA_FILE
    child_variables: tuple[str, ...] = TERRAFORM_VARIABLES
    terraform_rules: Sequence[Rule] = RULES
    nodes_remedy = "Look at the node group's health in EKS, and at its instances' limits in EC2."

    def published_policies(self) -> Mapping[str, Mapping[str, Any]]:
        return permissions.policies()

    def field_fault(self, name: str, value: str) -> str | None:
        """Return what is wrong with a field of a configuration's `cloud` that is AWS's; or None."""
        return rules.account_fault(value) if name == "account_id" else None

    def section_faults(self, section: CloudSection) -> Mapping[str, str]:
        """Return what is wrong with the role of a configuration, and with the region for this role."""
        fault = rules.role_fault(section.role_arn or "", section.account_id or "", section.region)
        if fault is not None:
            return {"role_arn": fault}
        fault = rules.region_fault(section.region, section.role_arn or "")
        return {} if fault is None else {"region": fault}

    def other_faults(self, config: EnvironmentConfig) -> Mapping[Path, str]:
        """Return what EKS, IAM, RDS and S3 would refuse minutes later."""
        return limits.faults(config)

    def check_supported(self, config: EnvironmentConfig) -> None:
        """Raise `NotSupported` for GPUs."""
        if config.beta9.workers.gpu_enabled:
            raise NotSupported(
                "beta9.workers.gpu_enabled is not supported yet.",
                detail="The node group has no GPU nodes.",
                remedy="Leave out beta9.workers.gpu_enabled and beta9.workers.gpu_type.",
            )

    def node_count(self, choices: Mapping[str, Any]) -> int:
        """Return how many nodes the node groups start with; of a cluster of the user's one must be ready."""
        made = Choices.model_validate(choices)
        groups = [group for group in (made.nodes, made.system) if group]
        return sum(group.desired for group in groups) or 1

    def shared_cluster(self, choices: Mapping[str, Any] | None) -> SharedCluster | None:
        """Return the EKS cluster that is the user's own, if choices name one."""
        return chosen_cluster(choices)

    def access_addresses(self, choices: Mapping[str, Any] | None) -> frozenset[str]:
        """Return the addresses of the worker's access entry; in a cluster of the user's it is the user's."""
        return frozenset() if chosen_cluster(choices) else _ACCESS

    def earlier_choices(self, config: EnvironmentConfig) -> dict[str, Any]:
        """Return the zones by letter, the versions and the sizes of 0.2 and before."""
        return earlier.choices(config).model_dump(mode="json")

    def check_reach(self, config: EnvironmentConfig, workers_from: Sequence[str]) -> None:
        """Raise `ApiUnreachable` when neither user nor operator names a network for the Kubernetes API.

        Who reaches that of a cluster of the user's is looked at when it is chosen.
        """
        if not config.cluster.use_existing:
            api_networks(config, workers_from)

    def cluster_ready_addresses(self, choices: Mapping[str, Any]) -> frozenset[str]:
        """Return the addresses of cluster, nodes, the worker's access and the CNI; a user's has none."""
        made = Choices.model_validate(choices)
        if made.cluster is not None:
            return frozenset()
        system = made.system
        return _ACCESS | {
            "aws_eks_cluster.main",
            "aws_eks_node_group.main",
            "aws_eks_addon.vpc_cni",
            # Pods get a role only if it was there when they started.
            "aws_eks_addon.eks_pod_identity_agent",
            "aws_eks_pod_identity_association.load_balancing",
            *(["aws_eks_node_group.system"] if system else []),
        }

    def platform(self, config: EnvironmentConfig) -> Platform:
        """Return EBS volumes, network load balancers and S3, as the charts use them."""
        key = config.cloud.kms_key_arn
        endpoint = f"s3.{config.cloud.region}.{rules.domain_of(config.cloud.region)}"
        return Platform(
            storage_class=StorageClass(
                name="gp3",
                provisioner="ebs.csi.aws.com",
                parameters={"type": "gp3", "encrypted": "true", **({"kmsKeyId": key} if key else {})},
            ),
            load_balancer_annotations=load_balancer_values.annotations(config.network),
            object_store_url=f"https://{endpoint}",
            bucket_url=lambda bucket: f"https://{bucket}.{endpoint}",
        )

    def platform_of(
        self, config: EnvironmentConfig, environment_id: str, choices: Mapping[str, Any]
    ) -> Platform:
        """Return the same; in a cluster of the user's with its storage class and what was found there."""
        platform, cluster = self.platform(config), Choices.model_validate(choices).cluster
        if cluster is None:
            return platform
        found = Ingress(**cluster.ingress.model_dump()) if cluster.ingress else None
        return replace(
            platform,
            storage_class=StorageClass(cluster.storage_class, is_found=True),
            load_balancer_annotations={
                **platform.load_balancer_annotations,
                **load_balancer_values.ownership(config, environment_id),
            },
            shared=Shared(frozenset(cluster.charts), found),
        )

    def guarded_networks(self, choices: Mapping[str, Any]) -> Sequence[str]:
        """Return the data subnets, which environments of earlier releases lack, and the instance metadata."""
        network = Choices.model_validate(choices).network
        stores = network.data_cidrs if isinstance(network, GivenNetwork) else network.data
        return (*stores, _INSTANCE_METADATA)

    def first_releases(
        self, config: EnvironmentConfig, environment_id: str, access: ClusterAccess
    ) -> Sequence[Release]:
        """Return the AWS Load Balancer Controller, whose webhook is asked about every Service."""
        return (load_balancer_values.controller(config, environment_id, access),)

    def is_deleted_last(self, type_: str) -> bool:
        """Return whether it is of a network, which interfaces may hold, or of a bucket."""
        return type_ in _HELD_BY_INTERFACES or type_.startswith("aws_s3_bucket")

    def add_stack(self, scope: Construct, id_: str, subject: Subject) -> Stack:
        """Return the Terraform stack of an environment, with its state in S3."""
        from beta9_provisioning.clouds.aws.stack.root import aws_stack  # noqa: PLC0415  starts Node.js

        return aws_stack(scope, id_, subject)

    def bare_stack(self, place: CloudSection, environment_id: str, backend: Backend) -> Mapping[str, Any]:
        """Return the provider, as the role of the configuration, and the state in S3."""
        from beta9_provisioning.clouds.aws.stack.bare import bare_stack  # noqa: PLC0415  reads the schema

        return bare_stack(place, environment_id, backend.arguments)

    def sample(self) -> Subject:
        """Return an environment that nobody wants."""
        role = f"arn:aws:iam::{_SAMPLE_ACCOUNT}:role/{rules.ROLE_NAME}"
        cloud = {"provider": "aws", "region": "us-east-1", "account_id": _SAMPLE_ACCOUNT, "role_arn": role}
        document = {"name": "sample", "cloud": cloud, "beta9": {"domain": "sample.example"}}
        state = {"bucket": "sample", "key": "terraform.tfstate", "region": "us-east-1", "role_arn": role}
        config = EnvironmentConfig.model_validate(document)
        zones = tuple(Zone(id=f"use1-az{number}", name=f"us-east-1{letter}") for number, letter in _ZONES)
        choices = Choices.first(config, zones).model_dump(mode="json")
        return Subject(config, "env_0000000000000000", choices, Backend(state), ("192.0.2.0/24",))

    def open_account(
        self, place: CloudSection, environment_id: str, *, settings: Settings, stop: threading.Event
    ) -> Account:
        """Return the account of an environment, as the role of the configuration."""
        from beta9_provisioning.clouds.aws.account import AwsAccount, AwsTarget  # noqa: PLC0415  loads the SDK

        target = AwsTarget(
            environment_id=environment_id,
            account_id=place.account_id or "",
            region=place.region,
            role_arn=place.role_arn or "",
            external_id=place.external_id,
            s3_path_style=settings.s3_path_style,
            role_path=place.role_path,
            boundary=place.permissions_boundary_arn,
        )
        return AwsAccount(target, stop)

    def user_kubeconfig(self, section: CloudSection, outputs: Mapping[str, Any]) -> str:
        """Return a kubeconfig whose users become the role of the configuration."""
        assert section.role_arn is not None
        return kubeconfig.user_kubeconfig(
            cluster_name=outputs["cluster_name"],
            endpoint=outputs["cluster_endpoint"],
            certificate_authority=outputs["cluster_ca"],
            region=section.region,
            role_arn=section.role_arn,
            external_id=section.external_id,
        )

    def user_credential(
        self, *, cluster: str, region: str, principal: str, external_id: str | None
    ) -> dict[str, object]:
        """Return a token of the role `principal` for an EKS cluster."""
        from beta9_provisioning.clouds.aws import user_token  # noqa: PLC0415  needs httpx

        return user_token.user_credential(
            cluster=cluster, region=region, role_arn=principal, external_id=external_id
        )

    def simulation(self, region: str) -> Simulation:
        """Return what the endpoint is, as EKS's clients find it."""
        from beta9_provisioning.clouds.aws import simulation  # noqa: PLC0415  loads the SDK

        return simulation.ask(simulation.endpoint(region))

    def worker_problems(self) -> Sequence[WorkerProblem]:
        """Return what is wrong with the worker's own AWS credentials."""
        from beta9_provisioning.clouds.aws import own_identity  # noqa: PLC0415  loads the SDK

        return own_identity.problems()

    def preload(self) -> None:
        """Load the SDK, and its descriptions of the services that are asked."""
        from beta9_provisioning.clouds.aws import account, service_models  # noqa: F401, PLC0415

        service_models.preload()
