"""Versions of customer-managed policies: five at most, one of which is in force.

The document in force is the attribute ``policy``, which Terraform's door writes; the API's door keeps the
list beside it. What Terraform wrote since then counts as a version of its own that was made the default, as
the genuine provider makes one with every change. A policy that Terraform alone has written shows one version.
"""

from dataclasses import asdict, dataclass, replace
from typing import Any

from beta9_simulator.cloud.rules import CloudError
from beta9_simulator.cloud.store import StoredObject

_MOST = 5
_KEPT = "versions"
_LAST = "last_version"


@dataclass(frozen=True)
class Version:
    """One version: ``id`` is ``v1`` and so on, ``created_at`` in Unix seconds, the default is in force."""

    id: str
    document: str
    created_at: float
    is_default: bool


def versions(policy: StoredObject) -> list[Version]:
    """Return the versions of a policy, the newest first as IAM lists them."""
    kept = [Version(**one) for one in policy.state.get(_KEPT) or ()]
    document = str(policy.state["policy"])
    if not kept:
        return [Version("v1", document, policy.created_at, True)]
    if any(one.is_default and one.document == document for one in kept):
        return kept
    written = Version(f"v{_last(policy) + 1}", document, policy.busy_until, True)
    return _added(kept, written, make_room=True)


def version(policy: StoredObject, id: str) -> Version:
    """Return one version. Raises ``CloudError``: NoSuchEntity."""
    found = next((one for one in versions(policy) if one.id == id), None)
    if found is None:
        raise CloudError(
            "NoSuchEntity",
            f"Policy {policy.id} version {id} does not exist or is not attachable.",
        )
    return found


def default(policy: StoredObject) -> Version:
    """Return the version in force."""
    return next(one for one in versions(policy) if one.is_default)


def with_new(policy: StoredObject, document: str, now: float, *, is_default: bool) -> dict[str, Any]:
    """Return the changed attributes of a policy that gets a version.

    Raises ``CloudError``: LimitExceeded when it has five.
    """
    before = versions(policy)
    number = _last(policy, before) + 1
    after = _added(before, Version(f"v{number}", document, now, is_default), make_room=False)
    in_force = next(one for one in after if one.is_default)
    return {"policy": in_force.document, _KEPT: [asdict(one) for one in after], _LAST: number}


def without(policy: StoredObject, id: str) -> dict[str, Any]:
    """Return the changed attributes of a policy that loses a version.

    Raises ``CloudError``: NoSuchEntity, or DeleteConflict for the version in force.
    """
    if version(policy, id).is_default:
        raise CloudError("DeleteConflict", "Cannot delete the default version of a policy.")
    before = versions(policy)
    return {_KEPT: [asdict(one) for one in before if one.id != id], _LAST: _last(policy, before)}


def _last(policy: StoredObject, known: list[Version] | None = None) -> int:
    numbers = [int(one.id.removeprefix("v")) for one in known or ()]
    return max([int(policy.state.get(_LAST) or 1), *numbers])


def _added(before: list[Version], new: Version, *, make_room: bool) -> list[Version]:
    if len(before) >= _MOST and make_room:
        oldest = next(one for one in reversed(before) if not one.is_default)
        before = [one for one in before if one != oldest]
    if len(before) >= _MOST:
        raise CloudError(
            "LimitExceeded",
            f"A managed policy can have up to {_MOST} versions. Before you create a new version, you must "
            "delete an existing version.",
        )
    kept = [replace(one, is_default=False) for one in before] if new.is_default else before
    return [new, *kept]
