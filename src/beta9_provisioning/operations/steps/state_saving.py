"""Saving the states that could not be saved: at once, by this attempt, or by the next one.

Terraform leaves such a state in `errored.tfstate`. That file is lost with the machine, so it is pushed until
it is saved, and laid beside its place when the attempt has to end before.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from beta9_provisioning.clouds.cloud import UnsavedState
from beta9_provisioning.engine.errors import EngineError, Interrupted, Stopped
from beta9_provisioning.engine.terraform.errors import TerraformFailed
from beta9_provisioning.engine.terraform.unsaved_state import ERRORED_STATE
from beta9_provisioning.engine.tool_ports import TerraformPort
from beta9_provisioning.kit import runtime
from beta9_provisioning.kit.backoff import Backoff
from beta9_provisioning.operations.run.context import Context

_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 15.0
_NOT_SAVED = "state_not_saved"


@contextmanager
def saving(context: Context, terraform: TerraformPort) -> Iterator[None]:
    """See to the state when the command in the block could not save it.

    Raises:
        Interrupted: the state is saved by now; what the command was to do has to be tried again.
        TerraformFailed: it could not be saved; it is laid beside its place, if that was possible.
    """
    try:
        yield
    except TerraformFailed as error:
        if error.code != _NOT_SAVED:
            raise
        _push(context, terraform)
        raise Interrupted(
            "The state of the infrastructure could not be saved at once.",
            detail=error.detail,
            remedy="Look at the state bucket: it was not to be written to for a while.",
            code="state_saved_late",
        ) from error


def save_leftover_states(context: Context, terraform: TerraformPort) -> None:
    """Save what earlier attempts could not: in this directory, and beside the state's place."""
    if terraform.errored_state is not None:
        _recover(context, terraform)
    for state in context.account.unsaved_states():
        assert context.stack is not None
        (context.stack / ERRORED_STATE).write_bytes(state.content)
        _recover(context, terraform)
        context.account.forget_unsaved_state(state.id)


def _push(context: Context, terraform: TerraformPort) -> None:
    """Push the state until it is saved or the attempt has to end."""
    backoff = Backoff(_FIRST_PAUSE, _LONGEST_PAUSE)
    deadline = runtime.monotonic() + context.settings.apply_timeout_minutes * 60
    context.recorder.emit("terraform.state_unsaved", "The state could not be saved; it is tried again.")
    while True:
        try:
            _recover(context, terraform)
        except (TerraformFailed, Stopped):
            if context.stop.event.is_set() or runtime.monotonic() >= deadline:
                _lay_beside(context, terraform)
                raise
            backoff.pause(context.stop.event)
        else:
            return


def _recover(context: Context, terraform: TerraformPort) -> None:
    late = terraform.recover_state()
    if late is None:
        context.recorder.emit("terraform.state_recovered", "Saved the state that was left behind.")
    else:
        context.recorder.emit(
            "terraform.state_superseded",
            f"Set a state aside that came too late; {len(late.unknown)} resources are in it alone.",
            file=late.file.name,
            resources=list(late.unknown),
        )


def _lay_beside(context: Context, terraform: TerraformPort) -> None:
    file = terraform.errored_state
    if file is None:
        return
    state = UnsavedState(str(context.claim.lease_token), file.read_bytes())
    try:
        with context.late_account() as account:
            account.keep_unsaved_state(state)
    except EngineError as error:
        context.recorder.emit(
            "terraform.state_left",
            f"Left the unsaved state in the worker's directory: {error.message}",
            code=error.code,
            detail=error.detail,
        )
    else:
        context.recorder.emit("terraform.state_laid", "Laid the unsaved state beside its place.")
