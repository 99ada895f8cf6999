"""Bodies as client-go writes them, and damaged ones."""

from __future__ import annotations

import pytest

from beta9_simulator.cluster.errors import ApiError
from beta9_simulator.cluster.protobuf import MAGIC, decode


def varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def field(number: int, value: bytes | str | int) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    raw = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(raw)) + raw


def envelope(kind: str, content: bytes, api_version: str = "v1") -> bytes:
    return MAGIC + field(1, field(1, api_version) + field(2, kind)) + field(2, content)


def entry(key: str, value: str | bytes) -> bytes:
    return field(1, key) + field(2, value)


def test_a_secret() -> None:
    owner = field(1, "Job") + field(3, "j") + field(4, "u") + field(5, "batch/v1") + field(6, 1)
    metadata = field(1, "s") + field(3, "ns") + field(11, entry("a", "b")) + field(11, entry("c", "d"))
    metadata += field(13, owner) + field(14, "one") + field(14, "two") + field(99, "unknown")
    content = field(1, metadata) + field(2, entry("key", b"\x00\xff")) + field(3, "Opaque") + field(5, 0)
    assert decode(envelope("Secret", content)) == {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": "s",
            "namespace": "ns",
            "labels": {"a": "b", "c": "d"},
            "ownerReferences": [
                {"kind": "Job", "name": "j", "uid": "u", "apiVersion": "batch/v1", "controller": True}
            ],
            "finalizers": ["one", "two"],
        },
        "data": {"key": "AP8="},
        "type": "Opaque",
        "immutable": False,
    }


def test_delete_options() -> None:
    content = field(1, 30) + field(2, field(1, "uid")) + field(4, "Foreground") + field(5, "All")
    assert decode(envelope("DeleteOptions", content, "meta.k8s.io/v1")) == {
        "apiVersion": "meta.k8s.io/v1",
        "kind": "DeleteOptions",
        "gracePeriodSeconds": 30,
        "preconditions": {"uid": "uid"},
        "propagationPolicy": "Foreground",
        "dryRun": ["All"],
    }


def test_numbers_of_fixed_width_are_skipped() -> None:
    fixed = varint(50 << 3 | 5) + b"1234" + varint(51 << 3 | 1) + b"12345678"
    assert decode(envelope("ConfigMap", fixed + field(2, entry("a", "b"))))["data"] == {"a": "b"}


@pytest.mark.parametrize(
    "body",
    [
        envelope("Secret", field(1, field(1, "name")))[:-2],
        MAGIC + b"\xff" * 12,
        MAGIC + varint(1 << 3 | 3),
        MAGIC + field(1, 7),
        envelope("Secret", field(1, b"\x0a\x02\xff\xfe")),
        envelope("Secret", field(1, 7)),
    ],
    ids=[
        "cut off",
        "endless number",
        "unknown wire type",
        "number as envelope",
        "not UTF-8",
        "number as message",
    ],
)
def test_damage_is_a_bad_request(body: bytes) -> None:
    with pytest.raises(ApiError) as refused:
        decode(body)
    assert refused.value.code == 400


def test_unknown_kinds_are_named() -> None:
    with pytest.raises(ApiError, match="'Deployment' are not supported") as refused:
        decode(envelope("Deployment", b""))
    assert refused.value.code == 415


def test_an_autoscaler_as_kubectl_writes_it() -> None:
    target = field(1, "Deployment") + field(2, "web") + field(3, "apps/v1")
    resource = field(1, "cpu") + field(2, field(1, "Utilization") + field(4, 70))
    metrics = field(1, "Resource") + field(4, resource)
    spec = field(1, target) + field(2, 2) + field(3, 10) + field(4, metrics)
    decoded = decode(
        envelope("HorizontalPodAutoscaler", field(1, field(1, "web")) + field(2, spec), "autoscaling/v2")
    )
    assert decoded["spec"] == {
        "scaleTargetRef": {"kind": "Deployment", "name": "web", "apiVersion": "apps/v1"},
        "minReplicas": 2,
        "maxReplicas": 10,
        "metrics": [
            {
                "type": "Resource",
                "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}},
            }
        ],
    }
