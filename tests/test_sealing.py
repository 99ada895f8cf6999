"""Tests see neither what a developer has exported nor a `.env`, and leave no thread behind."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.servers import Addresses
from tests.support.threads import all_end, shared

from beta9_provisioning.settings import Settings

ROOT = Path(__file__).parents[1]
EXPORTED = {
    "LEASE_SECONDS": "3",
    "worker_threads": "1",
    "LOG_FORMAT": "console",
    "ALLOWED_REGIONS": "xx-1",
    "API_PORT": "nonsense",
    "AWS_PROFILE": "nobody",
    "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
    "TF_LOG": "trace",
    "KUBECONFIG": "/nowhere",
    "HTTPS_PROXY": "http://127.0.0.1:1",
    "TERM": "dumb",
    "NO_COLOR": "1",
    "BETA9_PROVISIONING_URL": "http://127.0.0.1:1",
    "LC_ALL": "xx_XX",
}


def test_this_run_is_sealed() -> None:
    assert Settings() == Settings.model_construct()
    assert EXPORTED.keys() & os.environ.keys() == set()
    assert signal.getsignal(signal.SIGINT) is not signal.SIG_IGN


@pytest.mark.parametrize("arguments", [[], ["-n", "1"]], ids=["alone", "under xdist"])
def test_a_run_is_sealed_whatever_is_exported(
    servers: Addresses, tmp_path: Path, arguments: list[str]
) -> None:
    (tmp_path / ".env").write_text("MAX_ENVIRONMENTS_PER_USER=1\n")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    named = {"DATABASE_URL": servers.postgres, "REDIS_URL": servers.redis}
    done = subprocess.run(
        [
            *("sh", "-c", 'trap "" INT; exec "$@"', "sh"),  # as in the background of a shell
            *(sys.executable, "-m", "pytest", "-c", str(ROOT / "pyproject.toml"), "-p", "no:cacheprovider"),
            *(*arguments, f"{__file__}::test_this_run_is_sealed"),
        ],
        cwd=tmp_path,
        env={**inherited, **EXPORTED, **named},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


@pytest.fixture
def staying() -> Iterator[threading.Thread]:
    """A thread that ends after the test."""
    end = threading.Event()
    thread = threading.Thread(target=end.wait, name="stays")
    yield thread
    end.set()
    thread.join()


def test_a_thread_that_stays_is_named(staying: threading.Thread) -> None:
    with pytest.raises(AssertionError, match="were left running: stays"), all_end(guard_seconds=0):
        staying.start()


def test_threads_of_what_several_tests_share_may_stay(staying: threading.Thread) -> None:
    with shared("stays"), all_end(guard_seconds=0):
        staying.start()


def test_threads_of_an_earlier_server_may_stay(staying: threading.Thread) -> None:
    asked = threading.Event()

    def serve() -> None:
        asked.wait()
        staying.start()

    server = threading.Thread(target=serve)
    server.start()
    with all_end(guard_seconds=0):
        asked.set()
        server.join()
