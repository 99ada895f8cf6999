"""Terraform values between their wire form (msgpack) and Python: null is None, unknown is ``UNKNOWN``."""

import copy
import json
from collections.abc import Iterator
from typing import Any

import msgpack
from tf.gen import tfplugin_pb2 as pb

from beta9_simulator.cloud.provider.schema import Block, Type


class _Unknown:
    """A value Terraform does not know yet; there is one of it."""

    def __copy__(self) -> "_Unknown":
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> "_Unknown":
        return self

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN = _Unknown()
# Terraform marks an unknown value with msgpack extension 0, and may refine it (not null, a prefix) with
# extension 12; either is just unknown here.
_EXTENSION = msgpack.ExtType(0, b"\x00")


def decode(wire: Any) -> Any:
    """Return the Python form of a ``DynamicValue`` message."""
    if wire.msgpack:
        return msgpack.unpackb(wire.msgpack, ext_hook=lambda _code, _data: UNKNOWN, strict_map_key=False)
    return json.loads(wire.json) if wire.json else None


def encode(value: Any) -> Any:
    """Return the ``DynamicValue`` message of a value."""
    return pb.DynamicValue(msgpack=msgpack.packb(value, default=_pack_unknown))


def _pack_unknown(value: Any) -> Any:
    if value is UNKNOWN:
        return _EXTENSION
    raise TypeError(f"A Terraform value cannot hold a {type(value).__name__}: {value!r}")


def is_known(value: Any) -> bool:
    """Whether a value holds nothing unknown."""
    if isinstance(value, list):
        return all(map(is_known, value))
    if isinstance(value, dict):
        return all(map(is_known, value.values()))
    return value is not UNKNOWN


def nested(value: Any) -> list[dict[str, Any]]:
    """The blocks in a nested block's value, whatever its nesting mode."""
    if isinstance(value, list):
        return [item for item in value if isinstance(item, dict)]
    return [value] if isinstance(value, dict) else []


def conform(block: Block, value: dict[str, Any]) -> dict[str, Any]:
    """Return a copy of ``value`` that has all of the block's keys, null or empty, and no others."""
    shaped: dict[str, Any] = {key: copy.deepcopy(value.get(key)) for key in block["attributes"]}
    for key, inner in block["block_types"].items():
        content = value.get(key)
        if inner["nesting_mode"] in ("single", "group"):
            shaped[key] = None if content is None else conform(inner["block"], content)
        else:
            shaped[key] = [conform(inner["block"], item) for item in nested(content)]
    return shaped


def zero(type: Type) -> Any:
    """What the provider reports where there is no value: empty text, 0, false, empty collections."""
    if isinstance(type, list):
        return {"list": [], "set": [], "map": {}}.get(str(type[0]))
    return {"string": "", "number": 0, "bool": False}.get(type)


def walk(block: Block, value: dict[str, Any]) -> Iterator[tuple[Block, dict[str, Any]]]:
    """Yield a block with its value, then the same for every block nested in it."""
    yield block, value
    for key, inner in block["block_types"].items():
        for item in nested(value.get(key)):
            yield from walk(inner["block"], item)
