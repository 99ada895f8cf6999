"""The configuration a user posts: what an environment shall be.

Everything but `name`, `cloud` and `beta9.domain` has a default. The models are strict about shape
(unknown fields and wrong types are refused) and know no settings: which regions an installation
allows is checked by `environments.rules`. What a provider demands of its own fields is checked only where a
configuration comes in: there the context of the validation is a `Rules`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from ipaddress import IPv4Network
from typing import Annotated, Any, Protocol, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from beta9_provisioning.schemas.field_types import (
    AdminArn,
    Cidr,
    Domain,
    KeyArn,
    LabelKey,
    LabelValue,
    Name,
    NetworkCidr,
    PolicyArn,
    ServiceCidr,
    SubnetId,
    TagKey,
    TagValue,
    VpcId,
    ZoneId,
)

CONFIG_VERSION = 3
"""Version of the configurations that this release writes, and the latest one that it can carry out.

It goes up by one when a field is added: workers of before refuse fields that they do not know.
"""


class Section(BaseModel):
    """Base of every section: unknown fields are refused, values are not coerced."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True)

    def changed(self, *names: str) -> list[str]:
        """Return which of these fields are not as they are when nobody says anything of them."""
        fields = type(self).model_fields
        return [
            name
            for name in names
            if getattr(self, name) != fields[name].get_default(call_default_factory=True)
        ]


class Provider(StrEnum):
    """Clouds an environment can live in."""

    AWS = "aws"
    GCP = "gcp"


class Size(StrEnum):
    """T-shirt size of a cluster or a data store."""

    SMALL = "small"
    MEDIUM = "medium"
    LARGE = "large"


class TaintEffect(StrEnum):
    """Effect of a node taint, spelled as Kubernetes spells it."""

    NO_SCHEDULE = "NoSchedule"
    PREFER_NO_SCHEDULE = "PreferNoSchedule"
    NO_EXECUTE = "NoExecute"


class Nat(StrEnum):
    """How many NAT gateways carry what leaves the private subnets."""

    SINGLE = "single"
    PER_ZONE = "per_zone"


class Capacity(StrEnum):
    """How the nodes of Beta9's workers are bought."""

    ON_DEMAND = "on_demand"
    SPOT = "spot"


class OnDelete(StrEnum):
    """What becomes of a store's contents when its environment is deleted."""

    DELETE = "delete"
    REFUSE = "refuse"


Path = tuple[int | str, ...]
"""Where something is in a configuration, such as `("cluster", "node_taints", 0, "key")`."""


class Rules(Protocol):
    """What providers demand of a configuration."""

    def field_fault(self, name: str, value: str) -> str | None:
        """Return what is wrong with one field that belongs to a provider; or None."""

    def section_faults(self, section: Cloud) -> Mapping[str, str]:
        """Return what is wrong with the section as a whole, by field."""

    def other_faults(self, config: EnvironmentConfig) -> Mapping[Path, str]:
        """Return what the configuration's provider would refuse outside of `cloud`."""


def _refuse(section: str, messages: Mapping[Path, str]) -> None:
    """Raise a validation error that names fields, where pydantic would name the whole section."""
    if messages:
        raise ValidationError.from_exception_data(
            section,
            [
                InitErrorDetails(
                    type=PydanticCustomError("field", "{message}", {"message": message}),
                    loc=path,
                    input=None,
                )
                for path, message in messages.items()
            ],
        )


# JSON and YAML carry enums as plain strings, which strict mode would refuse.
_Lax = Field(strict=False)


_OF_AWS = ("account_id", "role_arn", "external_id", "zones", "kms_key_arn", "permissions_boundary_arn")


