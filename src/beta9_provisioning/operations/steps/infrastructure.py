"""The steps that build in the cloud: access, synthesis, Terraform."""

from collections.abc import Callable, Collection
from pathlib import Path

from beta9_provisioning.clouds.cloud import Phase
from beta9_provisioning.engine.errors import EngineError
from beta9_provisioning.engine.synthesis.subject import Subject
from beta9_provisioning.engine.synthesis.synthesize import (
    STACK_FILE,
    providers_of,
    stack_directory,
    write_stack,
)
from beta9_provisioning.engine.terraform.events import TerraformEvent
from beta9_provisioning.engine.terraform.progress import Progress
from beta9_provisioning.engine.terraform.working_directory import clear
from beta9_provisioning.engine.tool_ports import TerraformPort
from beta9_provisioning.operations.records.chosen import keep_choices
from beta9_provisioning.operations.run.context import Context
from beta9_provisioning.operations.run.narration import Narrator
from beta9_provisioning.operations.run.resource_spans import ResourceSpans
from beta9_provisioning.operations.steps.overlap import BaseCharts
from beta9_provisioning.operations.steps.state_saving import save_leftover_states, saving


class PlanDestructive(EngineError):
    """A provision would have deleted or replaced something."""

    code = "plan_destructive"


def check_access(context: Context) -> None:
    """Become who the worker is in the customer's account, to build what this version can build.

    Before anything is created, also see that there are charts to install at the end, and that the worker may
    do there all that an environment needs until it is gone.
    """
    context.cloud.check_supported(context.config)
    context.cloud.check_reach(context.config, context.workers_from)
    _ = context.chart_source  # raises if there are none
    check_permissions(context, frozenset(Phase), context.config.data.object_store.bucket_prefix)


def check_permissions(context: Context, phases: Collection[Phase], bucket_prefix: str | None) -> None:
    """See that the worker may do what these phases need; the journal is told what cannot be seen."""
    unseen = context.account.check_access(phases, bucket_prefix)
    if unseen is not None:
        context.recorder.emit("access.unchecked", unseen)


def choose(context: Context) -> None:
    """Choose what an environment keeps, zones and versions, when it is built for the first time.

    What was built and has no choices was built by a release that kept none.
    """
    claim = context.claim
    context.choices = claim.choices
    if context.choices is None:
        chosen = (
            context.cloud.earlier_choices(context.config)
            if claim.touched_cloud
            else context.account.choose(
                context.config,
                lambda access: context.tools.kubernetes(access, context.stop.event),
                context.workers_from,
            )
        )
        context.recorder.insist(lambda session: keep_choices(session, claim, chosen))
        context.recorder.emit("choices.made", "Chose zones, versions and sizes.", choices=chosen)
        context.choices = chosen


def keep_secrets(context: Context) -> None:
    """Draw the stores' passwords, which are kept in the customer's account before anything has them."""
    assert context.choices is not None
    context.secrets = dict(context.account.keep_secrets(context.config, context.choices))


def synthesize(context: Context) -> None:
    """Turn the configuration into Terraform's, or take what an earlier attempt at the operation made of it.

    So that an update of the workers changes no plan halfway. A stack for providers that this worker does not
    have is of no use to it.
    """
    context.workdir.mkdir(parents=True, exist_ok=True, mode=0o700)
    outdir = context.outdir
    clear(stack_directory(outdir), context.stop.event)
    laid = context.account.kept_stack(context.claim.operation_id) if context.claim.is_resumed else None
    if laid is not None and providers_of(laid) == context.bare_stack["terraform"]["required_providers"]:
        context.stack = write_stack(outdir, laid)
        context.recorder.emit("stack.resumed", "Took the stack that the attempt before had made.")
        return
    context.stack = _synthesized(context, outdir)
    context.account.keep_stack(context.claim.operation_id, (context.stack / STACK_FILE).read_bytes())


def _synthesized(context: Context, outdir: Path) -> Path:
    assert context.backend is not None
    assert context.choices is not None
    subject = Subject(
        context.config,
        context.claim.environment_id,
        context.choices,
        context.backend,
        context.workers_from,
    )
    return context.synthesizer.synthesize(subject, outdir, context.stop.event)


def initialize(context: Context) -> None:
    """Prepare Terraform's working directory; save the states that earlier attempts could not save."""
    terraform = terraform_of(context, "Preparing Terraform")
    terraform.init()
    save_leftover_states(context, terraform)


def lift_protection(context: Context) -> None:
    """Let the cloud delete what it protects; the next apply protects it again."""
    for what in context.account.lift_protection(context.settings.apply_timeout_minutes * 60):
        context.recorder.emit("protection.lifted", f"Lifted the deletion protection of {what}.", what=what)


def plan(context: Context) -> None:
    """Plan the infrastructure, and refuse a plan that would delete or replace anything.

    A provision only ever makes and changes. What it would take away was made by somebody: by an earlier
    attempt, of which the state or the cloud says something strange, or by hand.

    Raises:
        PlanDestructive: it would.
    """
    context.progress = Progress()
    terraform = terraform_of(context, "Planning infrastructure")
    planned = terraform.plan(timeout=context.settings.apply_timeout_minutes * 60)
    if destroyed := planned.destroyed():
        actions = {address: list(planned.actions[address]) for address in destroyed}
        planned.file.unlink(missing_ok=True)
        message = f"Refused a plan that deletes or replaces {len(destroyed)} resources."
        context.recorder.emit("terraform.plan_refused", message, actions=actions)
        raise PlanDestructive(
            f"The plan would delete or replace {destroyed[0]}, and was refused; nothing was changed.",
            detail="\n".join(f"{address}: {' and '.join(done)}" for address, done in actions.items()),
            remedy="See in the account what became of them. If they may go, delete the environment.",
        )
    context.plan = planned


def apply(context: Context) -> None:
    """Create the infrastructure as it was planned, and the base charts as soon as the cluster stands."""
    if context.plan is None:
        plan(context)
    base_charts = context.resources.enter_context(BaseCharts(context))
    context.finish_base_charts = base_charts.finish
    terraform = terraform_of(context, "Creating infrastructure", base_charts.look)
    # A plan is good for one apply, however it ends.
    planned, context.plan = context.plan, None
    with saving(context, terraform):
        terraform.apply(context.settings.apply_timeout_minutes * 60, planned)
    # Not from the events: secrets are hidden in them, and these values configure what follows.
    outputs = terraform.outputs()
    context.outputs, context.sensitive_outputs = dict(outputs), outputs.sensitive


def built(context: Context) -> frozenset[str]:
    """Return the addresses of what the state knows."""
    if not context.has_state:
        return frozenset()
    terraform = terraform_of(context, "Reading the state")
    return frozenset(terraform.resources())


def terraform_of(
    context: Context, title: str, on_progress: Callable[[Progress], None] | None = None
) -> TerraformPort:
    """Return Terraform in the environment's directory; the journal is told what it does.

    Its progress goes on from that of the plan, if there is one.
    """
    assert context.stack is not None
    narrator = Narrator(context.recorder, title, on_progress, context.progress)
    spans = ResourceSpans()
    context.resources.callback(spans.close)

    def take(event: TerraformEvent) -> None:
        narrator.take(event)
        spans.take(event)

    return context.tools.terraform(
        binary=context.settings.terraform_binary,
        directory=context.stack,
        env=context.child_env | {f"TF_VAR_{name}": value for name, value in context.secrets.items()},
        stop=context.stop.event,
        on_event=take,
        rules=context.cloud.terraform_rules,
        grace=context.settings.lease_seconds / 3,
    )
