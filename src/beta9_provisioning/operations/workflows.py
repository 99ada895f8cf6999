"""The workflows: what each kind of operation does, in order. Read this before anything else here."""

from beta9_provisioning.lifecycle import Kind, OperationStatus, Reason
from beta9_provisioning.operations.records.store import FIRST_TOUCH, Claim
from beta9_provisioning.operations.run.runner import Step
from beta9_provisioning.operations.steps import (
    adoption,
    bootstrap,
    destruction,
    draining,
    infrastructure,
    lost_resources,
)
from beta9_provisioning.operations.steps.state_keeping import lock_state, prepare_state

_PLANNING = OperationStatus.PLANNING
_APPLYING = OperationStatus.APPLYING
_BOOTSTRAPPING = OperationStatus.BOOTSTRAPPING
_DESTROYING = OperationStatus.DESTROYING

PROVISION = (
    Step("access", "Checking access", _PLANNING, Reason.ACCESS_REFUSED, infrastructure.check_access),
    Step("choices", "Choosing zones and versions", _PLANNING, Reason.ACCESS_REFUSED, infrastructure.choose),
    Step(FIRST_TOUCH, "Preparing the state bucket", _PLANNING, Reason.ACCESS_REFUSED, prepare_state),
    Step("lock", "Locking the state", _PLANNING, Reason.TERRAFORM_FAILED, lock_state),
    Step("secrets", "Keeping secrets", _PLANNING, Reason.ACCESS_REFUSED, infrastructure.keep_secrets),
    Step("synthesis", "Synthesizing", _PLANNING, Reason.CONFIGURATION, infrastructure.synthesize),
    Step("init", "Preparing Terraform", _PLANNING, Reason.TERRAFORM_FAILED, infrastructure.initialize),
    Step("adopt", adoption.TITLE, _PLANNING, Reason.TERRAFORM_FAILED, adoption.adopt),
    Step("plan", "Planning infrastructure", _PLANNING, Reason.TERRAFORM_FAILED, infrastructure.plan),
    Step("apply", "Creating infrastructure", _APPLYING, Reason.TERRAFORM_FAILED, infrastructure.apply),
    Step("base", "Installing base charts", _BOOTSTRAPPING, Reason.BOOTSTRAP_FAILED, bootstrap.install_base),
    Step("beta9", "Installing Beta9", _BOOTSTRAPPING, Reason.BOOTSTRAP_FAILED, bootstrap.install_beta9),
    Step("outputs", "Collecting outputs", _BOOTSTRAPPING, Reason.BOOTSTRAP_FAILED, bootstrap.collect_outputs),
)

# Runs from every state, with anything missing: what is not there needs no deletion. No step reads the
# configuration: a destroy must not depend on one that is valid (ADR 9).
DESTROY = (
    Step("access", "Checking access", _DESTROYING, Reason.ACCESS_REFUSED, destruction.check_access),
    Step(FIRST_TOUCH, "Preparing the state bucket", _DESTROYING, Reason.ACCESS_REFUSED, prepare_state),
    Step("lock", "Locking the state", _DESTROYING, Reason.TERRAFORM_FAILED, lock_state),
    Step("init", "Preparing Terraform", _DESTROYING, Reason.TERRAFORM_FAILED, destruction.initialize),
    Step("adopt", adoption.TITLE, _DESTROYING, Reason.TERRAFORM_FAILED, lost_resources.take_in),
    Step(
        "objects", "Looking for objects to keep", _DESTROYING, Reason.CONFIGURATION, destruction.check_objects
    ),
    Step("drain", "Removing Beta9 from the cluster", _DESTROYING, Reason.BOOTSTRAP_FAILED, draining.drain),
    Step(
        "protection", "Lifting protection", _DESTROYING, Reason.TERRAFORM_FAILED, destruction.lift_protection
    ),
    Step("destroy", "Deleting infrastructure", _DESTROYING, Reason.TERRAFORM_FAILED, destruction.destroy),
    Step("secrets", "Deleting secrets", _DESTROYING, Reason.LEFTOVERS, destruction.delete_secrets),
    Step("inventory", "Looking for leftovers", _DESTROYING, Reason.LEFTOVERS, destruction.check_nothing_left),
    Step("purge", "Removing the state", _DESTROYING, Reason.LEFTOVERS, destruction.purge_state),
)

# The account was never touched: nothing can be left in it, even if it refuses us now.
DESTROY_NOTHING = (
    Step("nothing", "Nothing was ever built", _DESTROYING, Reason.INTERNAL, destruction.forget),
)


def workflow_of(claim: Claim) -> tuple[Step, ...]:
    """Return the steps of a claimed operation."""
    if claim.kind is Kind.DESTROY:
        return DESTROY if claim.touched_cloud else DESTROY_NOTHING
    return PROVISION
