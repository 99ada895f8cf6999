"""Waiting for the state's lock, in front of a store that does not do what it says."""

from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from tests.operations.rows import make_environment, take

from beta9_provisioning.clouds.cloud import StateLock
from beta9_provisioning.clouds.synthesis import new_synthesizer
from beta9_provisioning.kit.database import Sessions
from beta9_provisioning.operations.records.proof import Fate
from beta9_provisioning.operations.run.context import Context
from beta9_provisioning.operations.run.recorder import Recorder
from beta9_provisioning.operations.run.stopping import Stop
from beta9_provisioning.operations.steps.state_keeping import StateLocked, lock_state
from beta9_provisioning.settings import Settings


@dataclass
class Store:
    """An account whose lock stays, whether it says that it removed it or not."""

    removes: bool
    asked: list[str] = field(default_factory=list)

    def lock_state(self, _: StateLock) -> StateLock:
        return StateLock(id="another", who="somebody@host")

    def unlock_state(self, lock_id: str) -> bool:
        self.asked.append(lock_id)
        return self.removes


@pytest.mark.parametrize("removes", [True, False])
def test_a_lock_that_does_not_go_away_is_asked_for_at_a_pace_and_ends_the_wait(
    sessions: Sessions, settings: Settings, removes: bool
) -> None:
    """The journal was flooded with a million removals in two seconds."""
    claim, stop, store = take(sessions, make_environment(sessions).operation_id), Stop(), Store(removes)
    hasty = settings.model_copy(update={"lease_seconds": 2.5})
    with ExitStack() as resources, Recorder(sessions, claim, stop) as recorder:
        context = Context(
            claim, hasty, stop, recorder, new_synthesizer(), resources, fate_of=lambda _: Fate.OVER
        )
        context.__dict__["account"] = cast("Any", store)
        with pytest.raises(StateLocked, match="somebody@host"):
            lock_state(context)
    assert 1 <= len(store.asked) < 10
