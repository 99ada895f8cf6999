from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from ruamel.yaml import YAML
from sqlalchemy import Engine, event, update
from tests.support.lives import create, delete, get, walk

from beta9_provisioning.audit.record import Author
from beta9_provisioning.environments import queries
from beta9_provisioning.environments.errors import NoCluster, NotFound
from beta9_provisioning.kit.cursors import BadCursor
from beta9_provisioning.kit.database import Sessions, transaction
from beta9_provisioning.lifecycle import EnvironmentStatus, OperationStatus, Reason
from beta9_provisioning.operations.records import store
from beta9_provisioning.operations.records.journal import NewEvent
from beta9_provisioning.operations.records.model import EnvironmentRow
from beta9_provisioning.operations.records.store import Failure
from beta9_provisioning.schemas.environment import EnvironmentPage, Progress
from beta9_provisioning.settings import Settings

S = OperationStatus


@contextmanager
def counted(engine: Engine) -> Iterator[list[str]]:
    statements: list[str] = []

    def note(*arguments: object) -> None:
        statements.append(str(arguments[2]))

    event.listen(engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        event.remove(engine, "before_cursor_execute", note)


@pytest.fixture
def many(settings: Settings) -> Settings:
    return settings.model_copy(update={"max_environments_per_user": 1000})


def page(sessions: Sessions, **arguments: object) -> EnvironmentPage:
    with sessions() as session:
        return queries.page(session, **{"owner": "default", "limit": 100, **arguments})  # type: ignore[arg-type]


class TestGet:
    def test_shows_error_and_reason_of_the_latest_operation(
        self, sessions: Sessions, settings: Settings
    ) -> None:
        environment = create(sessions, settings)
        taken = walk(sessions, environment.operation.id, S.PLANNING)
        with transaction(sessions) as session:
            store.fail(
                session, taken, Failure(Reason.ACCESS_REFUSED, "role_refused", "What.", "Why.", "Do this.")
            )
        found = get(sessions, environment.environment_id)
        assert found.status is EnvironmentStatus.FAILED
        assert found.operation.reason is Reason.ACCESS_REFUSED
        assert found.error is not None
        assert found.error.model_dump() == {
            "code": "role_refused",
            "message": "What.",
            "detail": "Why.",
            "remedy": "Do this.",
        }

    def test_shows_progress_while_running(self, sessions: Sessions, settings: Settings) -> None:
        environment = create(sessions, settings)
        taken = walk(sessions, environment.operation.id, S.PLANNING, S.APPLYING)
        with transaction(sessions) as session:
            store.record(session, taken, [], {"step": "Applying", "done": 3, "total": 12})
        found = get(sessions, environment.environment_id)
        assert found.progress == Progress(step="Applying", done=3, total=12)
        assert found.operation.started_at is not None

    @pytest.mark.parametrize("environment_id", ["env_0123456789abcdef", "nonsense", "env_\x00", ""])
    def test_unknown_ids(self, sessions: Sessions, environment_id: str) -> None:
        with pytest.raises(NotFound):
            get(sessions, environment_id)

    def test_takes_one_query(self, sessions: Sessions, engine: Engine, settings: Settings) -> None:
        environment_id = create(sessions, settings).environment_id
        delete(sessions, environment_id)
        with counted(engine) as statements:
            get(sessions, environment_id)
        assert len(statements) == 1


class TestPage:
    def test_pages_cover_everything_once_and_newest_first(self, sessions: Sessions, many: Settings) -> None:
        made = [create(sessions, many, name=f"demo-{n}").environment_id for n in range(7)]
        seen: list[str] = []
        cursor: str | None = None
        while True:
            found = page(sessions, limit=3, cursor=cursor)
            seen += [item.environment_id for item in found.items]
            cursor = found.next_cursor
            if cursor is None:
                break
        assert seen == made[::-1]

    def test_pages_hold_when_creation_times_are_equal(self, sessions: Sessions, many: Settings) -> None:
        made = {create(sessions, many, name=f"demo-{n}").environment_id for n in range(5)}
        with transaction(sessions) as session:
            first = session.get_one(EnvironmentRow, min(made)).created_at
            session.execute(update(EnvironmentRow).values(created_at=first))
        seen: list[str] = []
        cursor: str | None = None
        for _ in range(5):
            found = page(sessions, limit=1, cursor=cursor)
            seen += [item.environment_id for item in found.items]
            cursor = found.next_cursor
        assert cursor is None
        assert seen == sorted(made, reverse=True)

    def test_a_full_last_page_has_no_cursor(self, sessions: Sessions, many: Settings) -> None:
        for n in range(2):
            create(sessions, many, name=f"demo-{n}")
        assert page(sessions, limit=2).next_cursor is None

    def test_filters_by_status_and_name(self, sessions: Sessions, many: Settings) -> None:
        first = create(sessions, many, name="first").environment_id
        second = create(sessions, many, name="second").environment_id
        delete(sessions, second)

        def found(**arguments: object) -> list[str]:
            return [item.environment_id for item in page(sessions, **arguments).items]

        assert found(statuses=[EnvironmentStatus.QUEUED]) == [first]
        assert found(statuses=[EnvironmentStatus.DESTROY_QUEUED]) == [second]
        assert found(statuses=[EnvironmentStatus.QUEUED, EnvironmentStatus.DESTROY_QUEUED]) == [second, first]
        assert found(name="first") == [first]
        assert found(name="nobody") == []

    def test_shows_the_owners_only(self, sessions: Sessions, many: Settings) -> None:
        create(sessions, many)
        assert page(sessions, owner="anna").items == []

    def test_takes_one_query_however_long_the_page(
        self, sessions: Sessions, engine: Engine, many: Settings
    ) -> None:
        for n in range(10):
            create(sessions, many, name=f"demo-{n}")
        with counted(engine) as statements:
            assert len(page(sessions).items) == 10
        assert len(statements) == 1

    def test_refuses_a_foreign_cursor(self, sessions: Sessions) -> None:
        with pytest.raises(BadCursor):
            page(sessions, cursor="garbage")


class TestEvents:
    def test_pages_follow_each_other(self, sessions: Sessions, settings: Settings) -> None:
        environment = create(sessions, settings)
        taken = walk(sessions, environment.operation.id, S.PLANNING)
        with transaction(sessions) as session:
            store.record(session, taken, [NewEvent("step.started", f"Step {n}.") for n in range(5)], None)
        numbers: list[int] = []
        after: int | None = 0
        with sessions() as session:
            while after is not None:
                found = queries.events(
                    session, environment.environment_id, owner="default", after=after, limit=3
                )
                numbers += [item.id for item in found.items]
                after = found.next_after
        assert numbers == list(range(1, len(numbers) + 1))
        assert len(numbers) >= 7

    def test_strangers_find_nothing(self, sessions: Sessions, settings: Settings) -> None:
        environment_id = create(sessions, settings).environment_id
        with sessions() as session, pytest.raises(NotFound):
            queries.events(session, environment_id, owner="anna", after=0, limit=10)


class TestNews:
    def test_is_over_when_all_was_read_and_nothing_runs(self, sessions: Sessions, settings: Settings) -> None:
        environment = create(sessions, settings)

        def news(after: int, limit: int = 100) -> tuple[int, bool]:
            with sessions() as session:
                found = queries.news(session, environment.environment_id, after=after, limit=limit)
                return len(found.events), found.is_over

        assert news(0) == (2, False)
        assert news(2) == (0, False)
        walk(sessions, environment.operation.id, S.PLANNING, S.APPLYING, S.BOOTSTRAPPING, S.SUCCEEDED)
        total, over = news(0)
        assert over
        assert news(0, limit=total - 1) == (total - 1, False)
        assert news(total) == (0, True)
        delete(sessions, environment.environment_id)
        assert news(total) == (2, False)

    def test_a_stream_goes_on_when_a_delete_came_while_it_read(
        self, sessions: Sessions, engine: Engine, settings: Settings
    ) -> None:
        environment = create(sessions, settings)
        walk(sessions, environment.operation.id, S.PLANNING, S.APPLYING, S.BOOTSTRAPPING, S.SUCCEEDED)

        def delete_now(*_: object) -> None:
            delete(sessions, environment.environment_id)

        with sessions() as session:
            event.listen(engine, "after_cursor_execute", delete_now, once=True)  # after the first statement
            found = queries.news(session, environment.environment_id, after=0, limit=100)
        assert found.events[-1].data["to"] == "destroy_queued"
        assert not found.is_over


class TestKubeconfig:
    def test_names_the_cluster_and_holds_no_secret(self, sessions: Sessions, settings: Settings) -> None:
        environment = create(sessions, settings)
        with transaction(sessions) as session:
            row = session.get_one(EnvironmentRow, environment.environment_id)
            row.outputs = {
                "cluster_name": "beta9-x",
                "cluster_endpoint": "https://c.example.com",
                "cluster_ca": "Q0E=",
            }
        with sessions() as session:
            text = queries.kubeconfig(
                session, environment.environment_id, owner="default", by=Author("default")
            )
        found = YAML(typ="safe", pure=True).load(text)
        assert found["clusters"][0]["cluster"] == {
            "server": "https://c.example.com",
            "certificate-authority-data": "Q0E=",
        }
        user = found["users"][0]["user"]
        assert list(user) == ["exec"]
        assert "arn:aws:iam::123456789012:role/Beta9Provisioner" in user["exec"]["args"]

    def test_refuses_before_there_is_a_cluster(self, sessions: Sessions, settings: Settings) -> None:
        environment_id = create(sessions, settings).environment_id
        with sessions() as session, pytest.raises(NoCluster, match="queued"):
            queries.kubeconfig(session, environment_id, owner="default", by=Author("default"))
