"""Two releases side by side on one database and one queue, under work: an update, and back."""

from __future__ import annotations

import itertools
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample
from scripts.releases import OURS, Program
from sqlalchemy import text
from tests.support.waiting import GUARD_SECONDS, until
from tests.upgrades.fleet import ENVIRONMENTS, IMPATIENT, REFUSED, Api, Fleet, stop
from tests.upgrades.shapes import Shape, contractions

from beta9_provisioning.kit.database import connect

pytestmark = pytest.mark.timeout(600)
_LOOK_SECONDS = 0.25
_BURST = 5
_OPERATIONS = text(
    """
    SELECT environment_id, kind, operations.status, operations.attempts, error->>'code' AS code,
        count(lease_token) AS tries, count(ended_at) AS ended, array_agg(worker) AS workers,
        count(*) FILTER (WHERE outcome = 'worker_stopped' AND error->>'code' IS DISTINCT FROM 'worker_stopped')
            AS handed_back,
        (SELECT count(*) FROM events WHERE operation_id = operations.id AND type = 'operation.claimed') AS claims
    FROM operations LEFT JOIN attempts ON operation_id = operations.id GROUP BY operations.id
    """  # noqa: E501
)
_UNFINISHED = text("SELECT count(*) FROM operations WHERE finished_at IS NULL")
_GAPS = text(
    "SELECT environment_id FROM events GROUP BY environment_id HAVING count(*) <> max(id) OR min(id) <> 1"
)
_ENTERED = text(
    "SELECT data->>'to', count(*) FROM events WHERE type = 'environment.status' GROUP BY data->>'to'"
)


class Customers:
    """Those who want environments all the while, of one API and the other in turn; their role refuses."""

    def __init__(self) -> None:
        self.asked: set[str] = set()
        self._number = itertools.count()

    def ask(self, *apis: Api) -> None:
        """Request some environments."""
        for api, number in zip(itertools.cycle(apis), itertools.islice(self._number, _BURST), strict=False):
            self.asked.add(api.make(f"customer-{number}", external_id=REFUSED))

    def clean_up(self, api: Api) -> None:
        """Delete what has failed by now."""
        for item in _listed(api, "failed"):
            api.remove(item["environment_id"])

    def leave(self, api: Api, fleet: Fleet) -> None:
        """Delete what has failed until nothing is left; a delete may have been stopped, too."""
        engine = connect(fleet.database_url)
        with engine.connect() as connection:
            while {item["status"] for item in _listed(api)} != {"destroyed"}:
                self.clean_up(api)
                until(lambda: connection.scalar(_UNFINISHED) == 0, "all operations have ended")
                connection.rollback()
        engine.dispose()


def _listed(api: Api, *statuses: str) -> list[dict[str, Any]]:
    answer = api.http.get(ENVIRONMENTS, params={"limit": 100, "status": list(statuses)})
    assert answer.is_success, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


@contextmanager
def always_ready(*apis: Api) -> Iterator[None]:
    """Ask for the readiness of APIs all the while; it must never be anything else."""
    over = threading.Event()

    def watch(url: str) -> set[tuple[int, Any]]:
        found = set()
        watcher = Api(url)
        with watcher.http:
            while not over.wait(_LOOK_SECONDS):
                found.add(watcher.readiness())
        return found

    with ThreadPoolExecutor(len(apis)) as pool:
        seen = [pool.submit(watch, str(api.http.base_url)) for api in apis]
        try:
            yield
        finally:
            over.set()
        assert [one.result(GUARD_SECONDS) for one in seen] == [{(200, "")} for _ in apis]


def samples(api: Api, name: str) -> list[Sample]:
    """Return what the API's metrics tell of a family, but for what is 0."""
    families = text_string_to_metric_families(api.http.get("/metrics").text)
    return [one for family in families if family.name == name for one in family.samples if one.value]


def entered(api: Api) -> dict[str, int]:
    """Return how many environments have entered each status, as the API's metrics tell."""
    return {one.labels["status"]: int(one.value) for one in samples(api, "provisioning_environments")}


