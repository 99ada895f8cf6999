"""Which policies a role has: inline ones, managed ones, and its boundary."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from beta9_simulator.cloud.iam.documents import Document, Kind, parse
from beta9_simulator.cloud.rules import CloudError
from beta9_simulator.cloud.store import GLOBAL, Store, StoredObject

ADMINISTRATOR = "arn:aws:iam::aws:policy/AdministratorAccess"
_OF_AWS = {
    ADMINISTRATOR: '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}'
}


@dataclass(frozen=True)
class Policy:
    """A policy as it is written; `id` is what IAM's simulator calls it."""

    id: str
    text: str


@dataclass(frozen=True)
class Holding:
    """The policies of a role."""

    identity: tuple[Policy, ...]
    boundary: Policy | None

    @property
    def is_administrator(self) -> bool:
        """Whether it may do everything, and nothing limits it."""
        return [one.text for one in self.identity] == [_OF_AWS[ADMINISTRATOR]] and self.boundary is None


def holding(store: Store, role: StoredObject) -> Holding:
    """Return the policies of a role.

    Raises:
        CloudError: one of AWS's own policies is attached, of which this cloud does not know what it says.
    """
    inline = [
        Policy(f"role_{role.name}_{one.get('name', '')}", str(one["policy"]))
        for one in _of_role(store, role, "aws_iam_role_policy")
    ]
    arns = [str(one["policy_arn"]) for one in _of_role(store, role, "aws_iam_role_policy_attachment")]
    boundary = str(role.state.get("permissions_boundary") or "")
    return Holding(
        identity=(*inline, *(_managed(store, role.account, arn) for arn in arns)),
        boundary=_managed(store, role.account, boundary) if boundary else None,
    )


@lru_cache(maxsize=64)
def parsed(text: str, kind: Kind = Kind.IDENTITY) -> Document:
    """Return a policy as IAM reads it."""
    return parse(text, kind)


def _of_role(store: Store, role: StoredObject, type_: str) -> list[dict[str, Any]]:
    found = store.find(type_, account=role.account, region=GLOBAL)
    return [one.state for one in found if one.state["role"] == role.name]


def _managed(store: Store, account: str, arn: str) -> Policy:
    name = arn.rpartition("/")[2]
    if arn in _OF_AWS:
        return Policy(name, _OF_AWS[arn])
    found = store.find("aws_iam_policy", account=account, region=GLOBAL, id=arn)
    if not found:
        raise CloudError("NoSuchEntity", f"Policy {arn} is attached, but this cloud does not know it.")
    return Policy(name, str(found[0].state["policy"]))
