"""The steps that concern Terraform's state: where it is kept, and whose it is while an attempt runs.

The worker holds the state's lock for the whole attempt, and Terraform runs without one of its own (ADR 9).
"""

import socket

from beta9_provisioning.clouds.cloud import StateLock
from beta9_provisioning.engine.errors import EngineError, Stopped
from beta9_provisioning.kit import runtime
from beta9_provisioning.operations.records.proof import Fate
from beta9_provisioning.operations.records.resuming import earlier_end
from beta9_provisioning.operations.run.context import Context
from beta9_provisioning.operations.steps.infrastructure import terraform_of

_POLL_SECONDS = 1.0


class StateLocked(EngineError):
    """Somebody else has locked the state."""

    code = "state_locked"


def prepare_state(context: Context) -> None:
    """Make the place of the state if it is absent: the first that an attempt writes in the account.

    Before that, all that earlier attempts at the environment started must have ended for sure.
    """
    claim, told = context.claim, False
    while left := context.recorder.insist(lambda session: earlier_end(session, claim)):
        if not told:
            told = True
            context.recorder.emit(
                "predecessor.awaited",
                f"Waits {left:.0f} s: what the attempt before has started may live so long.",
                seconds=round(left, 1),
            )
        if context.stop.event.wait(left):
            raise Stopped("Waiting for the end of the attempt before was stopped.")
    context.backend = context.account.ensure_state_backend()


def lock_state(context: Context) -> None:
    """Lock the state until the attempt ends; take over from attempts that are proven over, from nobody else.

    It waits until the lease of a dead attempt has run out, for its children may live so long; for anybody
    else one lease: so long those of 0.1.0 and 0.2.0 may live, whose Terraform locked the state itself.
    """
    claim = context.claim
    lock = StateLock(
        id=str(claim.lease_token),
        who=f"beta9-provisioning@{socket.gethostname()}",
        operation=claim.kind,
        info=f"operation {claim.operation_id}, attempt {claim.attempt}, of {claim.environment_id}",
    )
    deadline = runtime.monotonic() + context.settings.lease_seconds
    told, removed = None, set[str]()
    while (held := context.account.lock_state(lock)) is not None:
        holder = context.fate_of(held.id)
        # A store that says it removed a lock and still has it is not asked without a pause.
        if holder is Fate.OVER and held.id not in removed and context.account.unlock_state(held.id):
            removed.add(held.id)
            message = "Removed the lock on the state that an earlier attempt had left."
            context.recorder.emit("state.lock_removed", message, lock=held.id, info=held.info)
            continue
        if holder is not Fate.ENDING and runtime.monotonic() >= deadline:
            raise _locked(held)
        if held.id and held.id != told:
            told = held.id
            context.recorder.emit(
                "state.locked", f"Waited for {held.who or 'somebody'} to unlock the state.", lock=held.id
            )
        if context.stop.event.wait(_POLL_SECONDS):
            raise Stopped("Waiting for the lock on the state was stopped.")
    context.resources.callback(_unlock_state, context, lock.id)


def _unlock_state(context: Context, lock_id: str) -> None:
    """Unlock the state at the end of an attempt, unless something of it still runs.

    Then, and when the cloud does not answer, the lock stays: a later attempt removes it once this one is
    proven over.
    """
    try:
        if context.stack is not None and terraform_of(context, "").is_running:
            context.recorder.emit("state.lock_left", "Left the state locked: Terraform still runs.")
            return
        with context.late_account() as account:
            account.unlock_state(lock_id)
    except EngineError as error:
        context.recorder.emit(
            "state.lock_left", f"Left the state locked: {error.message}", code=error.code, detail=error.detail
        )


def _locked(held: StateLock) -> StateLocked:
    about = (held.operation, held.info, f"since {held.created}" if held.created else "")
    return StateLocked(
        f"The state is locked by {held.who or 'somebody who left no name'}.",
        detail=f"Lock {held.id}: {', '.join(filter(None, about)) or 'it says nothing more'}.",
        remedy=(
            "Wait until that run has ended, then try again. Only when its process is proven dead, remove "
            f"{held.place} by hand."
        ),
    )
