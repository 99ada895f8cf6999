"""The schemas of the Terraform providers that the engine writes configuration for.

Each cloud keeps the schema of its provider in a file, extracted from a published package by
``scripts/extract_provider_schema.py`` and committed, so that synthesis can refuse an unknown or missing
attribute without a provider binary. Types follow the vocabulary of ``terraform providers schema -json``.
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NotRequired, TypedDict

AttributeType = str | list["AttributeType | dict[str, AttributeType]"]
"""A type as Terraform writes it in JSON: ``"string"``, ``["set", "string"]``, ``["object", {"name":
"string"}]``.
"""


class Attribute(TypedDict):
    """One attribute of a block; a flag that is absent is false."""

    type: AttributeType
    required: NotRequired[bool]
    optional: NotRequired[bool]
    computed: NotRequired[bool]
    sensitive: NotRequired[bool]
    write_only: NotRequired[bool]


class Block(TypedDict):
    """The body of a resource, a provider or a nested block."""

    attributes: dict[str, Attribute]
    block_types: dict[str, "NestedBlock"]


class NestedBlock(TypedDict):
    """A nested block and how often it may occur; ``nesting_mode`` is single, list, set, map or group."""

    nesting_mode: str
    block: Block
    min_items: NotRequired[int]
    max_items: NotRequired[int]


class Resource(TypedDict):
    """A resource type: its schema version and its block."""

    version: int
    block: Block


@dataclass(frozen=True)
class ProviderSchema:
    """A provider's source address and version, its own configuration block, and its resource types."""

    source: str
    version: str
    provider: Block
    resources: dict[str, Resource]


@cache
def load_schema(file: Path) -> ProviderSchema:
    """Return the provider schema in a file, which is read once per process.

    Raises ``LookupError`` when there is no such file.
    """
    if not file.is_file():
        raise LookupError(
            f"There is no provider schema: {file} does not exist. "
            "Extract it with scripts/extract_provider_schema.py."
        )
    return ProviderSchema(**json.loads(file.read_text(encoding="utf-8")))
