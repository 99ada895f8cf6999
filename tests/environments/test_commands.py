from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import Engine, event, func, select
from sqlalchemy.orm import Session
from tests.support.callers import organization
from tests.support.configs import config
from tests.support.lives import create, delete, get, walk

from beta9_provisioning.audit.record import Author
from beta9_provisioning.environments import commands, queries
from beta9_provisioning.environments.errors import (
    ConfigurationRefused,
    DeletionProtected,
    KeyReused,
    NameTaken,
    NotFound,
    QuotaExceeded,
)
from beta9_provisioning.kit.database import Sessions, transaction
from beta9_provisioning.kit.refused import Refused
from beta9_provisioning.lifecycle import EnvironmentStatus, Kind, OperationStatus, Reason
from beta9_provisioning.operations.records import fairness, store
from beta9_provisioning.operations.records.model import EnvironmentRow, OperationRow
from beta9_provisioning.operations.records.store import Failure
from beta9_provisioning.settings import Settings

S = OperationStatus


def operations(sessions: Sessions, environment_id: str) -> list[tuple[str, str]]:
    with sessions() as session:
        rows = session.scalars(
            select(OperationRow)
            .where(OperationRow.environment_id == environment_id)
            .order_by(OperationRow.number)
        )
        return [(row.kind, row.status) for row in rows]


def count(sessions: Sessions) -> int:
    with sessions() as session:
        return session.scalar(select(func.count()).select_from(EnvironmentRow)) or 0


class TestCreate:
    def test_queues_a_provision(self, session: Session, settings: Settings) -> None:
        outcome = commands.create(session, config(), owner="default", by=Author("anna"), settings=settings)
        assert isinstance(outcome, commands.Outcome)
        environment = outcome.environment
        assert environment.status is EnvironmentStatus.QUEUED
        assert (environment.operation.kind, environment.operation.status) == (Kind.PROVISION, S.QUEUED)
        assert outcome.operation_id == environment.operation.id
        assert environment.config == config().model_dump(mode="json")
        row = session.get_one(EnvironmentRow, environment.environment_id)
        assert (row.owner, row.created_by) == ("default", "anna")
        counted = environment.model_copy(update={"live_workers": 0})
        assert queries.get(session, row.id, owner="default") == counted

    def test_takes_five_statements(self, engine: Engine, sessions: Sessions, settings: Settings) -> None:
        """Each costs a round trip, and everybody else's creates of this owner wait meanwhile."""
        said: list[str] = []

        def note(*given: Any) -> None:
            said.append(given[2])

        event.listen(engine, "before_cursor_execute", note)
        try:
            create(sessions, settings, key="key")
        finally:
            event.remove(engine, "before_cursor_execute", note)
        assert len(said) == 5, "\n".join(said)

    def test_creates_nothing_when_refused(self, sessions: Sessions, settings: Settings) -> None:
        with pytest.raises(ConfigurationRefused):
            create(sessions, settings, cloud__region="mars-1")
        assert count(sessions) == 0

    def test_a_live_name_is_taken_for_its_owner_only(self, sessions: Sessions, settings: Settings) -> None:
        create(sessions, settings)
        with pytest.raises(NameTaken, match="demo"):
            create(sessions, settings)
        create(sessions, settings, owner=organization(sessions, "other"))

    def test_a_name_is_taken_for_all_of_an_organization(self, sessions: Sessions, settings: Settings) -> None:
        create(sessions, settings, by="anna")
        with pytest.raises(NameTaken, match="demo"):
            create(sessions, settings, by="bert")

    def test_quota_is_the_callers_not_the_organizations(self, sessions: Sessions, settings: Settings) -> None:
        one = settings.model_copy(update={"max_environments_per_user": 1})
        create(sessions, one, by="anna")
        create(sessions, one, by="bert", name="second")
        with pytest.raises(QuotaExceeded):
            create(sessions, one, by="anna", name="third")
        assert count(sessions) == 2

    def test_a_destroyed_environment_frees_name_and_quota(
        self, sessions: Sessions, settings: Settings
    ) -> None:
        one = settings.model_copy(update={"max_environments_per_user": 1})
        first = create(sessions, one)
        destroy = delete(sessions, first.environment_id).operation
        with pytest.raises(QuotaExceeded, match="MAX_ENVIRONMENTS_PER_USER"):
            create(sessions, one, name="other")
        walk(sessions, destroy.id, S.DESTROYING, S.SUCCEEDED)
        assert create(sessions, one).environment_id != first.environment_id

    def test_quota_holds_when_many_come_at_once(self, sessions: Sessions, settings: Settings) -> None:
        three = settings.model_copy(update={"max_environments_per_user": 3})

        def attempt(number: int) -> str:
            try:
                create(sessions, three, name=f"demo-{number}")
            except QuotaExceeded:
                return "refused"
            return "created"

        with ThreadPoolExecutor(8) as pool:
            outcomes = list(pool.map(attempt, range(12)))
        assert outcomes.count("created") == 3
        assert count(sessions) == 3


