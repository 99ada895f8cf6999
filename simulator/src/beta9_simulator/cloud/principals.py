"""Who calls the cloud: access keys, and the temporary credentials of assumed roles."""

import time
from dataclasses import dataclass

from beta9_simulator.cloud.rules import CloudError
from beta9_simulator.cloud.store import Store


@dataclass(frozen=True)
class Principal:
    """The owner of an access key; ``expires_at`` (Unix seconds) and ``role_arn`` are an assumed role's."""

    access_key: str
    secret_key: str
    session_token: str
    arn: str
    account: str
    expires_at: float | None
    role_arn: str

    @property
    def identity(self) -> str:
        """The ARN that policies speak about: the role of a session, the user otherwise."""
        return self.role_arn or self.arn


def add_principal(store: Store, principal: Principal) -> None:
    """Make an access key known."""
    store.execute(
        "insert or replace into credentials values(?,?,?,?,?,?,?)",
        *(principal.access_key, principal.secret_key, principal.session_token, principal.arn),
        *(principal.account, principal.expires_at, principal.role_arn),
    )


def remove_principal(store: Store, access_key: str) -> None:
    """Forget an access key, as its deletion does."""
    store.execute("delete from credentials where access_key=?", access_key)


def find_principal(store: Store, access_key: str) -> Principal | None:
    """Return the owner of an access key, expired or not."""
    rows = store.execute("select * from credentials where access_key=?", access_key)
    return Principal(*rows[0]) if rows else None


def authenticate(store: Store, access_key: str, session_token: str = "") -> Principal:
    """Return the owner of an access key.

    Raises ``CloudError``: InvalidClientTokenId for an unknown key or a wrong session token, ExpiredToken
    for a session that is over.
    """
    principal = find_principal(store, access_key)
    if principal is None or principal.session_token != session_token:
        raise CloudError("InvalidClientTokenId", "The security token included in the request is invalid.")
    if principal.expires_at is not None and principal.expires_at <= time.time():
        raise CloudError("ExpiredToken", "The security token included in the request is expired")
    return principal
