"""Reads: no transaction, no question before them, and a second try when the connection was lost."""

import pytest
from sqlalchemy import Engine, event, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session
from tests.support.proxy import Proxy
from tests.support.waiting import GUARD_SECONDS

from beta9_provisioning.kit import database
from beta9_provisioning.kit.database import read, sessions


def test_a_read_just_after_a_restart_of_the_database_is_asked_again(
    proxy: Proxy, distant: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_TRUSTED_SECONDS", GUARD_SECONDS)
    factory = sessions(distant)
    assert read(factory, lambda session: session.scalar(text("SELECT 1"))) == 1
    proxy.cut()
    proxy.heal()
    assert read(factory, lambda session: session.scalar(text("SELECT 2"))) == 2


def test_what_the_database_refuses_is_asked_once(distant: Engine) -> None:
    asked: list[str] = []
    event.listen(distant, "before_cursor_execute", lambda *given: asked.append(given[2]))
    with pytest.raises(SQLAlchemyError):
        read(sessions(distant), lambda session: session.scalar(text("SELECT no_such_thing")))
    assert asked == ["SELECT no_such_thing"]


def test_a_read_is_in_no_transaction_and_leaves_the_connection_to_those_that_are(distant: Engine) -> None:
    factory = sessions(distant)
    question = text("SELECT statement_timestamp() = transaction_timestamp()")

    def second(session: Session) -> bool:
        session.scalar(text("SELECT 1"))
        return bool(session.scalar(question))

    assert read(factory, second), "each statement is its own transaction"
    with factory() as session:
        assert not second(session)


def test_a_silent_server_is_not_asked_twice(
    proxy: Proxy, distant: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_TRUSTED_SECONDS", GUARD_SECONDS)
    factory = sessions(distant)
    read(factory, lambda session: session.scalar(text("SELECT 1")))
    database.hasten(distant)
    asked: list[str] = []
    event.listen(distant, "before_cursor_execute", lambda *given: asked.append(given[2]))
    proxy.freeze()
    try:
        with pytest.raises(SQLAlchemyError, match="said nothing"):
            read(factory, lambda session: session.scalar(text("SELECT 2")))
    finally:
        proxy.heal()
    assert asked == ["SELECT 2"]