def test_an_update_and_its_rollback_under_work(fleet: Fleet, previous: Program) -> None:
    customers, made_before = Customers(), vpcs_made(fleet)
    fleet.migrate(previous)
    fleet.world.be_slow(1)
    with ExitStack() as programs:
        old = programs.enter_context(fleet.api(previous))
        first = programs.enter_context(fleet.worker(previous))
        with always_ready(old):
            customers.ask(old)
            long = old.make("long")
            old.wait_until_it_builds(long)
            customers.ask(old)
            fleet.migrate(OURS)
        new = programs.enter_context(fleet.api(OURS))
        with always_ready(old, new):
            customers.ask(old, new)
            second = programs.enter_context(fleet.worker(OURS))
            customers.ask(old, new)
            # Each release counts the workers of both among the living.
            for api in (old, new):
                until(lambda: api.get(long)["live_workers"] == 2, "both workers live")  # noqa: B023
            customers.clean_up(new)
            # The update ends: the old worker is told to stop in the middle of its work.
            customers.ask(old, new)
            stop(first)
            assert old.get(long)["error"]["code"] == "worker_stopped"
            customers.ask(old, new)
            fleet.world.be_slow(0)
            old.remove(long)
            customers.clean_up(old)
            new.wait(long, "destroyed")

            # And back: the old worker returns, the new one stops in the middle of its work.
            fleet.world.be_slow(1)
            again = new.make("again")
            new.wait_until_it_builds(again)
            third = programs.enter_context(fleet.worker(previous))
            customers.ask(old, new)
            stop(second)
            # It handed its work back: the next worker that can resume goes on with it.
            assert new.get(again)["status"] == "provisioning"
            fleet.world.be_slow(0)
            # What was asked of the new release is of a newer configuration, and waits for a newer worker.
            waits, taken = new.make("waits", external_id=REFUSED), old.make("taken", external_id=REFUSED)
            old.wait(taken, "failed")
            assert new.get(waits)["status"] == "queued"
            fourth = programs.enter_context(fleet.worker(OURS))
            new.wait(again, "ready")
            new.remove(again)

            customers.leave(new, fleet)
        operations = check(
            fleet,
            {*customers.asked, long, again, waits, taken},
            {child.pid for child in (first, second, third, fourth)},
        )
        # What is counted was counted whoever did it, also while the schema changed.
        assert entered(old) == entered(new) == entered_by_the_journal(fleet)
        finished = samples(new, "provisioning_operations_finished")
        assert sum(one.value for one in finished) == operations
    assert fleet.world.leftovers() == []
    assert vpcs_made(fleet) == made_before + 2


def vpcs_made(fleet: Fleet) -> int:
    """Return how many networks were ever created in the cloud, one for each environment that builds."""
    return sum((one.op, one.type) == ("create", "aws_vpc") for one in fleet.world.store.operations())


def check(fleet: Fleet, asked: set[str], workers: set[int]) -> int:
    """No operation was lost, none ran twice, each ended truthfully, every worker had its share; how many?"""
    engine = connect(fleet.database_url)
    with engine.connect() as connection:
        found = connection.execute(_OPERATIONS).all()
        assert connection.execute(_GAPS).all() == []
    engine.dispose()
    assert {one.environment_id for one in found if one.kind == "provision"} == asked
    assert {one.environment_id for one in found if one.kind == "destroy"} == asked
    # One attempt for each, and one more for each time that it was handed back.
    assert {(one.attempts - one.handed_back, one.claims) for one in found} == {(1, 1)}
    assert all(one.attempts == one.tries == one.ended for one in found)
    ends = {(one.kind, one.status, one.code) for one in found}
    assert ends <= {
        ("provision", "failed", "role_refused"),
        ("provision", "succeeded", None),
        ("provision", "failed", "worker_stopped"),
        ("destroy", "succeeded", None),
        ("destroy", "failed", "worker_stopped"),
    }
    assert {int(one.rpartition(":")[2]) for each in found for one in each.workers} == workers
    return len(found)


def entered_by_the_journal(fleet: Fleet) -> dict[str, int]:
    engine = connect(fleet.database_url)
    with engine.connect() as connection:
        counts = {str(status): int(count) for status, count in connection.execute(_ENTERED)}
    engine.dispose()
    return counts


def test_a_worker_that_dies_is_judged_by_one_of_the_other_release(fleet: Fleet, previous: Program) -> None:
    fleet.migrate(OURS)
    with fleet.api(previous) as api, ExitStack() as programs:
        worker = programs.enter_context(fleet.worker(previous, **IMPATIENT))
        for other in (OURS, previous):
            fleet.world.be_slow(1)
            lost = api.make("lost")
            api.wait_until_it_builds(lost)
            judge = programs.enter_context(fleet.worker(other, **IMPATIENT))
            worker.send_signal(signal.SIGKILL)
            if other is OURS:
                api.wait_for_event(lost, "operation.resumed")
                fleet.world.be_slow(0)
                # Our stack is another one than what the release before had begun: nothing of it is replaced.
                assert api.wait(lost, "failed")["error"]["code"] == "plan_destructive"
            else:
                assert api.wait(lost, "failed")["error"]["code"] == "worker_lost"
            # Our release takes down what the dead one's Terraform has left, whoever of the two died.
            fleet.world.be_slow(0)
            api.remove(lost)
            if other is previous:
                programs.enter_context(fleet.worker(OURS, **IMPATIENT))
            api.wait(lost, "destroyed")
            worker = judge
    assert fleet.world.leftovers() == []


def test_db_init_of_both_releases_at_once(fleet: Fleet, previous: Program, database_url: str) -> None:
    with ExitStack() as programs:
        running = [programs.enter_context(fleet.db_init(program)) for program in (previous, OURS)]
        ends = [(child.communicate(timeout=GUARD_SECONDS)[0], child.returncode) for child in running]
    assert [code for _, code in ends] == [0, 0], ends
    shapes = []
    for url in (database_url, fleet.database_url):
        engine = connect(url)
        with engine.connect() as connection:
            shapes.append(Shape.of(connection))
        engine.dispose()
    assert shapes[0] == shapes[1]
    assert contractions(*shapes) == []