class TestIdempotency:
    def test_repeats_the_first_answer(self, sessions: Sessions, settings: Settings) -> None:
        first = create(sessions, settings, key="k")
        delete(sessions, first.environment_id)
        assert create(sessions, settings, key="k") == first
        assert count(sessions) == 1

    def test_a_replay_is_no_outcome_with_an_operation_to_tell_of(
        self, sessions: Sessions, settings: Settings
    ) -> None:
        create(sessions, settings, key="k")
        with transaction(sessions) as session:
            outcome = commands.create(
                session,
                config(),
                owner="default",
                by=Author("default"),
                settings=settings,
                idempotency_key="k",
            )
        assert isinstance(outcome, commands.Replay)

    def test_refuses_the_key_with_another_configuration(self, sessions: Sessions, settings: Settings) -> None:
        create(sessions, settings, key="k")
        with pytest.raises(KeyReused):
            create(sessions, settings, key="k", name="other")
        assert count(sessions) == 1

    def test_keys_belong_to_their_owner(self, sessions: Sessions, settings: Settings) -> None:
        create(sessions, settings, key="k")
        create(sessions, settings, key="k", owner=organization(sessions, "other"))
        assert count(sessions) == 2

    def test_a_refused_create_does_not_use_up_the_key(self, sessions: Sessions, settings: Settings) -> None:
        with pytest.raises(ConfigurationRefused):
            create(sessions, settings, key="k", cloud__region="mars-1")
        create(sessions, settings, key="k")

    def test_twice_at_once_makes_one_environment(self, sessions: Sessions, settings: Settings) -> None:
        with ThreadPoolExecutor(6) as pool:
            answers = list(pool.map(lambda _: create(sessions, settings, key="k"), range(6)))
        assert len({answer.environment_id for answer in answers}) == 1
        assert count(sessions) == 1


