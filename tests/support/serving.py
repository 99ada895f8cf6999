"""The API behind a real HTTP server on a free port, in a thread of the test process or alone."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from fastapi import FastAPI
from tests.support.waiting import GUARD_SECONDS

from beta9_provisioning.api.bounds import Limits
from beta9_provisioning.api.server import Server, make_server
from beta9_provisioning.settings import Settings


class Serving:
    """A server that runs."""

    def __init__(self, app: FastAPI, limits: Limits | None = None) -> None:
        self._server: Server = make_server(app, "127.0.0.1", 0, limits)
        self._thread = threading.Thread(target=self._server.run, name="api", daemon=True)
        self._thread.start()
        while not self._server.started:
            assert self._thread.is_alive(), "the server did not start"
            self._thread.join(0.005)

    @property
    def port(self) -> int:
        """The port it listens on."""
        port = self._server.servers[0].sockets[0].getsockname()[1]
        assert isinstance(port, int)
        return port

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def connections(self) -> int:
        """How many connections it holds."""
        return len(self._server.server_state.connections)

    def client(self) -> httpx.Client:
        """A client of the service."""
        return httpx.Client(base_url=self.url, timeout=GUARD_SECONDS)

    def stop(self) -> None:
        """Stop as SIGTERM does, and wait until it has stopped."""
        self._server.should_exit = True
        self._thread.join(GUARD_SECONDS)
        assert not self._thread.is_alive(), "the server did not stop"


@contextmanager
def serving(app: FastAPI, limits: Limits | None = None) -> Iterator[Serving]:
    """Serve an application meanwhile."""
    server = Serving(app, limits)
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def api_process(
    settings: Settings, port: int, tmp_path: Path, prefix: tuple[str, ...] = ()
) -> Iterator[subprocess.Popen[bytes]]:
    environment = {
        **os.environ,
        "DATABASE_URL": settings.database_url,
        "REDIS_URL": settings.redis_url,
        "API_PORT": str(port),
        "RATE_LIMIT_PER_ADDRESS": str(settings.rate_limit_per_address),
        "AUTH_MODE": settings.auth_mode,
        "API_PROCESSES": str(settings.api_processes),
        "LOG_FORMAT": "json",
    }
    command = [*prefix, sys.executable, "-m", "beta9_provisioning.api"]
    with (tmp_path / "log").open("wb") as log:
        child = subprocess.Popen(command, env=environment, stderr=log, stdout=log)
    try:
        yield child
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()


def answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health", timeout=GUARD_SECONDS).is_success
    except httpx.TransportError:
        return False