class Cloud(Section):
    """Where the environment lives, and whom the worker becomes there."""

    provider: Annotated[Provider, _Lax]
    """Cloud provider: aws or gcp."""
    region: Annotated[str, StringConstraints(min_length=1, max_length=40)]
    """Region, one of the installation's ALLOWED_REGIONS."""
    account_id: str | None = None
    """AWS account: twelve digits, quoted."""
    role_arn: str | None = None
    """AWS role that the worker assumes; its name is Beta9Provisioner."""
    external_id: Annotated[
        str | None, StringConstraints(min_length=2, max_length=1224, pattern=r"^[A-Za-z0-9_+=,.@:/-]+$")
    ] = None
    """External ID that the role's trust policy demands."""
    service_account: str | None = None
    """Google service account that the worker impersonates (GCP only)."""
    zones: Annotated[list[ZoneId], Field(min_length=2, max_length=3)] | None = None
    """IDs of two or three availability zones, such as use1-az1 (AWS only); null chooses them."""
    kms_key_arn: KeyArn | None = None
    """Customer-managed key for all that is stored, of the region (AWS only); null takes keys of AWS."""
    permissions_boundary_arn: PolicyArn | None = None
    """Permissions boundary of every role that is made (AWS only)."""
    role_path: Annotated[str, StringConstraints(max_length=512, pattern=r"^/([!-.0-~]+/)*$")] = "/"
    """IAM path of every role that is made, such as /beta9/ (AWS only)."""

    @classmethod
    def stored(cls, document: Mapping[str, object], **known: str | None) -> Self:
        """Return the section of a stored configuration unchecked, whatever version wrote it.

        Text that this version has a field for is taken as it is, and the rest is left out; `known` fields
        that are not None come first. It is for those who must go on without a valid configuration.
        """
        section = document.get("cloud")
        found: dict[str, Any] = {
            name: value
            for name, value in (section if isinstance(section, dict) else {}).items()
            if name in cls.model_fields and isinstance(value, str)
        }
        found.update({name: value for name, value in known.items() if value is not None})
        return cls.model_construct(**found)

    @field_validator("account_id", mode="before")
    @classmethod
    def _account_id_is_quoted(cls, value: object) -> object:
        if isinstance(value, int | float):
            raise ValueError(  # noqa: TRY004  pydantic reports ValueError, not TypeError
                'quote it: write account_id: "123456789012". Unquoted, YAML and JSON read a number, '
                "which loses leading zeros."
            )
        return value

    @field_validator("account_id")
    @classmethod
    def _account_id_is_one(cls, value: str | None, info: ValidationInfo[Rules | None]) -> str | None:
        if value is not None and info.context is not None:
            fault = info.context.field_fault("account_id", value)
            if fault is not None:
                raise ValueError(fault)
        return value

    @model_validator(mode="after")
    def _provider_fields(self, info: ValidationInfo[Rules | None]) -> Self:
        if self.provider is Provider.AWS:
            missing = [name for name in ("account_id", "role_arn") if getattr(self, name) is None]
            _refuse("Cloud", {(name,): "is required for provider aws" for name in missing})
            if self.service_account:
                _refuse("Cloud", {("service_account",): "belongs to provider gcp only"})
        else:
            foreign = [name for name in _OF_AWS if getattr(self, name)]
            _refuse("Cloud", {(name,): "belongs to provider aws only" for name in foreign})
            if not self.service_account:
                _refuse("Cloud", {("service_account",): "is required for provider gcp"})
        if info.context is not None:
            faults = info.context.section_faults(self)
            _refuse("Cloud", {(name,): fault for name, fault in faults.items()})
        return self


SubnetIds = Annotated[list[SubnetId], Field(min_length=2, max_length=3)]
"""One subnet in each of two or three zones."""


