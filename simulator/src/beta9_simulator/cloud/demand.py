"""What a service is asked to make or change, as its own rules look at it before anything is stored."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from beta9_simulator.cloud.store import Store, StoredObject

State = Mapping[str, Any]


@dataclass(frozen=True)
class Demand:
    """A create or a change.

    ``state`` is what the object will be, ``prior`` what it was: None for a create. ``config`` is what
    Terraform's configuration says: write-only values are nowhere else, and what it left open is None there.
    """

    store: Store
    account: str
    region: str
    state: State
    prior: State | None
    config: State

    def named(self, type: str, name: Any) -> StoredObject | None:
        """The caller's object of this name, if there is one."""
        if not isinstance(name, str):
            return None
        found = self.store.find(type, account=self.account, region=self.region, name=name)
        return found[0] if found else None


Rule = Callable[[Demand], None]
"""Raises ``CloudError`` to refuse."""


def minutes(window: str) -> list[tuple[int, int]]:
    """The spans of a window as minutes of a week: daily ones (03:00-04:00) come seven times."""
    start, _, end = window.partition("-")
    days = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
    if start[:3] in days:
        begin, stop = _minute(start[4:], days.index(start[:3])), _minute(end[4:], days.index(end[:3]))
        return [(begin, stop if stop > begin else stop + 7 * 1440)]
    spans = [(_minute(start, day), _minute(end, day)) for day in range(7)]
    return [(begin, stop if stop > begin else stop + 1440) for begin, stop in spans]


def overlap(one: str, other: str) -> bool:
    """Whether two windows have a minute in common, in whatever week."""
    week = 7 * 1440
    return any(
        begin < until + shift and start + shift < end
        for begin, end in minutes(one)
        for start, until in minutes(other)
        for shift in (-week, 0, week)
    )


def _minute(clock: str, day: int) -> int:
    hours, _, rest = clock.partition(":")
    return day * 1440 + int(hours) * 60 + int(rest)
