"""The steps that take an environment down, by what the state says and not by its configuration (ADR 9)."""

import shutil
from collections.abc import Mapping, Sequence
from contextvars import copy_context
from typing import Any

from beta9_provisioning.clouds.cloud import Leftover, Phase
from beta9_provisioning.engine.beta9.objects import is_own
from beta9_provisioning.engine.errors import EngineError, Stopped
from beta9_provisioning.engine.synthesis.synthesize import stack_directory, write_bare
from beta9_provisioning.engine.terraform.errors import TerraformFailed
from beta9_provisioning.engine.terraform.working_directory import clear
from beta9_provisioning.kit import runtime
from beta9_provisioning.operations.records.standing import journaled, was_ready
from beta9_provisioning.operations.run.context import Context
from beta9_provisioning.operations.steps import infrastructure, lost_resources
from beta9_provisioning.operations.steps.infrastructure import built, terraform_of
from beta9_provisioning.operations.steps.state_saving import saving
from beta9_provisioning.schemas.configuration import OnDelete

# How many leftovers an error message names; the event names them all.
_NAMED_LEFTOVERS = 50
_LEFTOVER_POLL_SECONDS = 2.0
_RETAINED = "its volume is to be retained"
_BLOCKED = "Remove them, or what blocks them, then delete the environment again."
_STATE_INCOMPLETE = (
    "Terraform's state did not know all that was created (the event terraform.unaccounted names it): delete "
    "them in the account, or restore an older version of the state. Then delete the environment again."
)
# Without resources in its configuration Terraform does not tell the address of a resource that was refused.
_UNEXPLAINED = frozenset({"provider_refused", "terraform_failed"})


class ObjectsKept(EngineError):
    """Objects are in the way that the configuration keeps."""

    code = "objects_kept"


class LeftoversFound(EngineError):
    """A destroy left something behind."""

    code = "leftovers"


def asked(config: Mapping[str, Any], *path: str) -> Any:
    """Return a value of a stored configuration, which may be none that this version takes (ADR 9)."""
    found: Any = config
    for key in path:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found


def check_access(context: Context) -> None:
    """Become who the worker is in the customer's account, who may take all of it away."""
    prefix = asked(context.claim.config, "data", "object_store", "bucket_prefix")
    known = prefix if isinstance(prefix, str) else None
    infrastructure.check_permissions(context, (Phase.READ, Phase.DESTROY), known)


def initialize(context: Context) -> None:
    """Prepare Terraform with provider and backend alone, if there is a state that holds anything."""
    context.workdir.mkdir(parents=True, exist_ok=True, mode=0o700)
    clear(stack_directory(context.outdir), context.stop.event)
    context.stack = write_bare(context.outdir, context.bare_stack)
    terraform = terraform_of(context, "Preparing Terraform")
    context.has_state = bool(
        context.account.has_state() or terraform.errored_state or context.account.unsaved_states()
    )
    if context.has_state:
        infrastructure.initialize(context)
    else:
        context.recorder.emit("state.empty", "The state holds nothing that Terraform could delete.")


def check_objects(context: Context) -> None:
    """Refuse to go on when the configuration keeps objects and there are any, before anything is deleted.

    Objects of Beta9's own do not count, nor do those of an environment that was never ready.
    """
    if asked(context.claim.config, "data", "object_store", "on_delete") != OnDelete.REFUSE:
        return
    environment_id = context.claim.environment_id
    if not context.recorder.insist(lambda session: was_ready(session, environment_id)):
        return
    found = context.account.contents(is_own)
    if found:
        raise ObjectsKept(
            "The environment holds objects, and data.object_store.on_delete is refuse: nothing was deleted.",
            detail="; ".join(map(str, found)),
            remedy="Copy or delete the objects; or delete the environment with objects=delete "
            "(env delete --delete-objects), which deletes them, too.",
        )


def lift_protection(context: Context) -> None:
    """Take the last snapshot if it is wanted, then let the cloud delete what it protects.

    Terraform would do neither: it reads both from the state, which knows nothing of this request.
    """
    seconds = context.settings.apply_timeout_minutes * 60
    if asked(context.claim.config, "data", "postgres", "final_snapshot") is True:
        snapshot = context.account.take_snapshot(seconds)
        if snapshot is None:
            context.recorder.emit("snapshot.absent", "There was no database to take a final snapshot of.")
        else:
            context.recorder.emit("snapshot.taken", f"Took the final snapshot {snapshot}.", name=snapshot)
    infrastructure.lift_protection(context)


