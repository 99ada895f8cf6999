"""Who asks, and how far a ``Principal`` element speaks about whoever asks.

After "AWS JSON policy elements: Principal" and "NotPrincipal" in the AWS IAM user guide.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from beta9_simulator.cloud.iam.statements import Principals


class Grant(Enum):
    """Through whom a resource's policy allows something, which decides what may still limit it."""

    DIRECT = "the session, the user, or everybody"
    ROLE = "the role of a session"
    ACCOUNT = "the account, which delegates to its own policies"


@dataclass(frozen=True)
class Caller:
    """Who asks: a user or a role's session by its ARN, or a service, or a provider of web identities.

    ``role_arn`` is empty for users, ``account`` for services and providers.
    """

    arn: str
    account: str
    role_arn: str = ""
    service: str = ""
    provider: str = ""

    @property
    def is_outside(self) -> bool:
        """Whether no identity-based policy could speak about it."""
        return bool(self.service or self.provider)

    @property
    def is_root(self) -> bool:
        """Whether it is an account's root user, who may do everything in the account."""
        return self.arn.endswith(":root")

    @property
    def names(self) -> dict[Grant, tuple[str, ...]]:
        """What ``AWS`` calls it, apart from everybody."""
        if self.is_outside:
            return {}
        partition = self.arn.split(":")[1]
        role = {Grant.ROLE: (self.role_arn,)} if self.role_arn else {}
        account = (self.account, f"arn:{partition}:iam::{self.account}:root")
        return {Grant.DIRECT: (self.arn,), **role, Grant.ACCOUNT: account}

    def facts(self) -> dict[str, str]:
        """Return the condition keys that follow from who asks."""
        if self.is_outside:
            return {}
        facts = {"aws:principalarn": self.role_arn or self.arn, "aws:principalaccount": self.account}
        if self.role_arn:
            return {**facts, "aws:principaltype": "AssumedRole"}
        if self.is_root:
            return {**facts, "aws:principaltype": "Account"}
        return {**facts, "aws:principaltype": "User", "aws:username": self.arn.rsplit("/", maxsplit=1)[-1]}


def granted(principals: Principals, caller: Caller) -> Grant | None:
    """Return through whom an allowing statement reaches the caller, the farthest grant first."""
    through = next(_named(principals, caller), None)
    if principals.is_except:
        return Grant.DIRECT if through is None else None
    return through


def denied(principals: Principals, caller: Caller, *, is_bounded: bool) -> bool:
    """Whether a denying statement reaches the caller.

    ``NotPrincipal`` spares a caller only when the account, the role and the session are all listed: AWS may
    look at each. It spares nobody who has a permissions boundary (``is_bounded``).
    """
    named = set(_named(principals, caller))
    if not principals.is_except:
        return bool(named)
    if caller.is_outside or "*" in principals.aws:
        return not named
    return is_bounded or not named >= caller.names.keys()


def _named(principals: Principals, caller: Caller) -> Iterator[Grant]:
    if "*" in principals.aws:
        yield Grant.DIRECT
    if caller.is_outside:
        if caller.service in principals.services or caller.provider in principals.providers:
            yield Grant.DIRECT
        return
    for grant, names in caller.names.items():
        if any(name in principals.aws for name in names):
            yield grant
