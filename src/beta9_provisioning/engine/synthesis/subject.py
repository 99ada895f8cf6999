"""What a stack is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from beta9_provisioning.engine.synthesis.synthesize import Backend
from beta9_provisioning.schemas.configuration import EnvironmentConfig


@dataclass(frozen=True)
class Subject:
    """An environment whose infrastructure is synthesized.

    Attributes:
        config: what its user wants.
        environment_id: from which its names derive.
        choices: what its cloud chose for it when it was first synthesized, such as zones, versions and sizes;
            a document that only the cloud can read.
        backend: where its state is kept.
    """

    config: EnvironmentConfig
    environment_id: str
    choices: Mapping[str, Any]
    backend: Backend
