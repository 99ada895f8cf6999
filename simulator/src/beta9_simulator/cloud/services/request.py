"""What a service's handler gets, and the helpers that handlers share."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from beta9_simulator.cloud.principals import Principal
from beta9_simulator.cloud.rules import CloudError
from beta9_simulator.cloud.store import GLOBAL, Store, StoredObject


@dataclass(frozen=True)
class Request:
    """A call of one operation by an authenticated principal; ``params`` have boto3's shape."""

    store: Store
    principal: Principal
    region: str
    params: dict[str, Any]

    def find(self, type: str, **wanted: str) -> list[StoredObject]:
        """The caller's objects of a type in the request's region."""
        return self.store.find(type, account=self.principal.account, region=self.region, **wanted)

    def find_global(self, type: str, **wanted: str) -> list[StoredObject]:
        """The caller's objects of a type that has no region."""
        return self.store.find(type, account=self.principal.account, region=GLOBAL, **wanted)


Handler = Callable[[Request], dict[str, Any] | None]
"""Answers in boto3's shape; None hands the request on to moto. Raises ``CloudError`` to refuse."""


def page(items: Sequence[Any], size: int, token: str | None) -> tuple[list[Any], str | None]:
    """Return one page of ``items`` and the token of the next, which is None on the last page.

    Raises ``CloudError`` for a token that no page gave out.
    """
    if token is not None and not token.isdigit():
        raise CloudError("InvalidParameterValue", f"The pagination token {token!r} is invalid")
    start = int(token or 0)
    end = start + size
    return list(items[start:end]), str(end) if end < len(items) else None


def when(seconds: float) -> datetime:
    """A point in time for an answer, to the second as AWS gives it."""
    return datetime.fromtimestamp(int(seconds), UTC)


def tag_list(tags: dict[str, str]) -> list[dict[str, str]]:
    """Tags as a list of ``Key`` and ``Value``, sorted by key."""
    return [{"Key": key, "Value": value} for key, value in sorted(tags.items())]