class TestDelete:
    def test_a_queued_create_is_cancelled_and_the_destroy_still_runs(
        self, sessions: Sessions, settings: Settings
    ) -> None:
        environment = create(sessions, settings)
        answer = delete(sessions, environment.environment_id)
        assert answer.status is EnvironmentStatus.DESTROY_QUEUED
        assert operations(sessions, environment.environment_id) == [
            ("provision", "cancelled"),
            ("destroy", "queued"),
        ]

    def test_a_cancelled_create_does_not_show_as_failed(self, sessions: Sessions, settings: Settings) -> None:
        environment = create(sessions, settings)
        delete(sessions, environment.environment_id)
        with sessions() as session:
            page = queries.events(session, environment.environment_id, owner="default", after=0, limit=100)
        entered = [event.data["to"] for event in page.items if event.type == "environment.status"]
        assert entered == ["queued", "destroy_queued"]

    def test_a_running_create_is_asked_to_stop_and_the_destroy_waits(
        self, sessions: Sessions, settings: Settings
    ) -> None:
        environment = create(sessions, settings)
        taken = walk(sessions, environment.operation.id, S.PLANNING, S.APPLYING)
        answer = delete(sessions, environment.environment_id)
        assert answer.status is EnvironmentStatus.DESTROY_QUEUED
        with sessions() as session:
            build = session.get_one(OperationRow, environment.operation.id)
            assert build.cancel_requested_at is not None
            assert fairness.claimable(session) == []
        with transaction(sessions) as session:
            store.fail(session, taken, Failure(Reason.CANCELLED, "cancelled", "Stopped on request."))
        with sessions() as session:
            assert fairness.claimable(session) == [answer.operation.id]
        assert get(sessions, environment.environment_id).status is EnvironmentStatus.DESTROY_QUEUED

    def test_repeats_the_same_operation_while_destroying(
        self, sessions: Sessions, settings: Settings
    ) -> None:
        environment_id = create(sessions, settings).environment_id
        first = delete(sessions, environment_id)
        again = delete(sessions, environment_id)
        walk(sessions, first.operation.id, S.DESTROYING)
        running = delete(sessions, environment_id)
        assert first.operation.id == again.operation.id == running.operation.id
        assert running.status is EnvironmentStatus.DESTROYING

    def test_a_destroyed_environment_stays_destroyed(self, sessions: Sessions, settings: Settings) -> None:
        environment_id = create(sessions, settings).environment_id
        destroy = delete(sessions, environment_id).operation
        walk(sessions, destroy.id, S.DESTROYING, S.SUCCEEDED)
        answer = delete(sessions, environment_id)
        assert (answer.status, answer.operation.id) == (EnvironmentStatus.DESTROYED, destroy.id)

    def test_a_failed_destroy_is_followed_by_a_new_one(self, sessions: Sessions, settings: Settings) -> None:
        environment_id = create(sessions, settings).environment_id
        first = delete(sessions, environment_id).operation
        taken = walk(sessions, first.id, S.DESTROYING)
        with transaction(sessions) as session:
            store.fail(session, taken, Failure(Reason.LEFTOVERS, "leftovers", "A bucket was left."))
        failed = get(sessions, environment_id)
        assert failed.status is EnvironmentStatus.FAILED
        assert failed.error is not None
        assert failed.error.code == "leftovers"
        second = delete(sessions, environment_id)
        assert second.operation.id != first.id
        assert (second.status, second.error) == (EnvironmentStatus.DESTROY_QUEUED, None)

    @pytest.mark.parametrize(
        "path",
        [
            (),
            (S.PLANNING,),
            (S.PLANNING, S.APPLYING),
            (S.PLANNING, S.APPLYING, S.BOOTSTRAPPING),
            (S.PLANNING, S.APPLYING, S.BOOTSTRAPPING, S.SUCCEEDED),
        ],
    )
    def test_is_possible_in_every_state(
        self, sessions: Sessions, settings: Settings, path: tuple[OperationStatus, ...]
    ) -> None:
        environment = create(sessions, settings)
        if path:
            walk(sessions, environment.operation.id, *path)
        assert delete(sessions, environment.environment_id).operation.kind is Kind.DESTROY

    def test_many_at_once_queue_one_destroy(self, sessions: Sessions, settings: Settings) -> None:
        environment_id = create(sessions, settings).environment_id
        with ThreadPoolExecutor(6) as pool:
            answers = list(pool.map(lambda _: delete(sessions, environment_id), range(6)))
        assert len({answer.operation.id for answer in answers}) == 1

    def test_protection_refuses_until_it_is_destroyed(self, sessions: Sessions, settings: Settings) -> None:
        environment_id = create(sessions, settings, deletion_protection=True).environment_id
        with pytest.raises(DeletionProtected):
            delete(sessions, environment_id)
        assert operations(sessions, environment_id) == [("provision", "queued")]

    @pytest.mark.parametrize("environment_id", ["env_0123456789abcdef", "nonsense", "env_\x00", ""])
    def test_unknown_ids(self, sessions: Sessions, environment_id: str) -> None:
        with pytest.raises(NotFound):
            delete(sessions, environment_id)

    def test_strangers_find_nothing(self, sessions: Sessions, settings: Settings) -> None:
        environment_id = create(sessions, settings).environment_id
        with pytest.raises(NotFound):
            delete(sessions, environment_id, owner="anna")


def test_every_refusal_says_something() -> None:
    for refusal in (
        NotFound("env_x"),
        NameTaken("demo"),
        QuotaExceeded(3),
        KeyReused(),
        DeletionProtected("demo"),
    ):
        assert isinstance(refusal, Refused)
        assert refusal.message == str(refusal) != ""
