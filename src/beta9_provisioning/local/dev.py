"""Only PostgreSQL and Valkey, at the addresses that are the settings' defaults."""

import shutil
import signal
from collections.abc import Callable
from pathlib import Path

from beta9_provisioning.local.checkout import project_root
from beta9_provisioning.local.ports import require_free
from beta9_provisioning.local.postgres import EmbeddedPostgres, data_directory
from beta9_provisioning.local.state import Member, State, exclusive, forget
from beta9_provisioning.local.valkey import EmbeddedValkey

_POSTGRES_PORT = 5432
_REDIS_PORT = 6379
_GRACE = 20.0
_PASSWORD = "postgres"  # noqa: S105  the deployment guide's default, on 127.0.0.1


def up(report: Callable[[str], None], port_offset: int) -> dict[str, str]:
    """Start both unless they are running; return their addresses by the name of the setting.

    Raises:
        PortTaken: something else listens on a port.
        ServiceError: one did not start.
        StackBusy: another command is at it.
    """
    directory = _directory()
    with exclusive(directory):
        state = State.load(directory)
        if state is not None and state.is_running():
            report("PostgreSQL and Valkey are running already.")
            return state.environment
        _stop(state, report, directory)
        remedy = "Stop it, use it as it is, or choose other ports with `--port-offset 100`."
        require_free(_POSTGRES_PORT + port_offset, "PostgreSQL", remedy)
        require_free(_REDIS_PORT + port_offset, "Valkey", remedy)
        home = data_directory(directory)
        postgres = EmbeddedPostgres(home, _POSTGRES_PORT + port_offset, password=_PASSWORD)
        valkey = EmbeddedValkey(directory / "valkey", _REDIS_PORT + port_offset, password="")
        try:
            postgres.start()
            valkey.start()
        except BaseException:
            postgres.stop()
            valkey.stop()
            raise
        state = State(
            complete=True,
            members=[
                _member("postgres", postgres, home / "postgres.log", signal.SIGINT),
                _member("valkey", valkey, directory / "valkey" / "valkey.log", signal.SIGTERM),
            ],
            environment={"DATABASE_URL": postgres.url, "REDIS_URL": valkey.url},
        )
        state.save(directory)
        return state.environment


def down(report: Callable[[str], None], *, purge: bool) -> bool:
    """Stop both; return whether they were running. With `purge`, delete the database, too.

    Raises:
        StackBusy: another command is at it.
    """
    directory = _directory()
    with exclusive(directory):
        state = State.load(directory)
        _stop(state, report, directory)
        if purge and data_directory(directory).exists():
            shutil.rmtree(data_directory(directory))
        return state is not None


def _stop(state: State | None, report: Callable[[str], None], directory: Path) -> None:
    for member in reversed(state.members if state else []):
        report(f"Stopping {member.name}")
        member.stop()
    forget(directory)


def _member(name: str, server: EmbeddedPostgres | EmbeddedValkey, log: Path, stop: signal.Signals) -> Member:
    process = server.process
    return Member(name, process.pid, process.started, server.port, str(log), stop.name, _GRACE)


def _directory() -> Path:
    return project_root() / ".local" / "dev"
