"""When `make check-support` says that a default has to change."""

from datetime import timedelta

import pytest
from scripts.check_support import CHOSEN, faults

ENDS = sorted(table[version].standard_until for _, table, version in CHOSEN)


def test_sixty_days_before_the_end_are_early_enough() -> None:
    assert list(faults(ENDS[0] - timedelta(days=60))) == []


@pytest.mark.parametrize("days", [59, 0, -1])
def test_later_than_that_is_too_late(days: int) -> None:
    (fault,) = faults(ENDS[0] - timedelta(days=days))
    assert f"until {ENDS[0]}" in fault
    assert "https://" in fault


def test_every_default_is_looked_at() -> None:
    assert [fault.split()[0] for fault in faults(ENDS[-1])] == ["Kubernetes", "PostgreSQL", "Valkey"]