class Network(Section):
    """The network that is made for the environment, or the one of yours that it is put into."""

    cidr: NetworkCidr = "10.0.0.0/16"
    """Address range of the network, /16 to /20, private; choose one that your own networks do not have."""
    service_cidr: ServiceCidr = "172.20.0.0/16"
    """Address range of Kubernetes Services, /12 to /24, private; it cannot be changed later."""
    nat: Annotated[Nat | None, _Lax] = None
    """NAT gateways: single, or per_zone; null is single for the profile small, else per_zone."""
    flow_log_days: Annotated[int, Field(ge=1, le=3650)] = 30
    """Days that the log of the network's connections is kept."""
    vpc_id: VpcId | None = None
    """ID of a VPC of yours, which is used and left as it is (AWS only); null makes a network."""
    private_subnet_ids: SubnetIds | None = None
    """Subnets of that VPC with a way out, for nodes and pods, in two or three zones; with vpc_id required."""
    public_subnet_ids: SubnetIds | None = None
    """Subnets for the load balancer, with an internet gateway; in your VPC without them it is inside only."""
    data_subnet_ids: SubnetIds | None = None
    """Subnets for database, cache and nothing else; null puts these into the private subnets."""

    @model_validator(mode="after")
    def _ranges_differ(self) -> Self:
        if self.vpc_id is None and IPv4Network(self.cidr).overlaps(IPv4Network(self.service_cidr)):
            raise ValueError(f"cidr ({self.cidr}) and service_cidr ({self.service_cidr}) overlap")
        return self

    @model_validator(mode="after")
    def _of_one_network(self) -> Self:
        if self.vpc_id is None:
            if self.private_subnet_ids:
                _refuse("Network", {("private_subnet_ids",): "are of your own VPC: name it in vpc_id"})
            return self
        if self.private_subnet_ids is None:
            _refuse("Network", {("private_subnet_ids",): "are required with vpc_id"})
        reason = "is for a network that is made; your own VPC (vpc_id) has its own"
        _refuse("Network", {(name,): reason for name in self.changed("cidr", "nat", "flow_log_days")})
        return self

    @model_validator(mode="after")
    def _subnets_differ(self) -> Self:
        seen: set[str] = set()
        for name in ("private_subnet_ids", "public_subnet_ids", "data_subnet_ids"):
            ids = getattr(self, name) or []
            if len(set(ids)) < len(ids):
                _refuse("Network", {(name,): "names a subnet twice; each is in a zone of its own"})
            if twice := sorted(seen & set(ids)):
                _refuse("Network", {(name,): f"names {', '.join(twice)}, which another list names, too"})
            seen |= set(ids)
        return self


class KubernetesApi(Section):
    """Who reaches the Kubernetes API of the cluster, beside its nodes and this service."""

    public_from: list[Cidr] = Field(default_factory=list, max_length=30)
    """Address ranges from which the API can be reached over the internet, such as your office's."""
    private_only: bool = False
    """Close the API to the internet; refused unless this service has a route into the network."""


class NodeTaint(Section):
    """A taint on every node of the cluster's node group."""

    key: LabelKey
    """Key of the taint."""
    value: LabelValue = ""
    """Value of the taint; it may be empty."""
    effect: Annotated[TaintEffect, _Lax]
    """NoSchedule, PreferNoSchedule or NoExecute."""


class Cluster(Section):
    """The Kubernetes cluster."""

    profile: Annotated[Size, _Lax] = Size.SMALL
    """Size of the node group: small, medium or large."""
    node_labels: dict[LabelKey, LabelValue] = Field(default_factory=dict, max_length=50)
    """Labels on every node; the prefixes kubernetes.io/ and k8s.io/ are Kubernetes' own."""
    node_taints: list[NodeTaint] = Field(default_factory=list, max_length=50)
    """Taints on every node; each pair of key and effect once."""
    use_existing: bool = False
    """Install into a cluster of yours, which is left as it is, instead of making one. Then network and nodes
    are yours, too: of `network` only public_subnet_ids and data_subnet_ids may be said, of `cluster` only
    node_taints, which are tolerated; and no zones."""
    existing_cluster_name: (
        Annotated[str, StringConstraints(max_length=100, pattern=r"^[0-9A-Za-z][A-Za-z0-9_-]*$")] | None
    ) = None
    """Name of that cluster, in the region of `cloud`."""
    api: KubernetesApi = KubernetesApi()
    admin_role_arns: list[AdminArn] = Field(default_factory=list, max_length=20)
    """Roles or users of the account that administrate the cluster with kubectl (AWS only)."""
    capacity: Annotated[Capacity, _Lax] = Capacity.ON_DEMAND
    """How the nodes of Beta9's workers are bought: on_demand, or spot, which can be taken back any time."""
    log_days: Annotated[int, Field(ge=1, le=3650)] = 30
    """Days that the logs of the control plane are kept."""
    extended_support: bool = False
    """Keep the Kubernetes version for up to a year after its end of standard support, at a higher price."""

    @field_validator("node_taints")
    @classmethod
    def _taints_differ(cls, value: list[NodeTaint]) -> list[NodeTaint]:
        pairs = [(taint.key, taint.effect) for taint in value]
        for number, (key, effect) in enumerate(pairs):
            if (key, effect) in pairs[:number]:
                raise ValueError(f"the taint {key!r} with effect {effect} comes twice: leave one of them out")
        return value

    @model_validator(mode="after")
    def _existing(self) -> Self:
        if self.use_existing != (self.existing_cluster_name is not None):
            raise ValueError("use_existing: true and existing_cluster_name go together")
        return self


