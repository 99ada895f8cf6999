"""The configurations in `examples/`, and the Terraform documents that are synthesized from them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from beta9_provisioning.api import yaml12
from beta9_provisioning.clouds.aws.choices import Choices, ExistingCluster, GivenNetwork
from beta9_provisioning.clouds.aws.versions import DEFAULTS
from beta9_provisioning.clouds.registry import ProviderRules, cloud_of
from beta9_provisioning.clouds.synthesis import synthesize
from beta9_provisioning.engine.beta9.platform import BASE_CHARTS
from beta9_provisioning.engine.synthesis.subject import Subject
from beta9_provisioning.schemas.configuration import EnvironmentConfig

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = {path.stem: path for path in sorted((ROOT / "examples").glob("*.yaml"))}
"""Paths by the examples' names."""
Document = dict[str, Any]


def configuration(name: str) -> EnvironmentConfig:
    """Return an example's configuration, checked as the API checks it."""
    document = yaml12.parse(EXAMPLES[name].read_text())
    return EnvironmentConfig.model_validate(document, context=ProviderRules())


def stands_alone(name: str) -> bool:
    """Return whether an example needs nothing of its user's in the account before."""
    config = configuration(name)
    return config.network.vpc_id is None and not config.cluster.use_existing


def subject(name: str) -> Subject:
    """Return what an example's stack is made of, as a new environment in the zones of the cloud's sample."""
    config = configuration(name)
    sample = cloud_of(config.cloud).sample()
    zones = Choices.model_validate(sample.choices).zones
    chosen = Choices.first(config, zones, network=given(config), cluster=given_cluster(config))
    choices = chosen.model_dump(mode="json")
    return Subject(config, sample.environment_id, choices, sample.backend, sample.workers_from)


def given(config: EnvironmentConfig) -> GivenNetwork | None:
    """Return the network that a configuration names, as its check would; a cluster's is made up."""
    named = config.network
    if config.cluster.use_existing:
        ids = tuple(f"subnet-{number:08x}" for number in (1, 2))
        return GivenNetwork(vpc_id="vpc-00000001", service_cidr=None, private=ids, data=ids)
    if named.vpc_id is None:
        return None
    private = tuple(named.private_subnet_ids or ())
    return GivenNetwork(
        vpc_id=named.vpc_id,
        service_cidr=named.service_cidr,
        private=private,
        public=tuple(named.public_subnet_ids or ()),
        data=tuple(named.data_subnet_ids or ()) or private,
    )


def given_cluster(config: EnvironmentConfig) -> ExistingCluster | None:
    """Return the cluster that a configuration names, as its check would find it where nothing is in it."""
    name = config.cluster.existing_cluster_name
    if name is None:
        return None
    return ExistingCluster(
        name=name,
        endpoint="https://0123456789ABCDEF.gr7.us-east-1.eks.amazonaws.com",
        version=DEFAULTS.kubernetes,
        security_groups=("sg-00000001",),
        storage_class="gp3",
        charts=BASE_CHARTS,
        since="2026-01-01T00:00:00Z",
    )


def stack(name: str, outdir: Path) -> Document:
    """Return an example's stack as Terraform reads it; `outdir` is where it is synthesized."""
    directory = synthesize(subject(name), outdir)
    document: Document = json.loads((directory / "cdk.tf.json").read_text())
    return document


def resources(document: Document) -> dict[str, Document]:
    """Return the bodies of a document's resources by address."""
    return {
        f"{kind}.{name}": body
        for kind, bodies in document["resource"].items()
        for name, body in bodies.items()
    }
