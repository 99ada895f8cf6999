"""IAM: SimulatePrincipalPolicy, which judges a role as the gate does, without its being called.

Answers and refusals are as recorded from AWS in September 2026 by https://github.com/radkawar/stackd
(`testdata/aws/iam/simulation.json` and `simulation_inputs.json`), which differ from IAM's API reference
here and there. There are no organizations in this cloud; policies of resources are not judged for roles, as
with AWS.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from beta9_simulator.cloud.authorization import reference
from beta9_simulator.cloud.authorization.holding import Holding, Policy, holding, parsed
from beta9_simulator.cloud.iam.documents import Document, Kind
from beta9_simulator.cloud.iam.evaluation import Asked, Caller, Explained, Held, explain
from beta9_simulator.cloud.iam.positions import Position, spans
from beta9_simulator.cloud.rules import CloudError
from beta9_simulator.cloud.services.request import Handler, Request, page
from beta9_simulator.cloud.store import StoredObject

UNKNOWN = "simulator_lacks"
"""The setting that names actions, divided by spaces, which IAM's simulator does not know yet."""
_PAGE = 100
_ARN = re.compile(r"arn:[^:]+:[^:]+:[^:]*:[^:]*:.+", re.DOTALL)
_ROLE = re.compile(r"arn:[^:]+:iam::(\d{12}):role/(?:.*/)?([^/]+)")
_PLACEHOLDER = re.compile(r"\\\$\\\{(\w+)\\\}")
_OF_EVERY_ARN = ("Partition", "Region", "Account")
_TYPES = ("string", "numeric", "boolean", "ip", "binary", "date")
_NOT_YET = (
    *("PolicyExclusionList", "ResourcePolicy", "ResourceOwner", "CallerArn", "ResourceHandlingOption"),
)
Context = dict[str, str | tuple[str, ...]]


@dataclass(frozen=True)
class _Judge:
    """One role's policies, and what a request says besides."""

    caller: Caller
    identity: tuple[Policy, ...]
    boundary: Policy | None
    context: Context

    def of(self, action: str, resource: str) -> Explained:
        documents = [parsed(one.text) for one in self.identity]
        boundary = parsed(self.boundary.text, Kind.BOUNDARY) if self.boundary else None
        # What a condition may speak of is no question here: a key that is not given is missing.
        known = frozenset(_keys([*documents, *([boundary] if boundary else [])]))
        return explain(
            Asked(action, resource, self.context, known), self.caller, Held(tuple(documents), boundary)
        )

    def missing(self) -> list[str]:
        """Return the condition keys of all policies that were not given, whatever action they are about."""
        given = {key.lower() for key in (*self.context, *self.caller.facts())}
        policies = [*self.identity, *([self.boundary] if self.boundary else [])]
        return sorted(
            {key for key in _keys([parsed(one.text) for one in policies]) if key.lower() not in given}
        )

    def matched(self, found: Explained) -> list[dict[str, Any]]:
        """Return statements as AWS tells them."""
        told = []
        for document, statement in found.matched:
            is_boundary = document.kind is Kind.BOUNDARY
            named = [one for one in self.identity if not is_boundary and document == parsed(one.text)]
            policy = named[0] if named else self.boundary
            assert policy is not None
            begin, end = spans(policy.text)[document.statements.index(statement)]
            told.append(
                {
                    "SourcePolicyId": policy.id,
                    "SourcePolicyType": "Permissions Boundary Policy" if is_boundary else "IAM Policy",
                    "StartPosition": _place(begin),
                    "EndPosition": _place(end),
                }
            )
        return told


