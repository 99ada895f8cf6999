"""Assumes roles: the one function behind both the STS door and the Terraform provider's ``assume_role``.

Who comes with a token instead of a key is let in by `web_identity`.
"""

import re
import time

from beta9_simulator.cloud import trust
from beta9_simulator.cloud.principals import Principal, add_principal
from beta9_simulator.cloud.rules import CloudError
from beta9_simulator.cloud.store import GLOBAL, Store, StoredObject
from beta9_simulator.cloud.templates import random_text

DEFAULT_SECONDS = 3600
_SHORTEST = 900
_LONGEST = 43200
_CHAINED = 3600
_ROLE_ARN = re.compile(r"arn:aws:iam::(\d{12}):role/(?:[\w+=,.@/-]*/)?([\w+=,.@-]+)")
_SESSION_NAME = re.compile(r"[\w+=,.@-]{2,64}")


def assume_role(
    store: Store,
    caller: Principal,
    role_arn: str,
    session_name: str,
    *,
    external_id: str | None = None,
    seconds: int = DEFAULT_SECONDS,
) -> Principal:
    """Return temporary credentials of a role, valid for ``seconds``, and record them.

    Raises ``CloudError``: AccessDenied when there is no such role or its trust policy does not let the
    caller in (AWS does not tell which), ValidationError for a bad ARN, session name or duration. A
    session may last 15 minutes up to the role's maximum, and one hour when the caller is itself an
    assumed role.
    """
    role = wanted_role(store, role_arn, session_name)
    if role is None or not trust.allows(
        str(role.state.get("assume_role_policy")),
        caller=caller.identity,
        account=caller.account,
        external_id=external_id,
        session=caller.arn if caller.role_arn else "",
        session_name=session_name,
    ):
        raise CloudError(
            "AccessDenied",
            f"User: {caller.arn} is not authorized to perform: sts:AssumeRole on resource: {role_arn}",
        )
    return start_session(store, role, session_name, seconds, is_chained=bool(caller.role_arn))


def wanted_role(store: Store, role_arn: str, session_name: str) -> StoredObject | None:
    """Return the role of a request, or None when there is none.

    Raises ``CloudError``: ValidationError for a bad ARN or session name.
    """
    match = _ROLE_ARN.fullmatch(role_arn)
    if match is None:
        raise CloudError("ValidationError", f"{role_arn} is invalid")
    if not _SESSION_NAME.fullmatch(session_name):
        raise CloudError("ValidationError", f"The role session name {session_name!r} is invalid")
    roles = store.find("aws_iam_role", account=match[1], region=GLOBAL, name=match[2])
    return roles[0] if roles and roles[0].state.get("arn") == role_arn else None


def start_session(
    store: Store, role: StoredObject, session_name: str, seconds: int, *, is_chained: bool
) -> Principal:
    """Return temporary credentials of a role that lets its caller in, and record them.

    Raises ``CloudError``: ValidationError for a bad duration. ``is_chained`` says that the caller is itself
    an assumed role.
    """
    longest = int(role.state.get("max_session_duration") or DEFAULT_SECONDS)
    _check_duration(seconds, longest=longest, is_chained=is_chained)
    session = Principal(
        access_key=f"ASIA{random_text('upper', 16)}",
        secret_key=random_text("secret", 40),
        session_token=random_text("secret", 200),
        arn=f"arn:aws:sts::{role.account}:assumed-role/{role.name}/{session_name}",
        account=role.account,
        expires_at=time.time() + seconds,
        role_arn=str(role.state["arn"]),
    )
    add_principal(store, session)
    return session


def _check_duration(seconds: int, *, longest: int, is_chained: bool) -> None:
    if not _SHORTEST <= seconds <= _LONGEST:
        raise CloudError(
            "ValidationError",
            f"The requested DurationSeconds {seconds} must lie between {_SHORTEST} and {_LONGEST}",
        )
    if is_chained and seconds > _CHAINED:
        raise CloudError(
            "ValidationError",
            "The requested DurationSeconds exceeds the 1 hour session limit "
            "for roles assumed by role chaining",
        )
    if seconds > longest:
        raise CloudError(
            "ValidationError",
            "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
        )
