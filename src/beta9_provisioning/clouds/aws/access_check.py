"""Asks IAM, before anything is made, whether the role may do what an operation may need.

IAM's policy simulator judges the role's own policies, its boundary and the organization's policies. It knows
nothing of policies of keys and buckets, and not every condition can be fulfilled for it here: what it cannot
judge is told and goes through, for the call itself will be judged by AWS.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from beta9_provisioning.clouds.aws import permissions
from beta9_provisioning.clouds.aws.access_questions import (
    Batch,
    Place,
    Question,
    batches,
    own_keys,
    questions,
)
from beta9_provisioning.clouds.aws.refusals import AwsError

if TYPE_CHECKING:
    from types_boto3_iam import IAMClient

    from beta9_provisioning.clouds.aws.session import AwsSession

# Actions that the simulator knows, and those that it does not, it refuses to judge on resources in one call.
_APART = "require different authorization information"
_GROUP = re.compile(r"\[([^\]]*)\]")
_ALLOWED, _DENIED = "allowed", "explicitDeny"
_EVERYTHING = [
    '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}',
]
_DENIES = "a policy denies it"
_FORBIDS = "a policy of the organization (SCP) does not allow it"
_MOST_LINES, _MOST_IN_LINE = 20, 100
_SKIPPED = (
    "The role's permissions were not checked beforehand: it may not ask IAM about itself. "
    f"iam:SimulatePrincipalPolicy, which is in the policy {permissions.policy_name('read')}, allows it."
)
_REMEDY = (
    "Bring the role's policies up to date with scripts/setup-iam.sh, or with the CloudFormation template "
    "or the Terraform module in iam/customer-account (docs/customer-account.md). docs/permissions.md says "
    "what each permission is for. Where IAM's simulator is wrong about an account, take "
    "iam:SimulatePrincipalPolicy away from the role: nothing is checked beforehand then."
)
_BOUNDED = (
    " The role may make and change roles with a permissions boundary only: cloud.permissions_boundary_arn "
    "has to name the one that its policies name."
)


@dataclass(frozen=True)
class _Answer:
    is_allowed: bool
    why: str = ""
    lacks: frozenset[str] = frozenset()


@dataclass
class _Found:
    """Actions that are allowed somewhere, what is missing, and what depends on unknown condition keys."""

    allowed: set[str] = field(default_factory=set)
    missing: list[tuple[Question, _Answer]] = field(default_factory=list)
    unjudged: dict[str, frozenset[str]] = field(default_factory=dict)


def check(session: AwsSession, place: Place, phases: Collection[str]) -> str | None:
    """Return None when the role may do all that is published for these phases, or what was not judged.

    Raises:
        AwsError: `permissions_missing`, which names all that is missing.
    """
    found = _Found()
    try:
        with session.explained(f"ask IAM what the role {session.role_arn} may do"):
            asked = list(questions(place, phases))
            while asked:
                asked = _answered(session, asked, found)
            _doubt(session, found)
    except AwsError as error:
        if error.code != "permission_missing":
            raise
        return _SKIPPED
    if found.missing:
        raise _refusal(session.role_arn, found)
    return _not_judged(found.unjudged) if found.unjudged else None


def _answered(session: AwsSession, asked: list[Question], found: _Found) -> list[Question]:
    """Add what is found, and return what is to be asked on narrower resources."""
    iam: IAMClient = session.client("iam")
    again: list[Question] = []
    for batch in batches(asked):
        answers = _ask(iam, session.role_arn, batch, sorted(batch.actions), {})
        for question in batch.questions:
            answer = _judged(question, answers)
            if answer is not None and answer.is_allowed:
                found.allowed.add(question.action)
            elif question.narrower and (answer is None or answer.why != _DENIES):
                again.append(question.narrowed())
            elif answer is None or answer.lacks - own_keys():
                found.unjudged[question.action] = answer.lacks - own_keys() if answer else frozenset()
            else:
                found.missing.append((question, answer))
    return again


def _doubt(session: AwsSession, found: _Found) -> None:
    """Ask again what is missing, of the role as if it were allowed everything.

    What is not allowed even then, and not forbidden, IAM's simulator does not judge as it is asked here. What
    was not allowed without a resource either is sure: there is nothing about it to be wrong.
    """
    iam: IAMClient = session.client("iam")
    more = {"PolicyInputList": _EVERYTHING, "PermissionsBoundaryPolicyInputList": _EVERYTHING}
    missing = dict(found.missing)
    found.missing = [(question, answer) for question, answer in missing.items() if _is_sure(question)]
    for batch in batches(question for question in missing if not _is_sure(question)):
        answers = _ask(iam, session.role_arn, batch, sorted(batch.actions), more)
        for question in batch.questions:
            answer = _judged(question, answers)
            if answer is not None and (answer.is_allowed or answer.why in (_DENIES, _FORBIDS)):
                found.missing.append((question, missing[question]))
            else:
                found.unjudged[question.action] = frozenset()


def _is_sure(question: Question) -> bool:
    return question.is_narrowed or not question.resources


def _ask(
    iam: IAMClient, role_arn: str, batch: Batch, actions: list[str], more: Mapping[str, Any]
) -> dict[tuple[str, str], _Answer]:
    """Return the answers by action (in lower case) and resource; what the simulator refuses is left out."""
    wanted: dict[str, Any] = {"PolicySourceArn": role_arn, "ActionNames": actions, **more}
    wanted["ContextEntries"] = [
        {"ContextKeyName": key, "ContextKeyType": "string", "ContextKeyValues": [value]}
        for key, value in sorted(batch.context.items())
    ]
    if batch.resources:
        wanted["ResourceArns"] = sorted(batch.resources)
    answers: dict[tuple[str, str], _Answer] = {}
    try:
        for page in iam.get_paginator("simulate_principal_policy").paginate(**wanted):
            for result in page["EvaluationResults"]:
                answers.update(_read(result))
    except iam.exceptions.InvalidInputException as error:
        for group in _GROUP.findall(str(error)) if _APART in str(error) else ():
            apart = [action for action in actions if action in group.split(",")]
            if 0 < len(apart) < len(actions):
                answers |= _ask(iam, role_arn, batch, apart, more)
    except iam.exceptions.PolicyEvaluationException:
        return answers
    return answers


def _read(result: Mapping[str, Any]) -> Iterator[tuple[tuple[str, str], _Answer]]:
    """Yield what IAM says of one action: of each resource by itself, which the whole does not tell."""
    action = str(result["EvalActionName"]).lower()
    organization = result.get("OrganizationsDecisionDetail", {}).get("AllowedByOrganizations", True)
    for told in result.get("ResourceSpecificResults") or [result]:
        is_whole = told is result
        decision = str(told["EvalDecision" if is_whole else "EvalResourceDecision"])
        boundary = told.get("PermissionsBoundaryDecisionDetail", {}).get("AllowedByPermissionsBoundary", True)
        why = _DENIES if decision == _DENIED else ""
        why = why if boundary else "the role's permissions boundary does not allow it"
        why = why if organization else _FORBIDS
        lacks = frozenset(str(key).lower() for key in told.get("MissingContextValues", ()))
        place = "" if is_whole else str(told["EvalResourceName"])
        is_allowed = decision == _ALLOWED
        yield (
            (action, place),
            _Answer(is_allowed, "" if is_allowed else why, frozenset() if is_allowed else lacks),
        )


def _judged(question: Question, answers: Mapping[tuple[str, str], _Answer]) -> _Answer | None:
    """Return what is decided about a question, None when it was not answered."""
    told = [answers.get((question.action.lower(), place)) for place in question.resources or ("",)]
    found = [answer for answer in told if answer is not None]
    # On resources of a type that is not the action's nothing is allowed, and no boundary allows anything: of
    # the reasons that is the true one which is not there everywhere, unless there is a deny.
    best = min(found, key=lambda one: (not one.is_allowed, one.why != _DENIES, one.why), default=None)
    return best and replace(best, lacks=frozenset[str]().union(*(answer.lacks for answer in found)))


def _refusal(role_arn: str, found: _Found) -> AwsError:
    lines: dict[tuple[tuple[str, ...], str, str], set[str]] = {}
    for question, answer in found.missing:
        # What is allowed elsewhere needs its place told; all else would only be long.
        where = question.where if question.action in found.allowed else ""
        lines.setdefault((question.policies, where, answer.why), set()).add(question.action)
    written = [
        f"{', '.join(policies)}{where}{f' ({why})' if why else ''}: {_listed(actions)}"
        for (policies, where, why), actions in lines.items()
    ]
    more = [f"and {len(written) - _MOST_LINES} lines more"] if len(written) > _MOST_LINES else []
    count = len({question.action for question, _ in found.missing})
    key = permissions.BOUNDARY_KEY.lower()
    is_bounded = any(question.is_bounded or key in answer.lacks for question, answer in found.missing)
    return AwsError(
        f"The role {role_arn} lacked {count} permission{'' if count == 1 else 's'}; nothing was changed.",
        detail="\n".join(written[:_MOST_LINES] + more),
        remedy=_REMEDY + (_BOUNDED if is_bounded else ""),
        code="permissions_missing",
    )


def _not_judged(unjudged: Mapping[str, frozenset[str]]) -> str:
    keys = sorted(frozenset[str]().union(*unjudged.values()))
    why = f", for its policies speak of {', '.join(keys)}" if keys else ""
    return f"IAM could not tell beforehand whether the role may do this{why}: {_listed(unjudged)}."


def _listed(actions: Collection[str]) -> str:
    more = len(actions) - _MOST_IN_LINE
    return ", ".join(sorted(actions)[:_MOST_IN_LINE]) + (f" and {more} more" if more > 0 else "")