def _simulate(request: Request) -> dict[str, Any]:
    params = request.params
    for name in _NOT_YET:
        if params.get(name):
            raise CloudError("UnsupportedOperation", f"The simulated cloud does not simulate with {name}")
    role = _role(request, params["PolicySourceArn"])
    own, arn = _with_more(holding(request.store, role), params), role.state["arn"]
    judge = _Judge(Caller(arn, request.principal.account, arn), own.identity, own.boundary, _context(params))
    actions, resources = params["ActionNames"], _resources(params.get("ResourceArns") or ())
    unknown = [name for name in actions if not _is_known(request, name)]
    if any(":" not in name for name in actions):
        raise _invalid("The action is invalid since it is missing names")
    if resources and 0 < len(unknown) < len(actions):
        known = [name for name in actions if name not in unknown]
        raise _invalid(
            f"Invalid Input Actions: [{','.join(known)}] and [{','.join(unknown)}] require different "
            "authorization information."
        )
    try:
        items, marker = page(actions, int(params.get("MaxItems") or _PAGE), params.get("Marker"))
    except CloudError:
        raise _invalid("Invalid marker for pagination.") from None
    results = [_result(judge, action, resources, is_known=action not in unknown) for action in items]
    return {"EvaluationResults": results, "IsTruncated": marker is not None, "Marker": marker}


def _with_more(own: Holding, params: Mapping[str, Any]) -> Holding:
    """Return a role's policies with those of a request, whose boundary takes the place of the role's."""
    boundaries = params.get("PermissionsBoundaryPolicyInputList") or ()
    if len(boundaries) > 1:
        raise _invalid("The list of Permissions Boundary policies cannot exceed 1 items.")
    more = _given("PolicyInputList", params.get("PolicyInputList") or ())
    limits = _given("PermissionsBoundaryPolicyInputList", boundaries)
    return Holding((*own.identity, *more), limits[0] if limits else own.boundary)


def _given(parameter: str, texts: Sequence[str]) -> list[Policy]:
    policies = [Policy(f"{parameter}.{number}", text) for number, text in enumerate(texts, start=1)]
    for number, one in enumerate(policies, start=1):
        try:
            parsed(one.text)
        except CloudError:
            raise _invalid(f"Policy input list item {number} has invalid content") from None
    return policies


def _result(judge: _Judge, action: str, resources: Sequence[str], *, is_known: bool) -> dict[str, Any]:
    """Return what is decided about an action: on the whole, and on each resource."""
    if not resources:
        return {"EvalActionName": action, "EvalResourceName": "*", **_whole(judge, [judge.of(action, "*")])}
    decided, parts = [], []
    for resource in resources:
        fits = not is_known or any(pattern.fullmatch(resource) for pattern in _patterns(action))
        found = judge.of(action, resource) if fits else Explained(False, False, (), None)
        decided.append(found)
        matched, missing = judge.matched(found), [] if found.is_allowed or not fits else judge.missing()
        parts.append(
            {
                "EvalResourceName": resource,
                "EvalResourceDecision": _decision(found),
                **({"MatchedStatements": matched} if matched else {}),
                **({"MissingContextValues": missing} if missing else {}),
                **_boundary(judge, [found]),
            }
        )
    return {
        "EvalActionName": action,
        "EvalResourceName": resources[0] if len(resources) == 1 else _template(action),
        **_whole(judge, decided),
        "EvalDecisionDetails": {},
        "ResourceSpecificResults": parts,
    }


def _whole(judge: _Judge, decided: Sequence[Explained]) -> dict[str, Any]:
    """Return the strictest of several decisions, with all that led to them."""
    strictest = min(decided, key=lambda one: (not one.is_denied, one.is_allowed))
    matched = [told for one in decided for told in judge.matched(one)]
    return {
        "EvalDecision": _decision(strictest),
        "MatchedStatements": [one for place, one in enumerate(matched) if one not in matched[:place]],
        "MissingContextValues": [] if all(one.is_allowed for one in decided) else judge.missing(),
        **_boundary(judge, decided),
    }


def _decision(found: Explained) -> str:
    if found.is_denied:
        return "explicitDeny"
    return "allowed" if found.is_allowed else "implicitDeny"


