"""The real process: it starts without a database, serves, and stops in order."""

import signal
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from tests.support.lives import create
from tests.support.proxy import proxy_to
from tests.support.serving import answers, api_process
from tests.support.waiting import GUARD_SECONDS, until

from beta9_provisioning.api.server import make_server, serve
from beta9_provisioning.kit.database import Sessions
from beta9_provisioning.kit.listening import listen
from beta9_provisioning.local.ports import free_port
from beta9_provisioning.settings import Settings


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_stops_in_order_with_a_stream_open(
    settings: Settings, sessions: Sessions, tmp_path: Path, number: signal.Signals
) -> None:
    environment = create(sessions, settings)
    port = free_port()
    url = f"http://127.0.0.1:{port}/api/v1/environments/{environment.environment_id}/events"
    with api_process(settings, port, tmp_path) as child:
        until(lambda: answers(port), "the service answers")
        headers = {"Accept": "text/event-stream"}
        with httpx.stream("GET", url, headers=headers, timeout=GUARD_SECONDS) as response:
            lines = response.iter_lines()
            assert next(line for line in lines if line.startswith("id:")) == "id: 1"
            child.send_signal(number)
            list(lines)  # the stream ends without an error
        assert child.wait(GUARD_SECONDS) == 0
    log = (tmp_path / "log").read_text()
    assert '"event": "request"' in log
    assert "Traceback" not in log


def test_ctrl_c_ends_what_a_shell_has_started_in_the_background(settings: Settings, tmp_path: Path) -> None:
    port = free_port()
    with api_process(settings, port, tmp_path, ("sh", "-c", 'trap "" INT; exec "$@"', "sh")) as child:
        until(lambda: answers(port), "the service answers")
        child.send_signal(signal.SIGINT)
        assert child.wait(GUARD_SECONDS) == 0


def test_below_nohup_it_survives_its_terminal(settings: Settings, tmp_path: Path) -> None:
    port = free_port()
    with api_process(settings, port, tmp_path, ("sh", "-c", 'trap "" HUP; exec "$@"', "sh")) as child:
        until(lambda: answers(port), "the service answers")
        child.send_signal(signal.SIGHUP)
        assert answers(port)
        child.send_signal(signal.SIGTERM)
        assert child.wait(GUARD_SECONDS) == 0


def test_stops_while_the_database_is_silent(settings: Settings, tmp_path: Path) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}/api/v1/environments"
    with proxy_to(settings.database_url) as proxy, ThreadPoolExecutor(20) as pool:
        silent = settings.model_copy(update={"database_url": proxy.url})
        with api_process(silent, port, tmp_path) as child:
            until(lambda: answers(port), "the service answers")
            assert httpx.get(url, timeout=GUARD_SECONDS, trust_env=False).is_success
            proxy.freeze()
            asked = [pool.submit(httpx.get, url, timeout=GUARD_SECONDS, trust_env=False) for _ in range(20)]
            until(lambda: not any(request.done() for request in asked) and proxy.held, "a request waits")
            child.send_signal(signal.SIGTERM)
            ended = child.wait(GUARD_SECONDS)
            proxy.heal()
    assert ended == 0


def test_a_taken_port_ends_it_with_a_message(settings: Settings, tmp_path: Path) -> None:
    port = free_port()
    with api_process(settings, port, tmp_path):
        until(lambda: answers(port), "the service answers")
        other = tmp_path / "other"
        other.mkdir()
        with api_process(settings, port, other) as second:
            assert second.wait(GUARD_SECONDS) == 1
        told = f"error: API_HOST and API_PORT name 127.0.0.1, port {port}, where nothing can listen: "
        assert (other / "log").read_text().startswith(f"{told}Address already in use.")


def test_a_service_that_cannot_start_is_not_called_not_found() -> None:
    """Exit code 3 is that of the command line; uvicorn has it for this."""

    @asynccontextmanager
    async def broken(_app: FastAPI) -> AsyncIterator[None]:
        raise RuntimeError("broken")
        yield

    (listener,) = listen("127.0.0.1", 0)
    with listener:
        assert serve(make_server(FastAPI(lifespan=broken), "127.0.0.1", 0), listener) == 1


def test_a_schema_that_does_not_fit_is_told_at_the_start(
    settings: Settings, empty_database_url: str, tmp_path: Path
) -> None:
    port = free_port()
    with api_process(settings.model_copy(update={"database_url": empty_database_url}), port, tmp_path):
        until(lambda: answers(port), "the service answers")
    assert '"event": "schema_missing"' in (tmp_path / "log").read_text()
