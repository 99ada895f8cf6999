"""The configurations in `examples/`, and the Terraform documents that are synthesized from them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from beta9_provisioning.api import yaml12
from beta9_provisioning.clouds.aws.choices import Choices, GivenNetwork
from beta9_provisioning.clouds.registry import ProviderRules, cloud_of
from beta9_provisioning.clouds.synthesis import synthesize
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


def subject(name: str) -> Subject:
    """Return what an example's stack is made of, as a new environment in the zones of the cloud's sample."""
    config = configuration(name)
    sample = cloud_of(config.cloud).sample()
    zones = Choices.model_validate(sample.choices).zones
    choices = Choices.first(config, zones, network=_given(config)).model_dump(mode="json")
    return Subject(config, sample.environment_id, choices, sample.backend, sample.workers_from)


def _given(config: EnvironmentConfig) -> GivenNetwork | None:
    """Return the network that a configuration names, as its check would."""
    named = config.network
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
