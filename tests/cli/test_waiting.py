"""`env wait`, and what is said when no worker is there."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
import typer
from tests.client import fake_api
from tests.client.fake_api import BASE, ENVIRONMENT_ID, FAILED, FINISHED, FakeApi, answer_json, drop, problem
from tests.client.fake_api import stream as events
from typer.testing import CliRunner, Result

from beta9_provisioning.cli.main import app
from beta9_provisioning.cli.output import Failure
from beta9_provisioning.cli.views import lacks_worker
from beta9_provisioning.cli.waiting import patiently, seconds, wait_for
from beta9_provisioning.client import Client, Unreachable
from beta9_provisioning.client.errors import CertificateUntrusted
from beta9_provisioning.lifecycle import EnvironmentStatus
from beta9_provisioning.schemas.environment import Environment

ONE = f"{BASE}/{ENVIRONMENT_ID}"
NO_WORKER = "No worker is running"
READY = fake_api.environment(status="ready", operation=FINISHED)
QUEUED = fake_api.environment(live_workers=0)


@pytest.fixture
def fake() -> Iterator[FakeApi]:
    with fake_api.serving() as running:
        yield running


def call(fake: FakeApi, *arguments: str) -> Result:
    variables = {"BETA9_PROVISIONING_URL": fake.url, "COLUMNS": "200"}
    return CliRunner(env=variables).invoke(app, ["env", *arguments])


class Clock:
    """Time that passes while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, duration: float) -> None:
        self.now += duration


def wait(fake: FakeApi, timeout: float = 1800.0) -> str:
    clock = Clock()
    with Client(fake.url) as client:
        goal = EnvironmentStatus.READY
        return wait_for(client, ENVIRONMENT_ID, goal, timeout, clock=clock, sleep=clock.sleep).status


@pytest.mark.parametrize(
    ("text", "length"), [("30m", 1800), ("90s", 90), ("1h30m", 5400), ("45", 45), ("2h", 7200)]
)
def test_durations(text: str, length: float) -> None:
    assert seconds(text) == length


