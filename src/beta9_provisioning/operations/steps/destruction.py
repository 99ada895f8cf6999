"""The steps that take an environment down, by what the state says and not by its configuration (ADR 9)."""

import shutil
import time
from collections.abc import Sequence

from beta9_provisioning.clouds.cloud import Leftover
from beta9_provisioning.engine.errors import EngineError, Stopped
from beta9_provisioning.engine.synthesis.synthesize import stack_directory, write_bare
from beta9_provisioning.engine.terraform.errors import TerraformFailed
from beta9_provisioning.engine.terraform.working_directory import clear
from beta9_provisioning.operations.records.standing import standing
from beta9_provisioning.operations.run.context import Context
from beta9_provisioning.operations.steps import infrastructure
from beta9_provisioning.operations.steps.infrastructure import terraform_of

# How many leftovers an error message names; the event names them all.
_NAMED_LEFTOVERS = 50
_LEFTOVER_POLL_SECONDS = 2.0
_BLOCKED = "Remove them, or what blocks them, then delete the environment again."
_STATE_INCOMPLETE = (
    "Terraform's state did not know all that was created (the event terraform.unaccounted names it): delete "
    "them in the account, or restore an older version of the state. Then delete the environment again."
)
# Without resources in its configuration Terraform does not tell the address of a resource that was refused.
_UNEXPLAINED = frozenset({"provider_refused", "terraform_failed"})


class LeftoversFound(EngineError):
    """A destroy left something behind."""

    code = "leftovers"


def check_access(context: Context) -> None:
    """Become who the worker is in the customer's account."""
    context.account.check_access()


def initialize(context: Context) -> None:
    """Prepare Terraform with provider and backend alone, if there is a state that holds anything."""
    assert context.backend is not None
    bare = context.cloud.bare_stack(context.place, context.claim.environment_id, context.backend)
    context.workdir.mkdir(parents=True, exist_ok=True, mode=0o700)
    outdir = context.workdir / "cdktf.out"
    clear(stack_directory(outdir), context.stop.event)
    context.stack = write_bare(outdir, bare)
    terraform = terraform_of(context, "Preparing Terraform")
    context.has_state = context.account.has_state() or terraform.errored_state is not None
    if context.has_state:
        infrastructure.initialize(context)
    else:
        context.recorder.emit("state.empty", "The state holds nothing that Terraform could delete.")


def destroy(context: Context) -> None:
    """Delete what the state holds.

    What the cloud refuses to delete is mostly held by something that the state does not know: then that is
    looked for, so that it can be named.
    """
    if context.has_state:
        _delete(context)
    _note_unaccounted(context)


def delete_secrets(context: Context) -> None:
    """Delete the stores' passwords, which no state knows."""
    context.account.delete_secrets()


def _delete(context: Context) -> None:
    terraform = terraform_of(context, "Deleting infrastructure")
    try:
        terraform.destroy(timeout=context.settings.apply_timeout_minutes * 60)
    except TerraformFailed as error:
        if error.code in _UNEXPLAINED and (left := context.account.leftovers()):
            raise _leftovers_found(context, left, f"{error.message}\n\n{error.detail}") from error
        raise


def _note_unaccounted(context: Context) -> None:
    """Compare what is deleted with what was created: an empty or wrong state has nothing to delete.

    Only the cloud can tell whether the rest exists, see `check_nothing_left`.
    """
    environment_id = context.claim.environment_id
    context.unaccounted = context.recorder.insist(lambda session: standing(session, environment_id))
    if context.unaccounted:
        context.recorder.emit(
            "terraform.unaccounted",
            f"Terraform did not delete {len(context.unaccounted)} resources that were created: "
            "its state did not know them, or they were gone.",
            resources=list(context.unaccounted),
        )


def check_nothing_left(context: Context) -> None:
    """Ask the cloud what still belongs to the environment; it may need a while to forget.

    It may also need a while to list what is new. If Terraform did not delete all that was created, the cloud
    must show nothing for the whole grace.
    """
    deadline = time.monotonic() + context.settings.leftover_grace_seconds
    while (left := context.account.leftovers()) or context.unaccounted:
        if time.monotonic() >= deadline:
            if left:
                raise _leftovers_found(context, left)
            break
        if context.stop.event.wait(_LEFTOVER_POLL_SECONDS):
            raise Stopped("The search for leftovers was stopped.")
    context.recorder.emit("inventory.empty", "Found nothing left of the environment.")


def _leftovers_found(context: Context, left: Sequence[Leftover], refusal: str = "") -> LeftoversFound:
    described = [
        {"kind": one.kind, "id": one.id, "status": one.status, "blocked_by": list(one.blocked_by)}
        for one in left
    ]
    context.recorder.emit("inventory.leftovers", f"Found {len(left)} resources left.", resources=described)
    more = f"; and {len(left) - _NAMED_LEFTOVERS} more" if len(left) > _NAMED_LEFTOVERS else ""
    named = "; ".join(str(one) for one in left[:_NAMED_LEFTOVERS]) + more
    return LeftoversFound(
        f"{len(left)} resources of the environment are still there.",
        detail=f"{named}\n\n{refusal}" if refusal else named,
        remedy=_STATE_INCOMPLETE if context.unaccounted else _BLOCKED,
    )


def purge_state(context: Context) -> None:
    """Remove the state and the working directory: the last things that belong to the environment."""
    context.account.purge_state()
    forget(context)


def forget(context: Context) -> None:
    """Remove the working directory."""
    shutil.rmtree(context.workdir, ignore_errors=True)
    context.public_outputs = {}