class Postgres(Section):
    """The PostgreSQL database of Beta9."""

    size: Annotated[Size, _Lax] = Size.SMALL
    """Size of the instance: small, medium or large."""
    multi_az: bool = False
    """Keep a standby in another zone, and fail over to it."""
    backup_retention_days: Annotated[int, Field(ge=1, le=35)] = 7
    """Days that automatic backups are kept."""
    storage_gb: Annotated[int, Field(ge=20, le=65536)] = 20
    """Storage in GiB."""
    max_storage_gb: Annotated[int, Field(ge=22, le=65536)] | None = None
    """GiB up to which the storage grows by itself; null is twice `storage_gb`."""
    final_snapshot: bool = False
    """Take a last snapshot when the environment is deleted, and leave it."""


class Redis(Section):
    """The Redis of Beta9."""

    size: Annotated[Size, _Lax] = Size.SMALL
    """Size of its nodes: small, medium or large."""
    ha: bool = False
    """Keep replicas and fail over by itself."""
    num_replicas: Annotated[int, Field(ge=1, le=5)] = 1
    """Replicas beside the primary when `ha` is set."""
    snapshot_days: Annotated[int, Field(ge=0, le=35)] = 7
    """Days that daily snapshots are kept; 0 makes none."""


class ObjectStore(Section):
    """The bucket of Beta9."""

    bucket_prefix: Annotated[
        str, StringConstraints(min_length=3, max_length=30, pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$")
    ] = "beta9"
    """Start of the bucket's name, lower-case letters, digits, hyphens; the environment's suffix is added."""
    versioning: bool = True
    """Keep the versions before of every object."""
    lifecycle_days: Annotated[int, Field(ge=1, le=3650)] | None = 30
    """Days after which noncurrent versions expire; null keeps them."""
    on_delete: Annotated[OnDelete, _Lax] = OnDelete.DELETE
    """delete the objects with the environment, or refuse to delete it while there are any of yours."""


class Data(Section):
    """The environment's data stores."""

    postgres: Postgres = Postgres()
    redis: Redis = Redis()
    object_store: ObjectStore = ObjectStore()


class Workers(Section):
    """Beta9's workers."""

    gpu_enabled: bool = False
    """Add nodes with GPUs; refused by this release."""
    gpu_type: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]{1,40}$")] | None = None
    """GPU type, such as T4 or A10G."""
    min_workers: Annotated[int, Field(ge=0, le=1000)] = 1
    """Workers for which the nodes always keep room free."""
    max_workers: Annotated[int, Field(ge=1, le=1000)] = 3
    """Most replicas of one deployment in Beta9."""

    @model_validator(mode="after")
    def _bounds(self) -> Self:
        if self.min_workers > self.max_workers:
            raise ValueError(
                f"min_workers ({self.min_workers}) must not exceed max_workers ({self.max_workers})"
            )
        if self.gpu_enabled != (self.gpu_type is not None):
            raise ValueError("gpu_enabled: true and gpu_type go together")
        return self


