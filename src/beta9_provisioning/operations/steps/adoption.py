"""The step that finds what earlier attempts made, and that the state does not know or calls unfinished.

A worker that is killed loses up to 20 s of what Terraform created, and one that is stopped leaves marked as
tainted what was being created. Both stand in the cloud: it is asked, what it is still making is waited for,
and what is whole is kept. Nothing is made twice, and nothing is replaced that works.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from beta9_provisioning.clouds.stands import Condition, Known, Standing
from beta9_provisioning.engine.errors import EngineError, Stopped
from beta9_provisioning.engine.synthesis.synthesize import STACK_FILE, resources_of
from beta9_provisioning.engine.tool_ports import TerraformPort
from beta9_provisioning.kit import runtime
from beta9_provisioning.operations.records.standing import journaled
from beta9_provisioning.operations.run.context import Context
from beta9_provisioning.operations.steps.infrastructure import terraform_of
from beta9_provisioning.operations.steps.state_saving import saving

TITLE = "Looking for what was made before"
_POLL_SECONDS = 2.0


class ResourceFailed(EngineError):
    """Something that the cloud has given up may hold data, and is not deleted for that."""

    code = "resource_failed"


class AdoptionTimeout(EngineError):
    """The cloud was still making what an earlier attempt began."""

    code = "adoption_timeout"


def adopt(context: Context) -> None:
    """Have the next plan take in what stands, keep what works, and delete what failed and holds nothing."""
    terraform = terraform_of(context, TITLE)
    # What an earlier try has said may not be true any more.
    terraform.adopt({})
    # A restored database may know nothing of what the lost one had begun.
    if not context.claim.touched_cloud and not context.account.has_state():
        return
    assert context.stack is not None
    environment_id = context.claim.environment_id
    state = terraform.state()
    stack = resources_of((context.stack / STACK_FILE).read_bytes())
    wanted = {*(stack.keys() - state.resources.keys()), *(stack.keys() & set(state.tainted))}
    if not wanted:
        return
    journal = context.recorder.insist(lambda session: journaled(session, environment_id))
    known = Known(stack, state.ids, journal)
    found = settled(context, wanted, known)
    _remove_failed(context, [one for one in found if one.condition is Condition.FAILED], known)
    ready = [one for one in found if one.condition is Condition.READY]
    _keep(context, terraform, [one for one in ready if one.address in state.resources])
    take_in(context, terraform, [one for one in ready if one.address not in state.resources])


def settled(
    context: Context,
    wanted: Collection[str],
    known: Known,
    awaited: Collection[Condition] = (Condition.UNFINISHED, Condition.LEAVING),
) -> Sequence[Standing]:
    """Return what stands, when nothing of it is as what is awaited any more.

    Raises:
        AdoptionTimeout: something is, after as long as an apply may take.
        Stopped: the attempt was asked to stop.
    """
    minutes = context.settings.apply_timeout_minutes
    deadline = runtime.monotonic() + minutes * 60

    def passing(found: Sequence[Standing]) -> list[Standing]:
        return [one for one in found if one.condition in awaited]

    while waiting := passing(found := context.account.standing(wanted, known)):
        context.recorder.emit(
            "terraform.waiting",
            f"Began to wait for {len(waiting)} resources that the cloud was still making or deleting.",
            resources=[one.address for one in waiting],
        )
        ids = {one.address: one.import_id for one in found}
        seen = replace(known, state={**known.state, **ids})
        while waiting:
            context.recorder.progress(f"{TITLE}: {waiting[0].address} is {waiting[0].status}")
            if runtime.monotonic() >= deadline:
                raise _timeout(waiting, minutes)
            if context.stop.event.wait(_POLL_SECONDS):
                raise Stopped("The wait for what an earlier attempt began was stopped.")
            asked = [one.address for one in waiting]
            waiting = passing(context.account.standing(asked, seen))
    return found


def _timeout(waiting: Sequence[Standing], minutes: float) -> AdoptionTimeout:
    return AdoptionTimeout(
        f"The cloud was still making {waiting[0].address} after {minutes:g} minutes.",
        detail="; ".join(_described(one) for one in waiting),
        remedy="See in the account what it waits for. Then try again: what is whole by then is kept.",
    )


def _remove_failed(context: Context, failed: Sequence[Standing], known: Known) -> None:
    """Delete what the cloud has given up, unless it may hold data; it is made anew.

    Raises:
        ResourceFailed: something may hold data; nothing was deleted.
    """
    if kept := [one for one in failed if one.holds_data]:
        raise ResourceFailed(
            f"{kept[0].address} has failed, and may hold data: it is not replaced.",
            detail="; ".join(_described(one) for one in kept),
            remedy="Repair it in the account, or save its data and delete it there; then try again.",
        )
    for one in failed:
        context.account.remove(one, known, context.settings.apply_timeout_minutes * 60)
        context.recorder.emit(
            "terraform.failed_removed",
            f"Deleted {one.address}, which the cloud had given up, to make it anew.",
            address=one.address,
            id=one.import_id,
            status=one.status,
        )


def _keep(context: Context, terraform: TerraformPort, ready: Sequence[Standing]) -> None:
    """Keep what the state calls unfinished and what is whole in the cloud."""
    if ready:
        addresses = [one.address for one in ready]
        with saving(context, terraform):
            terraform.untaint(addresses)
        context.recorder.emit(
            "terraform.untainted",
            f"Kept {len(addresses)} resources that were being made when Terraform was stopped.",
            resources=addresses,
        )


def take_in(context: Context, terraform: TerraformPort, ready: Sequence[Standing]) -> None:
    """Have the next plan take in what the state does not know."""
    if ready:
        terraform.adopt({one.address: one.import_id for one in ready})
        context.recorder.emit(
            "terraform.adopted",
            f"Found {len(ready)} resources that the state did not know, to be taken in.",
            resources={one.address: one.import_id for one in ready},
        )


def _described(one: Standing) -> str:
    return f"{one.address} ({one.import_id}) is {one.status or one.condition}"
