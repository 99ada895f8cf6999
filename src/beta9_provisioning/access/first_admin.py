"""Bootstrap: the first platform admin and a key of it, once; for `beta9-provisioning bootstrap`.

Whoever has DATABASE_URL can do everything anyway, so nothing else is asked for.
"""

import argparse
import sys
from datetime import timedelta

from pydantic import ValidationError
from sqlalchemy import select, true
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from beta9_provisioning.access import keyring, members
from beta9_provisioning.access.principal import FIRST_ORGANIZATION
from beta9_provisioning.audit.record import PLATFORM, Author, write
from beta9_provisioning.kit.database import DatabaseUnavailable, check, connect, sessions, transaction
from beta9_provisioning.kit.database_errors import describe
from beta9_provisioning.kit.refused import Refused
from beta9_provisioning.operations.records import schema
from beta9_provisioning.operations.records.model import MemberRow
from beta9_provisioning.schemas.callers import KeyCreated, MemberKind, MemberNew, Role
from beta9_provisioning.settings import Settings, run_or_explain

KEY_NAME = "bootstrap"
"""What the keys are called that are made so."""
_MOST_DAYS = 3650


class AlreadyDone(Refused):
    """There is a platform admin."""

    def __init__(self) -> None:
        super().__init__(
            "There is a platform admin already, who makes further members and keys. If every key of the "
            "platform admins is lost, say --again."
        )


class NobodyYet(Refused):
    """There is no platform admin who could get another key."""

    def __init__(self, name: str | None) -> None:
        super().__init__(
            "There is no platform admin yet: leave --again out."
            if name is None
            else f"There is no platform admin with the name {name!r}."
        )


class NoFitName(Refused):
    """Nobody can be called so."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name[:100]!r} is no fit name: take letters, digits and . _ % + @ - between them.")


def bootstrap(session: Session, name: str, life: timedelta | None) -> KeyCreated:
    """Make the first platform admin, and a key of it; the commit is the caller's.

    Raises:
        AlreadyDone: there is one.
        NoFitName: nobody can be called so.
        Taken: a member of the first organization is called so.
    """
    try:
        new = MemberNew(name=name, kind=MemberKind.USER, role=Role.PLATFORM_ADMIN)
    except ValidationError:
        raise NoFitName(name) from None
    members.lock_roles(session)
    if members.is_platform_admin_left(session, true()):
        raise AlreadyDone
    member = members.insert_member(session, new, organization_id=FIRST_ORGANIZATION)
    return keyring.issue(session, member.id, name=KEY_NAME, scopes=None, life=life, by=member.id)


def bootstrap_again(session: Session, name: str | None, life: timedelta | None) -> KeyCreated:
    """Make another key of a platform admin: of the one with this name, or of the first.

    Raises:
        NobodyYet: there is none.
    """
    members.lock_roles(session)
    query = select(MemberRow.id).where(MemberRow.role == Role.PLATFORM_ADMIN, members.LIVE)
    if name is not None:
        query = query.where(MemberRow.name == name)
    member_id = session.scalar(query.order_by(MemberRow.created_at, MemberRow.id).limit(1))
    if member_id is None:
        raise NobodyYet(name)
    return keyring.issue(session, member_id, name=KEY_NAME, scopes=None, life=life, by=member_id)


def main(settings: Settings) -> int:
    """Do it as the command line says. The key alone goes to standard output, all words to standard error."""
    given = _arguments()
    life = timedelta(days=given.expires_in_days) if given.expires_in_days else None
    engine = connect(settings.database_url, pool_size=1)
    try:
        check(engine)
        with transaction(sessions(engine)) as session:
            if misfit := schema.misfit(session):
                return _failed(misfit.message)
            made = (
                bootstrap_again(session, given.name, life)
                if given.again
                else bootstrap(session, "admin" if given.name is None else given.name, life)
            )
            _record(session, made)
    except (DatabaseUnavailable, Refused) as error:
        return _failed(str(error))
    except SQLAlchemyError as error:
        return _failed(f"{describe(error)}. Nothing was changed; run it again.")
    finally:
        engine.dispose()
    _show(made, as_json=given.output == "json")
    return 0


def _record(session: Session, made: KeyCreated) -> None:
    """Write into the installation's audit log that there is such a key; nobody knows who asked for it."""
    write(
        session,
        Author(),
        "key.bootstrap",
        organization_id=PLATFORM,
        object_type="key",
        object_id=made.key.id,
        after=made.key.model_dump(mode="json"),
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="beta9-provisioning bootstrap")
    parser.add_argument("--name")
    parser.add_argument("--expires-in-days", type=_days, default=90, metavar="DAYS")
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--output", choices=("text", "json"), default="text")
    return parser.parse_args()


def _days(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text[:9]) <= _MOST_DAYS):
        raise argparse.ArgumentTypeError(f"give a number of days from 0, for ever, to {_MOST_DAYS}")
    return int(text)


def _show(made: KeyCreated, *, as_json: bool) -> None:
    key = made.key
    until = f"until {key.expires_at:%Y-%m-%d %H:%M} UTC" if key.expires_at else "for ever"
    print(made.model_dump_json() if as_json else made.secret, flush=True)  # noqa: T201
    print(  # noqa: T201
        f"This is the API key of the platform admin {key.member_name}, good {until}. It is shown this once; "
        "keep it where secrets are kept.",
        file=sys.stderr,
    )


def _failed(sentence: str) -> int:
    print(f"error: {sentence}", file=sys.stderr)  # noqa: T201
    return 1


if __name__ == "__main__":
    sys.exit(run_or_explain(main))
