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


class NotThere(Refused):
    """There is no such thing, or it belongs to somebody else; both have the same words."""

    what: str

    def __init__(self, id_: str) -> None:
        super().__init__(f"There is no {self.what} {id_[:64]!r}.")


class OrganizationNotFound(NotThere):
    """There is no such organization, or it is none of the caller's."""

    what = "organization"


class MemberNotFound(NotThere):
    """There is no such member, or it is of another organization."""

    what = "member"


class KeyNotFound(NotThere):
    """There is no such key, or the caller may not know of it."""

    what = "key"


class Taken(Refused):
    """Something else has this name, or this subject."""

    def __init__(self, field: str, value: str, *, by: str) -> None:
        super().__init__(
            f"There is {by} with the {field} {value!r} already.", Fault(field, "choose another one")
        )


class ExceedsOwnRights(Refused):
    """Somebody would give what he has not."""


class PlatformAdminsOnly(Refused):
    """Only a platform admin may do this to a platform admin."""

    def __init__(self) -> None:
        super().__init__(
            "Only a platform admin may give this role, and change or remove a platform admin, or touch the "
            "keys of one."
        )


class LastPlatformAdmin(Refused):
    """Nobody would be left who could make platform admins."""

    def __init__(self) -> None:
        super().__init__("This is the last platform admin. Give the role to somebody else first.")


class OrganizationInUse(Refused):
    """The organization has environments."""

    def __init__(self, name: str, environments: int) -> None:
        super().__init__(
            f"The organization {name!r} has {environments} live environments. Delete them first, and wait "
            "until they are destroyed."
        )


class FirstOrganization(Refused):
    """The first organization cannot be deleted."""

    def __init__(self) -> None:
        super().__init__(
            "This is the first organization, which every installation keeps: what was created before there "
            "were others belongs to it."
        )


class KeyEnded(Refused):
    """Only a key that counts can be replaced."""

    def __init__(self, id_: str, why: str) -> None:
        super().__init__(f"The key {id_} {why}, so it cannot be replaced. Create a new one.")


class TooManyKeys(Refused):
    """The member has as many keys as a member may have."""

    def __init__(self, most: int) -> None:
        super().__init__(
            f"The member has {most} keys that count, as many as it may have. Revoke those that nobody uses."
        )


class NoOwnKeys(Refused):
    """The caller is no member, because this service asks nobody who he is."""

    def __init__(self) -> None:
        super().__init__(
            "With AUTH_MODE=none you are no member, and can have no key of your own: create a member "
            "first, and give its id.",
            Fault("member_id", "give the id of a member"),
        )
