"""What a stack remembers of itself."""

import os
import stat
from pathlib import Path

import pytest

from beta9_provisioning.local.processes import ProcessRef
from beta9_provisioning.local.state import Member, StackBusy, State, exclusive, forget


def _member(pid: int, started: int) -> Member:
    return Member("api", pid, started, 8000, "/x/api.log", "SIGTERM", 20.0)


def test_state_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    me = ProcessRef.of(os.getpid())
    state = State("http://localhost:8000", True, [_member(me.pid, me.started)], {"A": "b"})
    state.save(tmp_path)
    assert State.load(tmp_path) == state
    assert state.is_running()
    forget(tmp_path)
    assert State.load(tmp_path) is None


def test_only_the_owner_may_read_it(tmp_path: Path) -> None:
    State(environment={"AWS_SECRET_ACCESS_KEY": "s"}).save(tmp_path)
    State(environment={"AWS_SECRET_ACCESS_KEY": "s"}).save(tmp_path)
    assert stat.S_IMODE((tmp_path / "state.json").stat().st_mode) == 0o600


def test_a_recycled_pid_is_not_the_member() -> None:
    me = ProcessRef.of(os.getpid())
    state = State(complete=True, members=[_member(me.pid, me.started - 1)])
    assert not state.is_running()
    assert state.ended() == state.members


def test_an_incomplete_stack_is_not_running() -> None:
    me = ProcessRef.of(os.getpid())
    assert not State(complete=False, members=[_member(me.pid, me.started)]).is_running()


def test_two_commands_do_not_start_a_stack_at_once(tmp_path: Path) -> None:
    with (
        exclusive(tmp_path / "stack"),
        pytest.raises(StackBusy, match="try again"),
        exclusive(tmp_path / "stack"),
    ):
        pass
    with exclusive(tmp_path / "stack"):
        pass
