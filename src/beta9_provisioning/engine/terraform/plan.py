"""A saved plan of Terraform: what it would do to each resource, read before anything is done."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PLAN = "kept.plan"
"""The file of a saved plan in Terraform's directory. It embeds configuration and state, and no secret."""
_DELETE = "delete"


@dataclass(frozen=True)
class Plan:
    """A saved plan.

    Attributes:
        file: what `apply` takes, once.
        actions: Terraform's words for what is done to a resource, in their order, by address: `create`;
            `update`; `delete`; `delete` and `create`, in either order, for a replacement. What stays as it is
            is left out.
        imported: the addresses that are taken into the state, whatever else is done to them.
    """

    file: Path
    actions: Mapping[str, tuple[str, ...]]
    imported: frozenset[str] = frozenset()

    def destroyed(self, allowed: Collection[str] = ()) -> tuple[str, ...]:
        """Return the addresses that would be deleted or replaced, without those that may be."""
        return tuple(
            address
            for address, actions in self.actions.items()
            if _DELETE in actions and address not in allowed
        )


def plan_of(file: Path, document: Mapping[str, Any]) -> Plan:
    """Return what `show -json` says of a saved plan."""
    changes = [one for one in document.get("resource_changes") or () if one.get("mode") == "managed"]
    actions = {_address(one): tuple(one["change"]["actions"]) for one in changes}
    return Plan(
        file,
        {address: done for address, done in actions.items() if done != ("no-op",)},
        frozenset(one["address"] for one in changes if one["change"].get("importing")),
    )


def _address(change: Mapping[str, Any]) -> str:
    """Return what a change is about: what a replacement has left behind shares an address with the new."""
    deposed = change.get("deposed")
    return f"{change['address']} (deposed {deposed})" if deposed else str(change["address"])
