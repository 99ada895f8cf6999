"""The step of a destroy that has Terraform know what stands in the account and is in no state.

A worker that is killed loses up to 20 s of what Terraform created. A provision that goes on adopts that; an
environment that is deleted before comes here. What the state knows again, Terraform deletes in its order.
"""

from collections.abc import Mapping, Sequence

from beta9_provisioning.clouds.stands import Condition, Known, Standing
from beta9_provisioning.engine.synthesis.excerpt import excerpt
from beta9_provisioning.engine.synthesis.synthesize import providers_of, resources_of, write_bare
from beta9_provisioning.engine.terraform.errors import TerraformFailed, TerraformKilled
from beta9_provisioning.engine.terraform.plan import Plan
from beta9_provisioning.engine.terraform.state_reading import State
from beta9_provisioning.engine.tool_ports import TerraformPort
from beta9_provisioning.operations.records.standing import journaled
from beta9_provisioning.operations.run.context import Context
from beta9_provisioning.operations.steps import adoption, infrastructure
from beta9_provisioning.operations.steps.infrastructure import terraform_of
from beta9_provisioning.operations.steps.state_saving import saving

_UPDATE = "update"


def take_in(context: Context) -> None:
    """Take into the state what the environment's last stack has, the account shows and the state lacks.

    What is still being made is waited for: no cloud deletes it before. A stack for providers that this worker
    does not have is of no use to it; what is left then is found at the end, and named.
    """
    bare, laid = context.bare_stack, context.account.kept_stack()
    if laid is None or providers_of(laid) != bare["terraform"]["required_providers"]:
        return
    state = terraform_of(context, adoption.TITLE).state() if context.has_state else State({})
    lost = _lost(context, laid, state)
    if not lost:
        return
    if not context.has_state:
        infrastructure.initialize(context)
        context.has_state = True
    addresses = {one.address for one in lost}
    write_bare(context.outdir, excerpt(laid, addresses | state.resources.keys(), bare))
    _import(context, lost)
    write_bare(context.outdir, bare)


def not_gone(context: Context, journal: Mapping[str, str]) -> dict[str, str]:
    """Return of these ids, by address, those that the account shows, or for which it cannot be asked.

    What it cannot show by itself is a setting of something else, with which it goes.
    """
    laid = context.account.kept_stack()
    stack = resources_of(laid) if laid is not None else {}
    asked = journal.keys() & stack.keys()
    found = context.account.standing(asked, Known(stack, {}, journal)) if asked else ()
    gone = asked - {one.address for one in found}
    return {address: id_ for address, id_ in journal.items() if address not in gone}


def _lost(context: Context, laid: bytes, state: State) -> Sequence[Standing]:
    stack, environment_id = resources_of(laid), context.claim.environment_id
    wanted = stack.keys() - state.resources.keys()
    if not wanted:
        return ()
    journal = context.recorder.insist(lambda session: journaled(session, environment_id))
    known = Known(stack, state.ids, journal)
    found = adoption.settled(context, wanted, known, awaited=(Condition.UNFINISHED,))
    # What is being deleted goes without Terraform.
    return [one for one in found if one.condition is not Condition.LEAVING]


def _import(context: Context, lost: Sequence[Standing]) -> None:
    """Import what can be imported, by a plan that does nothing else.

    It asks the cloud for nothing that the state knows: what is gone would be planned to be made again.
    """
    terraform = terraform_of(context, adoption.TITLE)
    adoption.take_in(context, terraform, lost)
    seconds = context.settings.apply_timeout_minutes * 60
    plan = _planned(context, terraform, [one.address for one in lost], seconds)
    if plan is not None:
        with saving(context, terraform):
            terraform.apply(seconds, plan)
    terraform.adopt({})


def _planned(
    context: Context, terraform: TerraformPort, addresses: Sequence[str], seconds: float
) -> Plan | None:
    """Return the plan; None, and the journal tells why, when there is none that imports and nothing else.

    Then the destroy goes on: what it leaves is found at its end, and named.
    """
    try:
        plan = terraform.plan(seconds, addresses, refresh=False)
    except TerraformKilled:
        raise
    except TerraformFailed as error:
        message = f"Could take nothing in: {error.message}"
        context.recorder.emit("terraform.not_adopted", message, code=error.code, detail=error.detail)
        return None
    unwanted = {one: list(done) for one, done in plan.actions.items() if done != (_UPDATE,)}
    if not unwanted:
        return plan
    plan.file.unlink(missing_ok=True)
    message = f"Took nothing in: the plan would have made or replaced {len(unwanted)} resources."
    context.recorder.emit("terraform.plan_refused", message, actions=unwanted)
    return None
