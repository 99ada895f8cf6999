"""Decides about a request from all policies that speak about it.

After "Policy evaluation logic" and "Troubleshoot access denied error messages" in the AWS IAM user guide.
Not known: policies of organizations and of VPC endpoints, sessions of federated users, access control lists.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from beta9_simulator.cloud.iam.callers import Caller, Grant, denied, granted
from beta9_simulator.cloud.iam.conditions import Facts, fulfilled
from beta9_simulator.cloud.iam.documents import Document
from beta9_simulator.cloud.iam.patterns import Fill, UnresolvedVariable, like, resource_like
from beta9_simulator.cloud.iam.statements import Kind, Named, Statement

__all__ = ["Asked", "Caller", "Decision", "Explained", "Held", "decide", "explain", "matches_role"]


@dataclass(frozen=True)
class Asked:
    """A request: its action, its resource (an ARN or ``*``), and the condition keys it has.

    ``known`` names the further keys that a request for this action may have, or beginnings of keys that end
    in a slash. Case does not count in keys.
    """

    action: str
    resource: str
    context: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)
    known: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Held:
    """The policies of the caller and of the resource.

    ``session`` is None where no session policy was passed. ``must_be_in_resource``: without a grant in the
    resource's policy others count for nothing, as with KMS, where a key's policy names the account first.
    """

    identity: tuple[Document, ...] = ()
    boundary: Document | None = None
    session: tuple[Document, ...] | None = None
    resource: Document | None = None
    must_be_in_resource: bool = False


@dataclass(frozen=True)
class Decision:
    """Whether a request is allowed; otherwise ``why`` ends AWS's sentence about it."""

    is_allowed: bool
    why: str = ""


@dataclass(frozen=True)
class Explained:
    """A decision with the statements that led to it, each with its document.

    ``is_within_boundary`` is None where there is no boundary.
    """

    is_allowed: bool
    is_denied: bool
    matched: tuple[tuple[Document, Statement], ...]
    is_within_boundary: bool | None


def decide(asked: Asked, principal: Caller, held: Held) -> Decision:
    """Decide about a request of ``principal``.

    Raises ``UnknownConditionKey`` or ``MissingSetOperator`` when a statement about this action and resource
    cannot be judged.
    """
    case = _Case(asked, principal, is_bounded=held.boundary is not None)
    for document in _all(held):
        if case.denies(document):
            return Decision(False, f"with an explicit deny in {document.kind.value}")
    grants = case.grants(held.resource) if held.resource else set()
    if principal.is_outside or _has_other_account(asked, principal):
        return _decide_far(case, held, grants)
    if Grant.DIRECT in grants:
        return Decision(True)
    if held.must_be_in_resource and not grants:
        return _not_allowed(asked, held.resource.kind if held.resource else Kind.RESOURCE)
    return _decide_by_identity(case, held, is_granted=Grant.ROLE in grants)


def explain(asked: Asked, principal: Caller, held: Held) -> Explained:
    """Decide by the caller's own policies alone, and tell by which statements.

    Raises as ``decide`` does.
    """
    case = _Case(asked, principal, is_bounded=held.boundary is not None)
    denying = [pair for document in _all(held) for pair in case.matching(document, is_allow=False)]
    allowing = [pair for document in held.identity for pair in case.matching(document, is_allow=True)]
    is_within = None
    if held.boundary is not None:
        is_denied = any(document is held.boundary for document, _ in denying)
        is_within = case.allows(held.boundary) and not is_denied
    is_allowed = not denying and bool(allowing) and is_within is not False
    matched = tuple(denying or (allowing if is_allowed else ()))
    return Explained(is_allowed, bool(denying), matched, is_within)


def matches_role(document: Document, asked: Asked, principal: Caller) -> Decision:
    """Decide whether a role's trust policy lets ``principal`` in, whatever its own policies say."""
    case = _Case(asked, principal, is_bounded=False)
    if case.denies(document):
        return Decision(False, f"with an explicit deny in {document.kind.value}")
    return Decision(True) if case.grants(document) else _not_allowed(asked, document.kind)


def _all(held: Held) -> Iterable[Document]:
    yield from held.identity
    if held.boundary:
        yield held.boundary
    yield from held.session or ()
    if held.resource:
        yield held.resource