class Beta9(Section):
    """Beta9 itself."""

    domain: Domain
    """Domain name under which the gateway is reached, in lower case, such as beta9.example.com."""
    version: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$")] | None = None
    """Image tag of gateway and worker; null takes the version that the pinned chart names."""
    workers: Workers = Workers()
    enable_metrics: bool = True
    """Let Prometheus scrape gateway and workers."""
    enable_logging: bool = True
    """Let a collector of logs such as Fluent Bit read the gateway's."""


_OF_MADE_NETWORK = ("cidr", "service_cidr", "nat", "flow_log_days", "vpc_id", "private_subnet_ids")
_OF_MADE_CLUSTER = (
    "profile",
    "node_labels",
    "api",
    "admin_role_arns",
    "capacity",
    "log_days",
    "extended_support",
)


class EnvironmentConfig(Section):
    """Configuration of one Beta9 environment."""

    name: Name
    """Name: lower-case letters, digits and hyphens, starting with a letter."""
    cloud: Cloud
    network: Network = Network()
    cluster: Cluster = Cluster()
    data: Data = Data()
    beta9: Beta9
    tags: dict[TagKey, TagValue] = Field(default_factory=dict, max_length=40)
    """Tags on every cloud resource; keys may not start with aws:, rds: or beta9:, nor differ in case only."""
    deletion_protection: bool = False
    """Refuse to delete the environment while this is true."""

    @field_validator("tags")
    @classmethod
    def _reserved_tags(cls, value: dict[str, str]) -> dict[str, str]:
        for key in value:
            if key.lower().startswith(("aws:", "beta9:")):
                raise ValueError(f"tag key {key!r} is reserved; keys may not start with aws: or beta9:")
        return value

    @model_validator(mode="after")
    def _what_is_there_already(self) -> Self:
        """What exists has settings of its own, which nobody here may change."""
        network, cluster = self.network, self.cluster
        if cluster.use_existing:
            reason = "is for a cluster that is made; leave it out with cluster.use_existing"
            faults: dict[Path, str] = {
                ("network", name): reason for name in network.changed(*_OF_MADE_NETWORK)
            }
            faults |= {("cluster", name): reason for name in cluster.changed(*_OF_MADE_CLUSTER)}
            if self.cloud.zones:
                faults["cloud", "zones"] = reason
            _refuse("EnvironmentConfig", faults)
            return self
        if network.vpc_id is None:
            lonely = [name for name in ("public_subnet_ids", "data_subnet_ids") if getattr(network, name)]
            reason = (
                "are of your own VPC (network.vpc_id) or cluster (cluster.use_existing), which is not named"
            )
            _refuse("EnvironmentConfig", {("network", name): reason for name in lonely})
        elif self.cloud.provider is not Provider.AWS:
            _refuse("EnvironmentConfig", {("network", "vpc_id"): "belongs to provider aws only"})
        elif self.cloud.zones:
            reason = "are those of the subnets of your VPC; leave them out with network.vpc_id"
            _refuse("EnvironmentConfig", {("cloud", "zones"): reason})
        return self

    @model_validator(mode="after")
    def _what_the_provider_takes(self, info: ValidationInfo[Rules | None]) -> Self:
        if info.context is not None:
            _refuse("EnvironmentConfig", info.context.other_faults(self))
        return self


def with_earlier_defaults(config: EnvironmentConfig) -> EnvironmentConfig:
    """Return the configuration as version 1 would have read it: changed defaults are those of then."""
    store = config.data.object_store
    if "lifecycle_days" in store.model_fields_set:
        return config
    kept = store.model_copy(update={"lifecycle_days": None})
    return config.model_copy(update={"data": config.data.model_copy(update={"object_store": kept})})


def json_schema() -> dict[str, object]:
    """Return the configuration's JSON Schema (draft 2020-12), for editors and `GET /api/v1/schema`."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **EnvironmentConfig.model_json_schema(),
    }
