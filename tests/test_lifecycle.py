"""The state machine: complete, without cycles, and told to users in the promised words."""

from itertools import product

import pytest

from beta9_provisioning.lifecycle import (
    FINAL,
    PATHS,
    RUNNING,
    EnvironmentStatus,
    Kind,
    OperationStatus,
    environment_status,
    moves,
)

PROMISED = {
    "queued", "provisioning", "bootstrapping", "ready", "updating",
    "failed", "destroy_queued", "destroying", "destroyed",
}  # fmt: skip


def test_public_statuses_are_the_promised_ones() -> None:
    assert {str(status) for status in EnvironmentStatus} == PROMISED


@pytest.mark.parametrize("kind", Kind)
def test_every_status_of_a_path_has_a_public_name_and_a_way_to_fail(kind: Kind) -> None:
    for status in PATHS[kind]:
        assert environment_status(kind, status) in EnvironmentStatus
        if status not in FINAL:
            assert OperationStatus.FAILED in moves(kind, status)


@pytest.mark.parametrize("kind", Kind)
def test_moves_lead_forward_only(kind: Kind) -> None:
    seen: list[OperationStatus] = []
    frontier = {OperationStatus.QUEUED}
    while frontier:
        status = frontier.pop()
        assert status not in moves(kind, status)
        seen.append(status)
        assert len(seen) <= len(OperationStatus), "a cycle"
        frontier |= moves(kind, status) - set(seen)
    assert OperationStatus.SUCCEEDED in seen


@pytest.mark.parametrize(("kind", "status"), list(product(Kind, sorted(FINAL))))
def test_nothing_follows_an_end(kind: Kind, status: OperationStatus) -> None:
    assert moves(kind, status) == frozenset()


def test_a_destroy_is_not_cancelled() -> None:
    for status in (OperationStatus.QUEUED, OperationStatus.DESTROYING):
        assert OperationStatus.CANCELLED not in moves(Kind.DESTROY, status)


def test_a_status_of_another_path_is_refused() -> None:
    with pytest.raises(ValueError, match="never destroying"):
        moves(Kind.PROVISION, OperationStatus.DESTROYING)


@pytest.mark.parametrize("kind", Kind)
def test_exactly_one_working_status_follows_the_queue(kind: Kind) -> None:
    assert len(moves(kind, OperationStatus.QUEUED) & RUNNING) == 1
