"""Reading of the protobuf bodies that client-go's typed clients send.

Helm and kubectl write some kinds in protobuf whatever the server prefers, and do not fall back when
refused (seen with Helm 4.1.4 and kubectl 1.34.5). Field numbers are those of ``generated.proto`` in
``k8s.io/api`` and ``k8s.io/apimachinery``. Answers in JSON are accepted, so nothing is encoded here.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from beta9_simulator.cluster.errors import ApiError

MAGIC = b"k8s\0"

Scalar = Literal["text", "number", "flag", "texts", "text map", "bytes map"]


@dataclass(frozen=True)
class Field:
    """A field's JSON name and what it holds: a scalar kind, or a message with the fields given."""

    name: str
    holds: Scalar | dict[int, Field]
    repeated: bool = False


_OWNER_REFERENCE = {
    1: Field("kind", "text"),
    3: Field("name", "text"),
    4: Field("uid", "text"),
    5: Field("apiVersion", "text"),
    6: Field("controller", "flag"),
    7: Field("blockOwnerDeletion", "flag"),
}
_METADATA = Field(
    "metadata",
    {
        1: Field("name", "text"),
        2: Field("generateName", "text"),
        3: Field("namespace", "text"),
        5: Field("uid", "text"),
        6: Field("resourceVersion", "text"),
        7: Field("generation", "number"),
        11: Field("labels", "text map"),
        12: Field("annotations", "text map"),
        13: Field("ownerReferences", _OWNER_REFERENCE, repeated=True),
        14: Field("finalizers", "texts"),
    },
)
_DELETE_OPTIONS: dict[int, Field] = {
    1: Field("gracePeriodSeconds", "number"),
    2: Field("preconditions", {1: Field("uid", "text"), 2: Field("resourceVersion", "text")}),
    3: Field("orphanDependents", "flag"),
    4: Field("propagationPolicy", "text"),
    5: Field("dryRun", "texts"),
}
_LOCAL_REFERENCE: dict[int, Field] = {1: Field("name", "text")}
_METRIC_TARGET = Field("target", {1: Field("type", "text"), 4: Field("averageUtilization", "number")})
_AUTOSCALER_SPEC = Field(
    "spec",
    {
        1: Field(
            "scaleTargetRef",
            {1: Field("kind", "text"), 2: Field("name", "text"), 3: Field("apiVersion", "text")},
        ),
        2: Field("minReplicas", "number"),
        3: Field("maxReplicas", "number"),
        # Of the kinds of metrics only that which `kubectl autoscale` writes.
        4: Field(
            "metrics",
            {
                1: Field("type", "text"),
                4: Field("resource", {1: Field("name", "text"), 2: _METRIC_TARGET}),
            },
            repeated=True,
        ),
    },
)
_MESSAGES: dict[str, dict[int, Field]] = {
    "Secret": {
        1: _METADATA,
        2: Field("data", "bytes map"),
        3: Field("type", "text"),
        4: Field("stringData", "text map"),
        5: Field("immutable", "flag"),
    },
    "ConfigMap": {
        1: _METADATA,
        2: Field("data", "text map"),
        3: Field("binaryData", "bytes map"),
        4: Field("immutable", "flag"),
    },
    "Namespace": {1: _METADATA, 2: Field("spec", {1: Field("finalizers", "texts")})},
    "ServiceAccount": {
        1: _METADATA,
        3: Field("imagePullSecrets", _LOCAL_REFERENCE, repeated=True),
        4: Field("automountServiceAccountToken", "flag"),
    },
    "HorizontalPodAutoscaler": {1: _METADATA, 2: _AUTOSCALER_SPEC},
    "DeleteOptions": _DELETE_OPTIONS,
    "Eviction": {1: _METADATA, 2: Field("deleteOptions", _DELETE_OPTIONS)},
    "TokenRequest": {1: _METADATA},
    "SelfSubjectAccessReview": {1: _METADATA},
    "SelfSubjectReview": {1: _METADATA},
}


def decode(body: bytes) -> dict[str, Any]:
    """The object in a body that starts with :data:`MAGIC`.

    Raises:
        ApiError: 400, the body is damaged; 415, it holds a kind that is not known here.
    """
    envelope = _last_values(body[len(MAGIC) :])
    type_meta = _last_values(_as_bytes(envelope.get(1, b"")))
    kind = _as_text(type_meta.get(2, b""))
    if kind not in _MESSAGES:
        known = ", ".join(sorted(_MESSAGES))
        raise ApiError(
            415,
            f"protobuf bodies of kind {kind!r} are not supported here, only {known}; apply a manifest",
        )
    content = _message(_as_bytes(envelope.get(2, b"")), _MESSAGES[kind])
    return {"apiVersion": _as_text(type_meta.get(1, b"")), "kind": kind, **content}


def _message(data: bytes, fields: dict[int, Field]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for number, raw in _wire(data):
        field = fields.get(number)
        if field is not None:
            _put(out, field, raw)
    return out


def _put(out: dict[str, Any], field: Field, raw: int | bytes) -> None:
    if isinstance(field.holds, dict):
        value: Any = _message(_as_bytes(raw), field.holds)
        if field.repeated:
            value = [*out.get(field.name, []), value]
    elif field.holds == "texts":
        value = [*out.get(field.name, []), _as_text(raw)]
    elif field.holds in ("text map", "bytes map"):
        value = {**out.get(field.name, {}), **_map_entry(_as_bytes(raw), binary=field.holds == "bytes map")}
    elif field.holds == "text":
        value = _as_text(raw)
    else:
        value = bool(raw) if field.holds == "flag" else raw
    # Protobuf writes the zero value of scalars that were never set; JSON leaves such fields out.
    if value or field.holds == "flag" or isinstance(value, dict):
        out[field.name] = value


def _map_entry(data: bytes, *, binary: bool) -> dict[str, str]:
    entry = _last_values(data)
    value = _as_bytes(entry.get(2, b""))
    return {_as_text(entry.get(1, b"")): base64.b64encode(value).decode() if binary else _as_text(value)}


def _last_values(data: bytes) -> dict[int, int | bytes]:
    return dict(_wire(data))


def _as_bytes(raw: int | bytes) -> bytes:
    if isinstance(raw, int):
        raise _damaged("a number stands where text or a message should")
    return raw


def _as_text(raw: int | bytes) -> str:
    try:
        return _as_bytes(raw).decode()
    except UnicodeDecodeError as error:
        raise _damaged("a text is not UTF-8") from error


def _wire(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Field numbers and raw values, in the order written."""
    position = 0
    while position < len(data):
        tag, position = _varint(data, position)
        number, wire_type = tag >> 3, tag & 7
        if wire_type == 0:
            value, position = _varint(data, position)
            yield number, value
            continue
        if wire_type == 2:
            length, position = _varint(data, position)
        elif wire_type in (1, 5):
            length = 8 if wire_type == 1 else 4
        else:
            raise _damaged(f"unknown wire type {wire_type}")
        if position + length > len(data):
            raise _damaged("it ends too early")
        yield number, data[position : position + length]
        position += length


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while position < len(data) and shift < 70:
        byte = data[position]
        position += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, position
        shift += 7
    raise _damaged("it ends too early")


def _damaged(why: str) -> ApiError:
    return ApiError(400, f"the protobuf body cannot be read: {why}")