def _boundary(judge: _Judge, decided: Sequence[Explained]) -> dict[str, Any]:
    if judge.boundary is None:
        return {}
    is_within = all(one.is_within_boundary for one in decided)
    return {"PermissionsBoundaryDecisionDetail": {"AllowedByPermissionsBoundary": is_within}}


def _place(position: Position) -> dict[str, int]:
    return {"Line": position.line, "Column": position.column}


def _role(request: Request, arn: str) -> StoredObject:
    """Return the role that is to be judged; AWS goes by its name, whatever path is said."""
    if arn.startswith("arn:") and ":user/" in arn:
        raise CloudError("UnsupportedOperation", "The simulated cloud knows no policies of users")
    named = _ROLE.fullmatch(arn)
    if named is None:
        raise _invalid(f"Invalid Entity Arn: {arn} does not clearly define entity type and name.")
    account, name = named[1], named[2]
    if account != request.principal.account:
        raise _invalid(
            f"Invalid Policy Source Arn: caller's account {request.principal.account} does not have access "
            f"to policies in account {account}"
        )
    found = request.find_global("aws_iam_role", name=name)
    if not found:
        raise CloudError("NoSuchEntity", f"The role with name {name} cannot be found.")
    return found[0]


def _resources(given: Sequence[str]) -> Sequence[str]:
    """Return the resources that are asked on; none when it is asked without one."""
    if list(given) == ["*"]:
        return ()
    for arn in given:
        if not _ARN.fullmatch(arn):
            raise _invalid(f"ResourceNames are not in a valid ARN format: {arn}.")
    return given


def _context(params: Mapping[str, Any]) -> Context:
    found: Context = {}
    for number, entry in enumerate(params.get("ContextEntries") or (), start=1):
        key, kind, values = (entry.get(f"ContextKey{part}") for part in ("Name", "Type", "Values"))
        if not key:
            raise _invalid("ContextKeyName cannot be null or empty.")
        if kind is None:
            raise _invalid(f"Context key {key} has invalid type null.")
        is_list = kind.endswith("List")
        if kind.removesuffix("List") not in _TYPES:
            raise CloudError(
                "ValidationError",
                f"1 validation error detected: Value at 'contextEntries.{number}.member.contextKeyType' "
                "failed to satisfy constraint: Member must satisfy enum value set: "
                f"[{', '.join([*_TYPES, *(f'{one}List' for one in _TYPES)])}]",
            )
        if not values:
            raise _invalid(f"Context values for context key {key} cannot be null or empty.")
        if not is_list and len(values) > 1:
            raise _invalid(f"Context key {kind} expected a single value, but received {len(values)}.")
        if key.lower() in (one.lower() for one in found):
            raise _invalid(f"Duplicate context key: {key}.")
        found[key] = tuple(values) if is_list else values[0]
    return found


def _keys(documents: Sequence[Document]) -> Iterator[str]:
    for document in documents:
        for statement in document.statements:
            for condition in statement.conditions:
                yield condition.key


def _is_known(request: Request, action: str) -> bool:
    lacking = (request.store.setting(UNKNOWN) or "").lower().split()
    return action.lower() in _known() and action.lower() not in lacking


@cache
def _known() -> dict[str, str]:
    return {name.lower(): name for name in reference.actions()}


@cache
def _patterns(action: str) -> list[re.Pattern[str]]:
    """Return which resources an action is about; objects and buckets are one to the simulator."""
    return [
        re.compile(_PLACEHOLDER.sub(_any, re.escape(template.replace("/${ObjectName}", ""))), re.DOTALL)
        for template in reference.templates(_known()[action.lower()])
    ]


def _any(found: re.Match[str]) -> str:
    return "[^:]*" if found[1] in _OF_EVERY_ARN else ".+"


def _template(action: str) -> str:
    name = _known().get(action.lower())
    templates = reference.templates(name) if name else []
    return templates[0] if templates else "*"


def _invalid(why: str) -> CloudError:
    return CloudError("InvalidInput", why)


SIMULATION: dict[str, Handler] = {"SimulatePrincipalPolicy": _simulate}
