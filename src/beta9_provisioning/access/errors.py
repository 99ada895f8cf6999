"""Why a caller is turned away."""

from collections.abc import Iterable

from beta9_provisioning.kit.refused import Fault, Refused
from beta9_provisioning.schemas.callers import Permission


class Unauthenticated(Refused):
    """Nobody knows who is asking. Every reason has the same words: none tells which keys there are."""

    def __init__(self) -> None:
        super().__init__(
            "Show who you are by `Authorization: Bearer` with an API key, or with a token of this service's "
            "OIDC issuer, that is valid: known, not expired, not revoked, and of somebody who is a member."
        )


class Forbidden(Refused):
    """The caller is known, and may not do this."""

    def __init__(self, permission: Permission) -> None:
        super().__init__(
            f"You may not do this: it needs the permission {permission}. Ask an administrator of your "
            "organization for a role that has it, or take a key whose scopes have it."
        )
        self.permission = permission


class NoMember(Refused):
    """The caller belongs to no such organization."""

    def __init__(self) -> None:
        super().__init__(
            "You belong to no organization with this id.",
            Fault("header.Beta9-Organization", "give the id of one of your organizations, or leave it out"),
        )


class OrganizationUnclear(Refused):
    """The caller belongs to several organizations and said none."""

    def __init__(self, organizations: Iterable[str]) -> None:
        super().__init__(
            "You belong to several organizations: say which one you mean.",
            Fault("header.Beta9-Organization", "give one of these ids", tuple(organizations)),
        )
