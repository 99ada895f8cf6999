"""The steps that concern the cloud: access, state, synthesis, Terraform, and what is left at the end."""

import shutil
import time
from collections.abc import Callable, Sequence

from beta9_provisioning.clouds.cloud import Leftover
from beta9_provisioning.engine.errors import EngineError, Stopped
from beta9_provisioning.engine.synthesis.synthesize import stack_directory
from beta9_provisioning.engine.terraform.progress import Progress
from beta9_provisioning.engine.terraform.terraform import Terraform
from beta9_provisioning.engine.terraform.working_directory import clear
from beta9_provisioning.operations.run.context import Context
from beta9_provisioning.operations.run.narration import Narrator
from beta9_provisioning.operations.steps.overlap import BaseCharts

# How many leftovers an error message names; the event names them all.
_NAMED_LEFTOVERS = 10
_LEFTOVER_POLL_SECONDS = 2.0


class LeftoversFound(EngineError):
    """A destroy left something behind."""

    code = "leftovers"


def check_access(context: Context) -> None:
    """Become who the worker is in the customer's account."""
    context.cloud.check_supported(context.config)
    context.account.check_access()


def prepare_state(context: Context) -> None:
    """Make the place of the state if it is absent."""
    context.backend = context.account.ensure_state_backend()


def synthesize(context: Context) -> None:
    """Turn the configuration into Terraform's."""
    context.workdir.mkdir(parents=True, exist_ok=True, mode=0o700)
    assert context.backend is not None
    outdir = context.workdir / "cdktf.out"
    clear(stack_directory(outdir), context.stop.event)
    context.stack = context.synthesizer.synthesize(
        context.config,
        context.claim.environment_id,
        context.backend,
        outdir,
        context.stop.event,
    )


def initialize(context: Context) -> None:
    """Prepare Terraform's working directory; save a state that an earlier attempt could not save."""
    terraform, _ = _terraform(context, "Preparing Terraform")
    terraform.init()
    if terraform.errored_state is not None:
        terraform.recover_state()
        context.recorder.emit("terraform.state_recovered", "Saved the state that was left behind.")


def apply(context: Context) -> None:
    """Create the infrastructure, and the base charts as soon as the cluster stands."""
    base_charts = context.resources.enter_context(BaseCharts(context))
    context.finish_base_charts = base_charts.finish
    terraform, narrator = _terraform(context, "Creating infrastructure", base_charts.look)
    terraform.apply(timeout=context.settings.apply_timeout_minutes * 60)
    context.outputs = narrator.outputs if narrator.outputs is not None else terraform.outputs()


def built(context: Context) -> frozenset[str]:
    """Return the addresses of what the state knows."""
    terraform, _ = _terraform(context, "Reading the state")
    return frozenset(terraform.resources())


def destroy(context: Context) -> None:
    """Delete the infrastructure."""
    terraform, _ = _terraform(context, "Deleting infrastructure")
    terraform.destroy(timeout=context.settings.apply_timeout_minutes * 60)
    note_unaccounted(context)


def note_unaccounted(context: Context) -> None:
    """Compare what is deleted with what was created: an empty or wrong state has nothing to delete.

    Only the cloud can tell whether the rest exists, see `check_nothing_left`.
    """
    context.unaccounted = context.recorder.standing()
    if context.unaccounted:
        context.recorder.emit(
            "terraform.unaccounted",
            f"Terraform's state did not know {len(context.unaccounted)} resources that were created.",
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


def _leftovers_found(context: Context, left: Sequence[Leftover]) -> LeftoversFound:
    described = [
        {"kind": one.kind, "id": one.id, "status": one.status, "blocked_by": list(one.blocked_by)}
        for one in left
    ]
    context.recorder.emit("inventory.leftovers", f"Found {len(left)} resources left.", resources=described)
    more = f"; and {len(left) - _NAMED_LEFTOVERS} more" if len(left) > _NAMED_LEFTOVERS else ""
    if context.unaccounted:
        return LeftoversFound(
            f"{len(left)} resources of the environment are still there; Terraform's state did not know them.",
            detail="; ".join(str(one) for one in left[:_NAMED_LEFTOVERS]) + more,
            remedy=(
                "Delete them in the account (the event terraform.unaccounted names all that were created), "
                "then delete the environment again. Or restore an older version of the state."
            ),
            code="state_incomplete",
        )
    return LeftoversFound(
        f"{len(left)} resources of the environment are still there.",
        detail="; ".join(str(one) for one in left[:_NAMED_LEFTOVERS]) + more,
        remedy="Remove what blocks them, then delete the environment again.",
    )


def purge_state(context: Context) -> None:
    """Remove the state and the working directory: the last things that belong to the environment."""
    context.account.purge_state()
    forget(context)


def forget(context: Context) -> None:
    """Remove the working directory."""
    shutil.rmtree(context.workdir, ignore_errors=True)
    context.public_outputs = {}


def _terraform(
    context: Context, title: str, on_progress: Callable[[Progress], None] | None = None
) -> tuple[Terraform, Narrator]:
    assert context.stack is not None
    narrator = Narrator(context.recorder, title, on_progress)
    terraform = Terraform(
        binary=context.settings.terraform_binary,
        directory=context.stack,
        env=context.child_env,
        stop=context.stop.event,
        on_event=narrator.take,
        rules=context.cloud.terraform_rules,
        grace=context.settings.lease_seconds / 3,
    )
    return terraform, narrator