def _has_other_account(asked: Asked, principal: Caller) -> bool:
    """Whether the resource is another account's; ARNs without an account need ``aws:ResourceAccount``."""
    told = {key.lower(): value for key, value in asked.context.items()}.get("aws:resourceaccount")
    parts = asked.resource.split(":", 5)
    owner = told or (parts[4] if len(parts) == 6 else "")
    return bool(owner) and owner not in (principal.account, (principal.account,), "aws")


def _decide_far(case: "_Case", held: Held, grants: set[Grant]) -> Decision:
    """Decide across accounts, where both sides have to allow."""
    if not case.caller.is_outside:
        near = _decide_by_identity(case, held, is_granted=False)
        if not near.is_allowed:
            return near
    if grants:
        return Decision(True)
    return _not_allowed(case.asked, held.resource.kind if held.resource else Kind.RESOURCE)


def _decide_by_identity(case: "_Case", held: Held, *, is_granted: bool) -> Decision:
    """Decide by the caller's own policies; ``is_granted``: the resource's policy allows it to the role."""
    if not (is_granted or case.caller.is_root or any(map(case.allows, held.identity))):
        return _not_allowed(case.asked, Kind.IDENTITY)
    if held.boundary and not case.allows(held.boundary):
        return _not_allowed(case.asked, Kind.BOUNDARY)
    if held.session is not None and not any(map(case.allows, held.session)):
        return _not_allowed(case.asked, Kind.SESSION)
    return Decision(True)


def _not_allowed(asked: Asked, kind: Kind) -> Decision:
    policy = kind.value.split(" ", 1)[1]
    return Decision(False, f"because no {policy} allows the {asked.action} action")


class _Case:
    """One request of one caller, which statements are held against."""

    def __init__(self, asked: Asked, caller: Caller, *, is_bounded: bool) -> None:
        self.asked = asked
        self.caller = caller
        self._is_bounded = is_bounded
        given = {key.lower(): value for key, value in asked.context.items()}
        self._facts = Facts(asked.action, {**caller.facts(), **given}, asked.known)

    def denies(self, document: Document) -> bool:
        """Whether a statement denies the request. Statements with unknown keys raise."""
        return any(
            self._applies(document, statement)
            for statement in document.statements
            if not statement.is_allow
            and (
                statement.principals is None
                or denied(statement.principals, self.caller, is_bounded=self._is_bounded)
            )
        )

    def allows(self, document: Document) -> bool:
        """Whether a statement of a policy without principals allows the request."""
        return any(
            self._applies(document, statement) for statement in document.statements if statement.is_allow
        )

    def matching(self, document: Document, *, is_allow: bool) -> list[tuple[Document, Statement]]:
        """Return the statements of a policy without principals that allow, or deny, the request."""
        return [
            (document, statement)
            for statement in document.statements
            if statement.is_allow == is_allow and self._applies(document, statement)
        ]

    def grants(self, document: Document) -> set[Grant]:
        """Return through whom statements of a policy with principals allow the request."""
        found = set()
        for statement in document.statements:
            if statement.is_allow and statement.principals is not None:
                grant = granted(statement.principals, self.caller)
                if grant is not None and self._applies(document, statement):
                    found.add(grant)
        return found

    def _applies(self, document: Document, statement: Statement) -> bool:
        fill = self._facts.fill if document.knows_variables else None
        return (
            self._has_action(statement.actions)
            and (statement.resources is None or self._has_resource(statement.resources, fill))
            and fulfilled(statement.conditions, self._facts, fill)
        )

    def _has_action(self, actions: Named) -> bool:
        return _is_named(actions, self.asked.action.lower())

    def _has_resource(self, resources: Named, fill: Fill | None) -> bool:
        found = False
        for text in resources.texts:
            try:
                found = found or resource_like(text, self.asked.resource, fill)
            except UnresolvedVariable:
                # It makes the statement invalid: what is excepted cannot be known.
                if resources.is_except:
                    return False
        return found != resources.is_except


@lru_cache(maxsize=1 << 16)
def _is_named(actions: Named, wanted: str) -> bool:
    """Whether an action in lower case is among those of a statement."""
    return any(like(text.lower(), wanted, None) for text in actions.texts) != actions.is_except
