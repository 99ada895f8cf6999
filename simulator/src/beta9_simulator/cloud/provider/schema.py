"""The provider's schema: read from the file that the simulator is given, and told to Terraform.

The file is JSON: the provider's `source` address and `version`, the block of its own configuration
(`provider`) and its `resources` by type, in the vocabulary of ``terraform providers schema -json``.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

from tf.gen import tfplugin_pb2 as pb

Block = dict[str, Any]
"""Attributes and nested blocks, as the file writes them."""
Type = str | list[Any]
"""A type as Terraform writes it in JSON, such as ``["set", "string"]``."""

_NESTING = {"single": 1, "list": 2, "set": 3, "map": 4, "group": 5}
# Schema.Attribute.write_only is field 11 of the published tfplugin6 protocol; the stubs of `tf` predate
# it, so the encoded field (tag 0x58, value 1) is merged in as it stands.
_WRITE_ONLY = b"\x58\x01"


class Schema(NamedTuple):
    """The content of the file."""

    source: str
    version: str
    provider: Block
    resources: dict[str, Any]


def read_schema(file: Path) -> Schema:
    """Return the schema in a file."""
    return Schema(**json.loads(file.read_text(encoding="utf-8")))


def schema_message(block: Block, version: int = 0) -> Any:
    """Return the ``Schema`` message of a resource type or of the provider's own configuration."""
    return pb.Schema(version=version, block=_block(block))


def _block(block: Block) -> Any:
    return pb.Schema.Block(
        attributes=[_attribute(name, attribute) for name, attribute in sorted(block["attributes"].items())],
        block_types=[
            pb.Schema.NestedBlock(
                type_name=name,
                block=_block(inner["block"]),
                nesting=_NESTING[inner["nesting_mode"]],
                min_items=inner.get("min_items", 0),
                max_items=inner.get("max_items", 0),
            )
            for name, inner in sorted(block["block_types"].items())
        ],
    )


def _attribute(name: str, attribute: Block) -> Any:
    message = pb.Schema.Attribute(
        name=name,
        type=json.dumps(attribute["type"]).encode(),
        required=attribute.get("required", False),
        optional=attribute.get("optional", False),
        computed=attribute.get("computed", False),
        sensitive=attribute.get("sensitive", False),
    )
    if attribute.get("write_only"):
        message.MergeFromString(_WRITE_ONLY)
    return message
