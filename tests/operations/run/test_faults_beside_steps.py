"""Faults of ours that no step raises: their operation ends at once, and is not said to have lost a worker."""

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.operations.run.provisions import Provision

from beta9_provisioning.engine.errors import EngineError
from beta9_provisioning.kit.database import Sessions
from beta9_provisioning.lifecycle import OperationStatus
from beta9_provisioning.operations.records.store import Claim
from beta9_provisioning.operations.run.context import Context
from beta9_provisioning.operations.run.runner import Step

SECRET = "postgresql://user:secret@host"


@pytest.fixture
def provision(sessions: Sessions, tmp_path: Path) -> Provision:
    return Provision(sessions, tmp_path)


def crash() -> None:
    raise ZeroDivisionError(SECRET)


def assert_internal(provision: Provision, kind: str) -> None:
    assert (provision.reason, provision.error["code"]) == ("internal", "internal_error")
    assert provision.error["detail"].startswith(kind)
    assert "secret" not in str(provision.error)


def test_what_cannot_be_closed_ends_the_operation_as_internal(provision: Provision) -> None:
    def work(context: Context) -> None:
        context.resources.callback(crash)

    assert provision.run(work) is OperationStatus.FAILED
    assert_internal(provision, "ZeroDivisionError")


def test_what_cannot_be_closed_does_not_hide_why_a_step_failed(provision: Provision) -> None:
    closed: list[str] = []

    def work(context: Context) -> None:
        context.resources.callback(closed.append, "first")
        context.resources.callback(crash)
        raise EngineError("It broke.", code="it_broke")

    assert provision.run(work) is OperationStatus.FAILED
    assert (provision.reason, provision.error["code"]) == ("terraform_failed", "it_broke")
    assert closed == ["first"]


def unknown(_: Claim) -> tuple[Step, ...]:
    raise KeyError(SECRET)


def empty(_: Claim) -> tuple[Step, ...]:
    return ()


@pytest.mark.parametrize(("workflows", "kind"), [(unknown, "KeyError"), (empty, "IndexError")])
def test_a_workflow_that_cannot_be_had_ends_the_operation_as_internal(
    provision: Provision, workflows: Callable[[Claim], tuple[Step, ...]], kind: str
) -> None:
    assert provision.run_workflow(workflows) is OperationStatus.FAILED
    assert_internal(provision, kind)


def test_a_library_that_wants_to_exit_ends_the_operation_as_internal(provision: Provision) -> None:
    def work(_: Context) -> None:
        raise SystemExit(SECRET)

    assert provision.run(work) is OperationStatus.FAILED
    assert_internal(provision, "SystemExit")
