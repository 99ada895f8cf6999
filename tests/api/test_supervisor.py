"""Several processes on one port: they count as one, one that is killed is replaced, and they end together."""

import errno
import os
import resource
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from prometheus_client.samples import Sample
from sqlalchemy import Engine, text
from tests.support.exposition import samples_of
from tests.support.process_tree import descendants, wait_for_end
from tests.support.serving import answers, api_process
from tests.support.waiting import GUARD_SECONDS, until

from beta9_provisioning.local.ports import free_port
from beta9_provisioning.settings import Settings

ASKED = 40


@pytest.fixture
def several(settings: Settings) -> Settings:
    return settings.model_copy(update={"api_processes": 3})


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def parent(
    several: Settings, port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator["subprocess.Popen[bytes]"]:
    """The process that watches over the others, which all serve; its directory has a .env of its own."""
    monkeypatch.chdir(tmp_path)
    with api_process(several, port, tmp_path) as child:
        until(lambda: answers(port), "one of them serves")
        until(lambda: (tmp_path / "log").read_text().count("startup complete") == 3, "all of them serve")
        yield child


def counts_of(parent: "subprocess.Popen[bytes]") -> Path:
    """Return the directory of the counts, which the parent holds locked."""
    opened = map(Path.readlink, Path(f"/proc/{parent.pid}/fd").iterdir())
    (found,) = {path for path in opened if path.name.startswith("beta9-api-")}
    return found


def any_child(parent: "subprocess.Popen[bytes]") -> int:
    return next(iter(descendants(parent.pid)))


def get(port: int, path: str) -> httpx.Response:
    """Ask on a connection of its own, which any of the processes may take."""
    return httpx.get(f"http://127.0.0.1:{port}{path}", timeout=GUARD_SECONDS, trust_env=False)


def samples(port: int, name: str) -> list[Sample]:
    """Return what /metrics tells of a metric."""
    return [sample for sample in samples_of(get(port, "/metrics").text) if sample.name == name]


def counted(port: int, status: str = "200") -> float:
    """Return how many requests to / are counted."""
    found = [
        sample.value
        for sample in samples(port, "provisioning_api_requests_total")
        if (sample.labels["route"], sample.labels["status"]) == ("/", status)
    ]
    assert len(found) <= 1
    return sum(found)


@pytest.mark.usefixtures("parent")
def test_any_of_them_tells_what_all_have_counted(port: int) -> None:
    for _ in range(ASKED):
        assert get(port, "/").is_success
    assert [counted(port) for _ in range(ASKED)] == [ASKED] * ASKED


def test_connections_of_all_add_up_and_those_of_a_killed_one_do_not_stay(
    parent: "subprocess.Popen[bytes]", port: int, engine: Engine
) -> None:
    def connections(what: str) -> float:
        (one,) = samples(port, f"provisioning_database_connections_{what}")
        return one.value

    most = connections("max")
    with engine.connect() as connection:
        connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
        # Requests that wait for this lock have a connection each, wherever they are.
        connection.execute(text("LOCK TABLE environments IN ACCESS EXCLUSIVE MODE"))
        with ThreadPoolExecutor(8) as pool:
            for _ in range(8):
                pool.submit(get, port, "/api/v1/environments")
            until(lambda: connections("in_use") > 2, "several are in use")
            for child in descendants(parent.pid):
                os.kill(child, signal.SIGKILL)
    until(lambda: len(descendants(parent.pid)) == 3, "all are replaced")
    until(lambda: connections("in_use") == 0, "none of those who are gone is counted")
    assert connections("max") == most == 3 * 24


def test_one_that_is_killed_is_replaced_and_its_counts_stay(
    parent: "subprocess.Popen[bytes]", port: int, tmp_path: Path
) -> None:
    for _ in range(ASKED):
        assert get(port, "/").is_success
    killed = any_child(parent)
    os.kill(killed, signal.SIGKILL)
    # Nobody is refused, whichever socket he comes to.
    for _ in range(ASKED):
        assert get(port, "/").is_success
    assert counted(port) == 2 * ASKED
    assert killed not in descendants(parent.pid)
    assert len(descendants(parent.pid)) == 3
    assert f'"pid": {killed}, "signal": 9' in (tmp_path / "log").read_text()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_all_in_order(
    parent: "subprocess.Popen[bytes]", port: int, tmp_path: Path, number: signal.Signals
) -> None:
    children, counts = descendants(parent.pid), counts_of(parent)
    assert len(list(counts.iterdir())) == 9
    parent.send_signal(number)
    assert parent.wait(GUARD_SECONDS) == 0
    wait_for_end(*children)
    assert not answers(port)
    assert "Traceback" not in (tmp_path / "log").read_text()
    assert not counts.exists()


def test_none_outlives_the_one_that_watches_over_them(parent: "subprocess.Popen[bytes]") -> None:
    children = descendants(parent.pid)
    parent.kill()
    wait_for_end(*children)


def test_one_that_cannot_start_ends_all(parent: "subprocess.Popen[bytes]", tmp_path: Path) -> None:
    shutil.rmtree(counts_of(parent))
    children = descendants(parent.pid)
    os.kill(any_child(parent), signal.SIGKILL)
    assert parent.wait(GUARD_SECONDS) == 1
    wait_for_end(*children)
    assert '"event": "api_process_failed"' in (tmp_path / "log").read_text()


def test_counts_whose_directory_is_gone_trouble_no_request(
    parent: "subprocess.Popen[bytes]", port: int
) -> None:
    shutil.rmtree(counts_of(parent))
    assert all(get(port, "/").is_success for _ in range(ASKED))
    assert get(port, "/metrics").is_success


def test_a_replacement_has_the_settings_of_the_first(
    parent: "subprocess.Popen[bytes]", port: int, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("WORKER_THREADS=999\n")
    killed = any_child(parent)
    os.kill(killed, signal.SIGKILL)
    until(lambda: len(set(descendants(parent.pid)) - {killed}) == 3, "it is replaced")
    assert all(get(port, "/").is_success for _ in range(ASKED))


def test_a_replacement_that_cannot_be_made_is_tried_again(
    parent: "subprocess.Popen[bytes]", port: int, tmp_path: Path
) -> None:
    """As when the kernel has just ended one for want of memory; here descriptors are wanting."""
    before = resource.prlimit(
        parent.pid, resource.RLIMIT_NOFILE, (3, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    )
    os.kill(any_child(parent), signal.SIGKILL)
    until(lambda: '"event": "api_process_not_replaced"' in (tmp_path / "log").read_text(), "it is told")
    assert len(descendants(parent.pid)) == 2
    resource.prlimit(parent.pid, resource.RLIMIT_NOFILE, before)
    until(lambda: '"event": "api_process_replaced"' in (tmp_path / "log").read_text(), "it is replaced")
    assert all(get(port, "/").is_success for _ in range(ASKED))


def test_who_comes_during_a_stop_is_refused_and_does_not_wait(
    parent: "subprocess.Popen[bytes]", port: int
) -> None:
    with socket.create_connection(("127.0.0.1", port)) as slow:
        slow.sendall(b"POST /api/v1/environments HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50\r\n\r\n{")
        parent.send_signal(signal.SIGTERM)

        def is_refused() -> bool:
            with socket.socket() as tried:
                return tried.connect_ex(("127.0.0.1", port)) == errno.ECONNREFUSED

        until(is_refused, "nobody is let in any more")
        assert parent.poll() is None
    assert parent.wait(GUARD_SECONDS) == 0


@pytest.mark.usefixtures("parent")
def test_a_taken_port_is_refused_though_it_could_be_shared(
    several: Settings, port: int, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    with api_process(several, port, other) as second:
        assert second.wait(GUARD_SECONDS) == 1
    assert "nothing can listen: Address already in use." in (other / "log").read_text()


def test_one_process_counts_for_itself_whatever_its_environment_says(
    settings: Settings, port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path / "absent"))
    with api_process(settings, port, tmp_path):
        until(lambda: answers(port), "it serves")
        get(port, "/")
        assert counted(port) == 1
