"""What users and operators see when something in or beside the containers breaks; no log has a traceback."""

import time
from collections.abc import Iterator

import pytest
from tests.containers.composed import SIMULATED, Api, Composed, composed, docker, inspect, tell, timed
from tests.support.waiting import until

# A small disk; a short lease, so that a lost worker is judged soon; and a short wait for leftovers.
OVERRIDE = {
    "services": {"worker-simulated": {"environment": {"LEASE_SECONDS": "10", "LEFTOVER_GRACE_SECONDS": "5"}}},
    "volumes": {
        "workdir-simulated": {
            "driver_opts": {
                "type": "tmpfs",
                "device": "tmpfs",
                "o": "uid=10001,gid=10001,mode=0700,size=288m",
            }
        }
    },
}
FILLER = "/var/lib/beta9/filler"
figures: dict[str, float] = {}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Composed]:
    """The simulated product alone."""
    with composed(tmp_path_factory.mktemp("trouble"), OVERRIDE) as found:
        found.typed("cp .env.example .env")
        found.compose("up", "--detach", "api-simulated", "worker-simulated")
        found.wait_until_healthy("cloud", "api-simulated", "worker-simulated")
        yield found


@pytest.fixture(scope="module", autouse=True)
def _told(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    tell(request.config, figures)


@pytest.fixture
def api(running: Composed) -> Iterator[Api]:
    """The API, with a cloud that takes no time before and after the test."""
    running.pace(0)
    yield Api(SIMULATED)
    running.pace(0)


def test_with_redis_paused_a_create_is_taken_and_begins_later(running: Composed, api: Api) -> None:
    redis = running.container("redis")
    docker("pause", redis)
    try:
        environment_id = api.create("without-queue")
        code, checks = api.ready()
        assert (code, checks["queue"]["ok"], checks["database"]["ok"]) == (200, False, True)
        assert "REDIS_URL" in checks["queue"]["detail"]
    finally:
        docker("unpause", redis)
    api.wait(environment_id, "ready")
    assert api.ready()[1]["queue"]["ok"]
    api.delete(environment_id)
    api.wait(environment_id, "destroyed")
    assert running.leftovers() == []


def test_with_the_database_out_of_reach_readiness_says_so_and_recovers(running: Composed, api: Api) -> None:
    rule = ("OUTPUT", "-p", "tcp", "--dport", "5432", "-j", "DROP")
    assert api.ready()[0] == 200
    running.network_of("api-simulated", "iptables", "-A", *rule)
    try:
        with timed("until /health/ready answers without the database", figures):
            code, checks = api.ready()
        assert (code, checks["database"]["ok"], checks["queue"]["ok"]) == (503, False, True)
        # It was its own deadline that answered, not the network's.
        assert "no answer within 2.5 s" in running.compose("logs", "--no-color", "api-simulated")
        assert api.http.get("/health").status_code == 200
    finally:
        running.network_of("api-simulated", "iptables", "-D", *rule)
    with timed("until it is ready again", figures):
        until(lambda: api.ready()[0] == 200, "the service is ready again")


def test_a_worker_that_its_memory_limit_killed_goes_on_when_it_is_back(running: Composed, api: Api) -> None:
    running.pace(1)
    environment_id = api.create("without-memory")
    api.wait_until_it_builds(environment_id)
    worker = running.container("worker-simulated")
    since = str(int(time.time()) - 1)
    kill_by_memory_limit(running)
    with timed("from a worker's end by memory to the next attempt", figures):
        api.wait_for_event(environment_id, "operation.resumed")
    happened = docker(
        *("events", "--since", since, "--until", "0s", "--filter", f"container={worker}"),
        *("--format", "{{.Action}} {{.Actor.Attributes.exitCode}}"),
    ).splitlines()
    assert any(one.startswith("oom ") for one in happened), happened
    assert [one for one in happened if one.startswith("die ")] == ["die 137"]
    # The cloud goes on: what had been asked of it comes into being.
    running.pace(0)
    running.in_cloud("store.execute('update objects set busy_until=0')")
    running.wait_until_healthy("worker-simulated")
    # Terraform was killed with its container: what its state does not know is adopted.
    api.wait(environment_id, "ready")
    api.delete(environment_id)
    api.wait(environment_id, "destroyed")
    assert running.leftovers() == []


def kill_by_memory_limit(running: Composed) -> None:
    """Fill the worker's memory until the kernel kills in its container.

    The kernel takes whom it likes, mostly the greatest: so say that the worker itself goes first.
    """
    docker("update", "--memory", "400m", "--memory-swap", "400m", running.container("worker-simulated"))
    running.inside("worker-simulated", "sh", "-c", "echo 1000 >/proc/1/oom_score_adj")
    started = inspect(running.container("worker-simulated"))["State"]["StartedAt"]
    hog = "held = []\nwhile True: held.append(bytearray(2 ** 22))"
    with pytest.raises(AssertionError, match="137"):
        running.inside("worker-simulated", "python", "-c", hog)
    until(
        lambda: inspect(running.container("worker-simulated"))["State"]["StartedAt"] != started,
        "the worker has been started again",
    )
    docker("update", "--memory", "4g", "--memory-swap", "4g", running.container("worker-simulated"))


def test_a_full_disk_has_a_code_of_its_own(running: Composed, api: Api) -> None:
    free = "os.statvfs('/var/lib/beta9')"
    fill = (
        f"import os; file = os.open('{FILLER}', os.O_CREAT | os.O_WRONLY); "
        f"os.posix_fallocate(file, 0, {free}.f_bavail * {free}.f_frsize)"
    )
    running.inside("worker-simulated", "python", "-c", fill)
    environment_id = api.create("without-room")
    found = api.wait(environment_id, "failed")
    assert found["error"]["code"] == "disk_full"
    running.inside("worker-simulated", "rm", FILLER)
    api.delete(environment_id)
    api.wait(environment_id, "destroyed")
    assert running.leftovers() == []


def test_what_was_taken_down_with_its_cloud_can_be_deleted(running: Composed, api: Api) -> None:
    environment_id = api.create("without-cloud")
    api.wait(environment_id, "ready")
    running.compose("--profile", "simulated", "down")
    running.compose("up", "--detach", "api-simulated", "worker-simulated")
    running.wait_until_healthy("cloud", "api-simulated", "worker-simulated")
    assert api.get(environment_id)["status"] == "ready"  # the database is on a volume, the cloud in memory
    api.delete(environment_id)
    api.wait(environment_id, "destroyed")
    assert running.leftovers() == []
