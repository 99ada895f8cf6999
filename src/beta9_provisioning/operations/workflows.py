"""The workflows: what each kind of operation does, in order. Read this before anything else here."""

from beta9_provisioning.lifecycle import Kind, OperationStatus, Reason
from beta9_provisioning.operations.records.store import FIRST_TOUCH, Claim
from beta9_provisioning.operations.run.runner import Step
from beta9_provisioning.operations.steps import bootstrap
from beta9_provisioning.operations.steps import infrastructure as steps

_PLANNING = OperationStatus.PLANNING
_APPLYING = OperationStatus.APPLYING
_BOOTSTRAPPING = OperationStatus.BOOTSTRAPPING
_DESTROYING = OperationStatus.DESTROYING

PROVISION = (
    Step("access", "Checking access", _PLANNING, Reason.ACCESS_REFUSED, steps.check_access),
    Step(FIRST_TOUCH, "Preparing the state bucket", _PLANNING, Reason.ACCESS_REFUSED, steps.prepare_state),
    Step("synthesis", "Synthesizing", _PLANNING, Reason.CONFIGURATION, steps.synthesize),
    Step("init", "Preparing Terraform", _PLANNING, Reason.TERRAFORM_FAILED, steps.initialize),
    Step("apply", "Creating infrastructure", _APPLYING, Reason.TERRAFORM_FAILED, steps.apply),
    Step("base", "Installing base charts", _BOOTSTRAPPING, Reason.BOOTSTRAP_FAILED, bootstrap.install_base),
    Step("beta9", "Installing Beta9", _BOOTSTRAPPING, Reason.BOOTSTRAP_FAILED, bootstrap.install_beta9),
    Step("outputs", "Collecting outputs", _BOOTSTRAPPING, Reason.BOOTSTRAP_FAILED, bootstrap.collect_outputs),
)

# Runs from every state, with anything missing: what is not there needs no deletion.
DESTROY = (
    Step("access", "Checking access", _DESTROYING, Reason.ACCESS_REFUSED, steps.check_access),
    Step(FIRST_TOUCH, "Preparing the state bucket", _DESTROYING, Reason.ACCESS_REFUSED, steps.prepare_state),
    Step("synthesis", "Synthesizing", _DESTROYING, Reason.CONFIGURATION, steps.synthesize),
    Step("init", "Preparing Terraform", _DESTROYING, Reason.TERRAFORM_FAILED, steps.initialize),
    Step("drain", "Removing Beta9 from the cluster", _DESTROYING, Reason.BOOTSTRAP_FAILED, bootstrap.drain),
    Step("destroy", "Deleting infrastructure", _DESTROYING, Reason.TERRAFORM_FAILED, steps.destroy),
    Step("inventory", "Looking for leftovers", _DESTROYING, Reason.LEFTOVERS, steps.check_nothing_left),
    Step("purge", "Removing the state", _DESTROYING, Reason.LEFTOVERS, steps.purge_state),
)

# The account was never touched: nothing can be left in it, even if it refuses us now.
DESTROY_NOTHING = (Step("nothing", "Nothing was ever built", _DESTROYING, Reason.INTERNAL, steps.forget),)


def workflow_of(claim: Claim) -> tuple[Step, ...]:
    """Return the steps of a claimed operation."""
    if claim.kind is Kind.DESTROY:
        return DESTROY if claim.touched_cloud else DESTROY_NOTHING
    return PROVISION
