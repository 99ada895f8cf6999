"""What is asked of IAM about a role: the published permissions, on what stands for an environment."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace
from string import Template
from typing import Self

from beta9_provisioning.clouds.aws import permissions
from beta9_provisioning.clouds.aws.names import names
from beta9_provisioning.clouds.aws.rules import partition_of

# AWS documents no limit to what one call may ask. This much is known to be answered: 20 resources by
# https://github.com/nccgroup/PMapper/pull/6, and a page has 100 results unless more are wanted.
MOST_ACTIONS, MOST_RESOURCES = 100, 20
# Where requests to IAM go, whatever the environment's region is.
_REGION_KEY = "aws:RequestedRegion"
_IAM_REGIONS = {"aws": "us-east-1", "aws-cn": "cn-north-1", "aws-us-gov": "us-gov-west-1"}


@dataclass(frozen=True)
class Place:
    """What stands for an environment in the resources that are asked about.

    `bucket_prefix` is None where nobody knows it: its buckets are left out.
    """

    environment_id: str
    account_id: str
    region: str
    role_path: str
    bucket_prefix: str | None
    boundary: str | None

    def filled(self, text: str) -> str | None:
        """Return a text of `permissions.toml` for this environment; None for unknown buckets."""
        own = names(self.environment_id)
        known = {
            "Stem": own.stem,
            "Account": self.account_id,
            "Region": self.region,
            "RolePath": self.role_path,
        }
        if self.bucket_prefix is not None:
            known["Bucket"] = own.bucket(self.bucket_prefix)
        try:
            found = Template(text).substitute(known)
        except KeyError:
            return None
        return re.sub("^arn:aws:", f"arn:{partition_of(self.region)}:", found)


@dataclass(frozen=True)
class Question:
    """Whether an action is allowed on one of the resources, or without one where there are none.

    `narrower` are resources to ask on when it is not allowed without one; `policies` are those that grant it.
    """

    action: str
    policies: tuple[str, ...]
    resources: tuple[str, ...]
    context: tuple[tuple[str, str], ...]
    narrower: tuple[str, ...] = ()
    is_narrowed: bool = False

    @property
    def is_bounded(self) -> bool:
        """Whether it is about roles with a boundary."""
        return any(key == permissions.BOUNDARY_KEY for key, _ in self.context)

    @property
    def where(self) -> str:
        """What tells it from others about the same action, in words."""
        on = f" on {self.resources[0]}" if len(self.resources) == 1 else ""
        told = [f"{key} {value}" for key, value in self.context if key != _REGION_KEY]
        return on + (f" with {' and '.join(told)}" if told else "")

    def narrowed(self) -> Self:
        """Return the same about the narrower resources."""
        return replace(self, resources=self.narrower, narrower=(), is_narrowed=True)


@dataclass
class Batch:
    """Questions for one call. Keys of a service are for its own actions: they disturb no other question."""

    questions: list[Question] = field(default_factory=list)
    context: dict[str, str] = field(default_factory=dict)
    actions: set[str] = field(default_factory=set)
    resources: set[str] = field(default_factory=set)

    def take(self, question: Question) -> bool:
        """Take a question if it goes with the others."""
        actions, resources = self.actions | {question.action}, self.resources | set(question.resources)
        if self.questions and not self._goes_with(question):
            return False
        if self.questions and (len(actions) > MOST_ACTIONS or len(resources) > MOST_RESOURCES):
            return False
        self.questions.append(question)
        self.context.update(question.context)
        self.actions, self.resources = actions, resources
        return True

    def _goes_with(self, question: Question) -> bool:
        context = dict(question.context)
        general = {key: value for key, value in context.items() if key.startswith("aws:")}
        return (
            bool(self.resources) == bool(question.resources)
            and general == {key: value for key, value in self.context.items() if key.startswith("aws:")}
            and all(self.context.get(key, value) == value for key, value in context.items())
        )


def own_keys() -> frozenset[str]:
    """Return the condition keys, in lower case, that are given wherever the published policies want them."""
    conditions = [told for scope in permissions.scopes().values() for told in scope.condition.values()]
    return frozenset(key.lower() for told in conditions for key in told) | {permissions.BOUNDARY_KEY.lower()}


def questions(place: Place, phases: Collection[str]) -> Iterator[Question]:
    """Yield what a role needs for these phases; an optional grant is not asked about."""
    for grant in permissions.grants():
        policies = tuple(permissions.policy_name(phase) for phase in grant.phases if phase in phases)
        if not policies or grant.is_optional:
            continue
        scope = permissions.scopes()[grant.scope]
        groups = [[place.filled(arn) for arn in group] for group in scope.asked]
        known = [tuple(arn for arn in group if arn is not None) for group in groups if None not in group]
        for action in grant.actions:
            for context in _contexts(place, action, scope, is_bounded=grant.is_bounded):
                if scope.on == ("*",):
                    yield Question(action, policies, (), context, known[0] if known else ())
                    continue
                for resources in known:
                    yield Question(action, policies, resources, context)


def _contexts(
    place: Place, action: str, scope: permissions.Scope, *, is_bounded: bool
) -> Iterator[tuple[tuple[str, str], ...]]:
    """Yield contexts that fulfil the condition of a scope: one for each value that it allows."""
    region = place.region
    if action.startswith("iam:"):
        region = _IAM_REGIONS.get(partition_of(region), region)
    # Organizations forbid regions; without the key their policies would deny everything.
    always = {_REGION_KEY: region}
    if is_bounded and place.boundary is not None:
        always[permissions.BOUNDARY_KEY] = place.boundary
    keys = [(key, value) for told in scope.condition.values() for key, value in told.items()]
    if not keys:
        yield tuple(always.items())
        return
    [(key, told)] = keys
    for value in [scope.context[key]] if key in scope.context else told if isinstance(told, list) else [told]:
        yield (*always.items(), (key, str(place.filled(value))))


def batches(asked: Iterable[Question]) -> list[Batch]:
    """Return the questions in as few calls as they fit into."""
    found: list[Batch] = []
    for question in asked:
        if not any(batch.take(question) for batch in found):
            found.append(Batch())
            found[-1].take(question)
    return found
