import base64
import json
from datetime import UTC, datetime

import pytest

from beta9_provisioning.environments import ids
from beta9_provisioning.kit.cursors import BadCursor, decode, encode


def test_returns_what_was_encoded() -> None:
    place = (datetime(2030, 1, 2, 3, 4, 5, 678901, UTC), ids.new())
    assert decode(encode(*place), ids.FORM) == place


def _forged(data: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(data).encode()).decode()


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "garbage",
        "ÄÖ",
        "a" * 10_000,
        base64.urlsafe_b64encode(b"\xff\xfe").decode(),
        base64.urlsafe_b64encode(b"[" * 180).decode(),
        _forged(5),
        _forged(None),
        _forged([]),
        _forged([1, 2]),
        _forged(["2030-01-01T00:00:00+00:00", "op_0123456789abcdef"]),
        _forged(["2030-01-01T00:00:00", "env_0123456789abcdef"]),
        _forged(["yesterday", "env_0123456789abcdef"]),
        _forged(["2030-01-01T00:00:00+00:00", "env_0123456789abcdef", 1]),
    ],
)
def test_refuses_what_is_not_ours(cursor: str) -> None:
    with pytest.raises(BadCursor):
        decode(cursor, ids.FORM)
