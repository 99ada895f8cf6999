"""Everything that is recorded happens at once, in one organization: nobody waits in a circle."""

import itertools
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from sqlalchemy import Engine, event, text
from tests.audit.attacks import reports
from tests.support.lives import create, delete

from beta9_provisioning.audit.record import Author
from beta9_provisioning.environments import commands
from beta9_provisioning.environments.errors import DeletionProtected
from beta9_provisioning.kit.database import Sessions, transaction
from beta9_provisioning.operations.records import store
from beta9_provisioning.operations.records.journal import NewEvent
from beta9_provisioning.schemas.environment import EnvironmentChanges
from beta9_provisioning.settings import Settings

WRITERS = 6
ROUNDS = 25


def test_writers_of_all_kinds_end_and_their_chain_holds(
    engine: Engine, sessions: Sessions, settings: Settings
) -> None:
    roomy = settings.model_copy(update={"max_environments_per_user": 1000})
    names = itertools.count()
    shared = [create(sessions, roomy, name=f"shared-{number}") for number in range(2)]
    claims = []
    for environment in shared:
        assert environment.operation is not None
        with transaction(sessions) as session:
            claim = store.claim(
                session, environment.operation.id, worker="w", liveness_key=1, lease_seconds=600
            )
        assert claim is not None
        claims.append(claim)

    def add() -> None:
        create(sessions, roomy, name=f"new-{next(names)}")

    def change() -> None:
        changes = EnvironmentChanges(deletion_protection=random.random() < 0.5)
        with transaction(sessions) as session:
            commands.update(
                session, random.choice(shared).environment_id, changes, owner="default", by=Author("anna")
            )

    def remove() -> None:
        with suppress(DeletionProtected):
            delete(sessions, random.choice(shared).environment_id)

    def work() -> None:
        with transaction(sessions) as session:
            store.record(session, random.choice(claims), [NewEvent("test", "Happened.")], None)

    kinds: list[Callable[[], None]] = [add, change, remove, work]

    def run(_: int) -> None:
        for _ in range(ROUNDS):
            random.choice(kinds)()

    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(run, range(WRITERS)))  # raises what any of them met, such as a deadlock
    (report,) = reports(engine, keys={})
    assert report.findings == []
    assert report.records > WRITERS


def test_the_record_is_the_last_statement_before_the_commit(
    engine: Engine, sessions: Sessions, settings: Settings
) -> None:
    said: list[str] = []

    def note(*given: object) -> None:
        said.append(str(given[2]))

    environment_id = create(sessions, settings).environment_id
    changes = EnvironmentChanges(deletion_protection=True)
    back = EnvironmentChanges(deletion_protection=False)
    event.listen(engine, "before_cursor_execute", note)
    try:
        for do in (
            lambda s: commands.update(s, environment_id, changes, owner=None, by=Author("anna")),
            lambda s: commands.update(s, environment_id, back, owner=None, by=Author("anna")),
            lambda s: commands.delete(s, environment_id, owner=None, by=Author("anna")),
        ):
            with transaction(sessions) as session:
                do(session)
            assert said[-1].startswith("INSERT INTO audit_records")
        create(sessions, settings, name="second", key="k")
        assert said[-1].startswith("INSERT INTO audit_records")
    finally:
        event.remove(engine, "before_cursor_execute", note)
    with sessions() as session:
        assert session.scalar(text("SELECT count(*) FROM audit_records")) == 5