def destroy(context: Context) -> None:
    """Delete what the state holds, and what the cluster has left beside it.

    What the cloud refuses to delete is mostly held by something that the state does not know: then that is
    looked for, so that it can be named.
    """
    if context.has_state:
        _delete_all_but_last(context)
        _sweep(context)
        _delete(context)
    _note_unaccounted(context)


def delete_secrets(context: Context) -> None:
    """Delete the stores' passwords, which no state knows."""
    context.account.delete_secrets()


def _delete_all_but_last(context: Context) -> None:
    """Delete all but networks and buckets, and empty the buckets meanwhile.

    Two runs of Terraform rather than one with a sweeper beside it (ADR 18): interfaces that a cluster leaves
    hold its network, and can be removed when the cluster is gone and not before.
    """
    first = [one for one in built(context) if not context.cloud.is_deleted_last(one.split(".", 1)[0])]
    ended = runtime.event()
    with runtime.pool(1, "empty-stores") as pool:
        emptied = pool.submit(copy_context().run, _empty_stores, context, ended)
        try:
            if first:
                _delete(context, sorted(first))
        except BaseException:
            # Not told before the pool has ended.
            ended.set()
            raise
        emptied.result()


def _empty_stores(context: Context, ended: runtime.Event) -> None:
    deadline = runtime.monotonic() + context.settings.apply_timeout_minutes * 60

    def tell(store: str, deleted: int) -> None:
        context.recorder.emit("objects.deleted", f"Deleted {deleted} versions in {store}.", count=deleted)

    context.account.empty_stores(tell, lambda: ended.is_set() or runtime.monotonic() >= deadline)


def _sweep(context: Context) -> None:
    removed = context.account.sweep(context.settings.drain_timeout_minutes * 60, context.chosen)
    if removed:
        context.recorder.emit(
            "sweep.removed",
            f"Removed {len(removed)} resources that the cluster had left.",
            resources=list(removed),
        )


def _delete(context: Context, targets: Sequence[str] = ()) -> None:
    terraform = terraform_of(context, "Deleting infrastructure")
    try:
        with saving(context, terraform):
            terraform.destroy(timeout=context.settings.apply_timeout_minutes * 60, targets=targets)
    except TerraformFailed as error:
        if error.code in _UNEXPLAINED and (left := _left(context)):
            raise _leftovers_found(context, left, f"{error.message}\n\n{error.detail}") from error
        raise


def _note_unaccounted(context: Context) -> None:
    """Compare what is deleted with what was created: an empty or wrong state has nothing to delete.

    Only the cloud can tell whether the rest exists: it is asked for each by its id or name, as far as the
    stack is known, and then for all that is the environment's, see `check_nothing_left`.
    """
    environment_id = context.claim.environment_id
    journal = context.recorder.insist(lambda session: journaled(session, environment_id))
    left = lost_resources.not_gone(context, journal) if journal else {}
    context.unaccounted = [f"{address} ({id_})" if id_ else address for address, id_ in left.items()]
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
    deadline = runtime.monotonic() + context.settings.leftover_grace_seconds
    # Late logs may have made the cluster's log group again since Terraform, and since the first sweep.
    _sweep(context)
    while (left := _left(context)) or context.unaccounted:
        if runtime.monotonic() >= deadline:
            if left:
                raise _leftovers_found(context, left)
            break
        if context.stop.event.wait(_LEFTOVER_POLL_SECONDS):
            raise Stopped("The search for leftovers was stopped.")
        _sweep(context)
    if context.left_in_cluster is not None:
        raise _not_left(context.left_in_cluster)
    context.recorder.emit("inventory.empty", "Found nothing left of the environment.")
    if kept := [*context.account.kept(), *(Leftover("disk", one, _RETAINED) for one in context.kept_disks)]:
        context.recorder.emit(
            "inventory.kept",
            "Left for a reason: " + "; ".join(map(str, kept)) + ".",
            resources=[{"kind": one.kind, "id": one.id, "why": one.status} for one in kept],
        )


def _left(context: Context) -> Sequence[Leftover]:
    found = context.account.leftovers(context.chosen)
    return [one for one in found if one.id not in context.kept_disks]


def _not_left(error: EngineError) -> LeftoversFound:
    return LeftoversFound(
        "Something of the environment is still in the cluster.",
        detail=f"{error.message} {error.detail}",
        remedy=_BLOCKED,
    )


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
