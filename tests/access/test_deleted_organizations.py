"""A deleted organization owns nothing that lives, whoever was faster."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from sqlalchemy.orm import Session
from tests.support import callers
from tests.support.configs import config
from tests.support.organized import acting
from tests.support.waiting import until
from tests.worker.rig import row_waiters

from beta9_provisioning.access import members, organizations
from beta9_provisioning.access.errors import NoMember, OrganizationInUse
from beta9_provisioning.audit.record import Author
from beta9_provisioning.environments import commands
from beta9_provisioning.kit.database import Sessions, transaction
from beta9_provisioning.schemas.callers import MemberNew, Role
from beta9_provisioning.settings import Settings

ANNA = Author("anna")
Act = Callable[[Session], object]


def overtaken(sessions: Sessions, first: Act, second: Act) -> "Future[object]":
    """Do one thing, begin another one that has to wait for it, then commit the first; return the second."""

    def other() -> object:
        with transaction(sessions) as session:
            return second(session)

    with ThreadPoolExecutor(1) as pool:
        with transaction(sessions) as session:
            first(session)
            waiting = pool.submit(other)
            until(lambda: row_waiters(sessions), "the second waits for the first")
        return waiting


@pytest.fixture
def theirs(sessions: Sessions) -> str:
    return callers.organization(sessions, "theirs")


def test_a_create_that_was_faster_is_counted(sessions: Sessions, settings: Settings, theirs: str) -> None:
    callers.member(sessions, Role.PLATFORM_ADMIN)
    deleted = overtaken(
        sessions,
        lambda session: commands.create(
            session, config(), owner=theirs, by=Author("anna"), settings=settings
        ),
        lambda session: organizations.delete(session, theirs, sees=None),
    )
    with pytest.raises(OrganizationInUse):
        deleted.result()


def test_a_create_that_was_slower_finds_no_organization(
    sessions: Sessions, settings: Settings, theirs: str
) -> None:
    callers.member(sessions, Role.PLATFORM_ADMIN)
    made = overtaken(
        sessions,
        lambda session: organizations.delete(session, theirs, sees=None),
        lambda session: commands.create(
            session, config(), owner=theirs, by=Author("anna"), settings=settings
        ),
    )
    with pytest.raises(NoMember):
        made.result()


def test_nobody_is_added_to_an_organization_that_is_being_deleted(sessions: Sessions, theirs: str) -> None:
    callers.member(sessions, Role.PLATFORM_ADMIN)
    admin = acting(Role.ADMIN, theirs)
    added = overtaken(
        sessions,
        lambda session: organizations.delete(session, theirs, sees=None),
        lambda session: members.add(session, MemberNew(name="anna"), by=admin),
    )
    with pytest.raises(NoMember):
        added.result()


def test_who_was_added_before_the_deletion_ends_with_it(sessions: Sessions, theirs: str) -> None:
    callers.member(sessions, Role.PLATFORM_ADMIN)
    admin = acting(Role.ADMIN, theirs)
    overtaken(
        sessions,
        lambda session: members.add(session, MemberNew(name="anna"), by=admin),
        lambda session: organizations.delete(session, theirs, sees=None),
    ).result()
    with sessions() as session:
        assert members.page(session, sees=theirs, limit=10).items == []
