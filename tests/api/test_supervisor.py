"""Several processes on one port: they count as one, one that is killed is replaced, and they end together."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
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
    """The process that watches over the others, which all serve."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with api_process(several, port, tmp_path) as child:
        until(lambda: answers(port), "one of them serves")
        until(lambda: get(port, "/api/v1/schema") and len(serving(tmp_path)) == 3, "all of them serve")
        yield child


def serving(directory: Path) -> list[Path]:
    """Return the files of those that have counted something."""
    return list(directory.glob("beta9-api-*/counter_*.db"))


def get(port: int, path: str) -> httpx.Response:
    """Ask on a connection of its own, which any of the processes may take."""
    return httpx.get(f"http://127.0.0.1:{port}{path}", timeout=GUARD_SECONDS, trust_env=False)


def counted(port: int, status: str = "200") -> float:
    """Return how many requests to / are counted."""
    found = [
        sample.value
        for family in text_string_to_metric_families(get(port, "/metrics").text)
        for sample in family.samples
        if sample.name == "provisioning_api_requests_total"
        and (sample.labels["route"], sample.labels["status"]) == ("/", status)
    ]
    assert len(found) <= 1
    return sum(found)


@pytest.mark.usefixtures("parent")
def test_any_of_them_tells_what_all_have_counted(port: int) -> None:
    for _ in range(ASKED):
        assert get(port, "/").is_success
    assert [counted(port) for _ in range(ASKED)] == [ASKED] * ASKED


def test_one_that_is_killed_is_replaced_and_its_counts_stay(
    parent: "subprocess.Popen[bytes]", port: int, tmp_path: Path
) -> None:
    for _ in range(ASKED):
        assert get(port, "/").is_success
    killed = next(iter(descendants(parent.pid)))
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
    children = descendants(parent.pid)
    parent.send_signal(number)
    assert parent.wait(GUARD_SECONDS) == 0
    wait_for_end(*children)
    assert not answers(port)
    assert "Traceback" not in (tmp_path / "log").read_text()
    assert not list(tmp_path.glob("beta9-api-*"))


def test_none_outlives_the_one_that_watches_over_them(parent: "subprocess.Popen[bytes]") -> None:
    children = descendants(parent.pid)
    parent.kill()
    wait_for_end(*children)


def test_one_that_cannot_start_ends_all(parent: "subprocess.Popen[bytes]", tmp_path: Path) -> None:
    (counts,) = tmp_path.glob("beta9-api-*")
    shutil.rmtree(counts)
    children = descendants(parent.pid)
    os.kill(next(iter(children)), signal.SIGKILL)
    assert parent.wait(GUARD_SECONDS) == 1
    wait_for_end(*children)
    assert '"event": "api_process_failed"' in (tmp_path / "log").read_text()


@pytest.mark.usefixtures("parent")
def test_a_taken_port_is_refused_though_it_could_be_shared(
    several: Settings, port: int, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    with api_process(several, port, other) as second:
        assert second.wait(GUARD_SECONDS) == 1
    assert "nothing can listen: Address already in use." in (other / "log").read_text()


def test_counts_need_a_directory(
    several: Settings, port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "absent"))
    with api_process(several, port, tmp_path) as child:
        assert child.wait(GUARD_SECONDS) == 1
    (line,) = (tmp_path / "log").read_text().splitlines()
    assert line.startswith("error: API_PROCESSES is more than 1")
    assert line.endswith("Let TMPDIR name one that can be written to.")
