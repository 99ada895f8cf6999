"""The API's processes: started from a checkout or from the first release, on a database of their own."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql
from scripts.releases import OURS, Program

from benchmarks.processes import cpu_seconds, run
from beta9_provisioning.local.ports import HOST
from beta9_provisioning.local.servers import answers, end, spawn, start_on_port

_BOOTSTRAP = "beta9_provisioning.access.first_admin"
# A limit in requests a minute.
_NEVER = "1000000"


@dataclass(frozen=True)
class Side:
    """What is started.

    Attributes:
        name: of its database and its log.
        program: ours, or that of a release.
        processes: how many processes serve.
        asks: whether callers need a key, and are counted for limits (that nobody reaches).
    """

    name: str
    program: Program = OURS
    processes: int = 1
    asks: bool = False


@dataclass(frozen=True)
class Api:
    """An API that serves.

    Attributes:
        url: its address.
        pid: its process, or the parent of its processes.
        database: address of its database.
        directory: where the logs are.
        key: that it asks for, if it asks for one.
    """

    url: str
    pid: int
    database: str
    directory: Path
    key: str = ""

    def cpu_seconds(self) -> float:
        """Return the processor time that its processes have taken since their start."""
        return cpu_seconds(self.pid)


@contextmanager
def serving(side: Side, server: str, redis: str, directory: Path) -> Iterator[Api]:
    """Run one on a new database of a server, whose URL names another one."""
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(side.name)))
    database = server.rsplit("/", 1)[0] + f"/{side.name}"
    settings = {
        **os.environ,
        "PYTHONPATH": str(side.program.source),
        "DATABASE_URL": database,
        "REDIS_URL": redis,
        "API_HOST": HOST,
        "API_PROCESSES": str(side.processes),
        "AUTH_MODE": "required" if side.asks else "none",
        **dict.fromkeys(("RATE_LIMIT_PER_CALLER", "RATE_LIMIT_PER_ADDRESS"), _NEVER if side.asks else "0"),
    }
    python = str(side.program.python)
    run([python, "-m", side.program.migrate], cwd=directory, env=settings)
    key = run([python, "-m", _BOOTSTRAP], cwd=directory, env=settings).output.split()[0] if side.asks else ""
    log = directory / f"{side.name}.log"
    child, port = start_on_port(
        "api",
        lambda port: spawn(
            [python, "-m", "beta9_provisioning.api"],
            {**settings, "API_PORT": str(port)},
            cwd=directory,
            log=log,
            tied=True,
        ),
        lambda _pid, port: answers(f"http://{HOST}:{port}/health/ready"),
        log,
    )
    try:
        yield Api(f"http://{HOST}:{port}", child.pid, database, directory, key)
    finally:
        end(child, signal.SIGTERM)
