"""How far an apply or a destroy has come, folded from Terraform's events.

A plan and its apply may be two commands. Terraform 1.11 tells the changes of a saved plan again when it is
applied, without a summary: they are counted once.
"""

from __future__ import annotations

from collections import Counter

from beta9_provisioning.engine.terraform.events import TerraformEvent

# What one planned change means in operations. Every other action (read, noop, move, import) changes nothing.
_OPERATIONS = {"create": 1, "update": 1, "delete": 1, "replace": 2}


class Progress:
    """Counts the operations of one plan and its apply; give it every event in turn.

    Attributes:
        total: operations of the plan, a replacement counting as two; grows while the plan is being made.
        done: operations that are complete.
    """

    def __init__(self) -> None:
        self.total = 0
        self.done = 0
        self._left: Counter[str] = Counter()
        self._running: dict[str, None] = {}  # in the order of their beginning
        self._refreshed: set[str] = set()
        self._complete: set[str] = set()
        self._is_planned = False

    @property
    def current(self) -> str | None:
        """The address that has been worked on longest, None between operations."""
        return next(iter(self._running), None)

    @property
    def completed_addresses(self) -> frozenset[str]:
        """Addresses that are as the plan wants them; in a destroy, those that are gone.

        These are the addresses whose operations are complete and, as soon as the plan stands, those that were
        found in the state and need no change.
        """
        return frozenset(self._complete)

    def add(self, event: TerraformEvent) -> None:
        """Take one event into account; unknown ones change nothing."""
        if event.type == "change_summary":
            self._summarize(event)
        elif event.address is None:
            return
        elif event.type == "refresh_complete":
            self._refreshed.add(event.address)
        elif event.action not in _OPERATIONS:
            return
        elif event.type == "planned_change":
            self._plan(event.address, _OPERATIONS[event.action])
        else:
            self._apply(event.type, event.address)

    def _plan(self, address: str, operations: int) -> None:
        if not self._is_planned:
            self._left[address] += operations
            self.total += operations

    def _summarize(self, event: TerraformEvent) -> None:
        changes = event.data.get("changes")
        if not isinstance(changes, dict) or changes.get("operation") != "plan":
            return
        numbers = [changes.get(key, 0) for key in ("add", "change", "remove")]
        self.total = sum(number for number in numbers if isinstance(number, int))
        self._is_planned = True
        # Nothing else refers to an address that is in the state and not in the plan.
        self._complete |= self._refreshed - self._left.keys()

    def _apply(self, kind: str, address: str) -> None:
        if kind == "apply_start":
            self._running[address] = None
        elif kind == "apply_errored":
            self._running.pop(address, None)
        elif kind == "apply_complete":
            self._running.pop(address, None)
            self.done += 1
            self._left[address] -= 1
            if self._left[address] <= 0:
                self._complete.add(address)