@pytest.mark.parametrize("text", ["", "m", "-1m", "30 m", "1d", "1.5h", "99999999h"])
def test_what_is_no_duration_is_wrong_usage(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        seconds(text)


def test_scripts_had_to_poll_by_themselves(fake: FakeApi) -> None:
    fake.on("GET", ONE, answer_json(fake_api.environment()), answer_json(READY))
    assert call(fake, "wait", ENVIRONMENT_ID, "--for", "ready", "-q").stdout == f"{ENVIRONMENT_ID}\n"


def test_a_service_that_is_away_at_first_does_not_end_a_wait(fake: FakeApi) -> None:
    fake.on("GET", ONE, problem(503, "Service Unavailable", "Later."), answer_json(READY))
    assert call(fake, "wait", ENVIRONMENT_ID, "--for", "ready", "-q").stdout == f"{ENVIRONMENT_ID}\n"


def test_what_a_service_refuses_is_not_asked_again() -> None:
    clock, asked = Clock(), list[int]()

    def ask() -> None:
        asked.append(1)
        raise Unreachable("http://localhost", "nobody listens")

    with pytest.raises(Unreachable):
        patiently(ask, 3.0, clock=clock, sleep=clock.sleep)
    assert len(asked) == 5
    asked.clear()
    with pytest.raises(CertificateUntrusted):
        patiently(untrusted(asked), 3.0, clock=clock, sleep=clock.sleep)
    assert len(asked) == 1


def untrusted(asked: list[int]) -> Callable[[], None]:
    def ask() -> None:
        asked.append(1)
        raise CertificateUntrusted("https://localhost", "self-signed")

    return ask


def test_a_restart_of_the_service_does_not_end_a_wait(fake: FakeApi) -> None:
    waiting = answer_json(fake_api.environment())
    fake.on("GET", ONE, waiting, drop, drop, drop, problem(503, "Busy", ""), answer_json(READY))
    assert wait(fake) == "ready"


def test_a_certificate_that_is_no_longer_accepted_ends_a_wait_at_once(fake: FakeApi) -> None:
    asked = list[int]()

    class Distrusting(Client):
        def get(self, environment_id: str) -> Environment:
            if fake.received:
                untrusted(asked)()
            return super().get(environment_id)

    fake.on("GET", ONE, answer_json(fake_api.environment()))
    clock = Clock()
    with Distrusting(fake.url) as client, pytest.raises(CertificateUntrusted):
        wait_for(client, ENVIRONMENT_ID, EnvironmentStatus.READY, 1800.0, clock=clock, sleep=clock.sleep)
    assert len(asked) == 1


def test_a_wait_ends_when_time_is_up(fake: FakeApi) -> None:
    fake.on("GET", ONE, answer_json(fake_api.environment()))
    with pytest.raises(Failure, match="is queued, and not ready after 90 s"):
        wait(fake, 90)
    assert len(fake.received) == 91


def test_a_wait_for_what_cannot_come_ends_at_once(fake: FakeApi) -> None:
    error = {"code": "x", "message": "AWS refused the role."}
    fake.on("GET", ONE, answer_json(fake_api.environment(status="failed", operation=FAILED, error=error)))
    result = call(fake, "wait", ENVIRONMENT_ID, "--for", "ready", "--timeout", "30m")
    assert result.exit_code == 1
    assert "is failed and nothing is going on" in result.stderr
    assert "AWS refused the role." in result.stderr


def test_a_create_that_nobody_took_waited_without_a_word(fake: FakeApi) -> None:
    fake.on("GET", ONE, answer_json(QUEUED))
    assert NO_WORKER in call(fake, "get", ENVIRONMENT_ID).stdout


@pytest.mark.parametrize(
    "environment",
    [
        fake_api.environment(live_workers=1),
        fake_api.environment(live_workers=None),  # of a service of 0.2.0
        fake_api.environment(live_workers=0, operation=FINISHED),
    ],
    ids=["one lives", "not counted", "nothing waits"],
)
def test_nothing_is_said_of_workers_that_are_not_missed(
    fake: FakeApi, environment: dict[str, object]
) -> None:
    fake.on("GET", ONE, answer_json(environment))
    assert NO_WORKER not in call(fake, "get", ENVIRONMENT_ID).stdout


def test_nothing_is_said_of_workers_in_the_first_seconds() -> None:
    now = datetime.now(UTC)
    just_now = fake_api.environment(live_workers=0, operation={"created_at": now.isoformat()})
    environment = Environment.model_validate(just_now)
    assert not lacks_worker(environment, now + timedelta(seconds=4))
    assert lacks_worker(environment, now + timedelta(seconds=6))


@pytest.mark.parametrize("output", ["table", "json"])
def test_a_watch_of_what_nobody_took_said_nothing(fake: FakeApi, output: str) -> None:
    # A stream that stays open until the operation, seen to wait, is seen to have ended.
    fake.on("GET", f"{ONE}/events", events(then="cut"))
    fake.on("GET", ONE, answer_json(QUEUED))

    def end() -> None:
        fake.scripts["GET", f"{ONE}/events"].clear()
        fake.scripts["GET", ONE].clear()
        fake.on("GET", f"{ONE}/events", events(), answer_json({"items": [], "next_after": None}))
        fake.on("GET", ONE, answer_json(READY))

    def waiting(handler: object) -> None:
        if len(fake.requests("GET", ONE)) >= 3:
            end()
        answer_json(QUEUED)(handler)  # type: ignore[arg-type]

    fake.scripts["GET", ONE].clear()
    fake.on("GET", ONE, waiting)
    result = call(fake, "watch", ENVIRONMENT_ID, "-o", output)
    assert result.exit_code == 0
    assert NO_WORKER in (result.stderr if output == "json" else result.stdout)
