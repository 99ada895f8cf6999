"""The embedded servers, genuine ones."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import LiteralString

import psycopg
import pytest
import redis
from tests.support.waiting import until

from beta9_provisioning.local import postgres as postgres_module
from beta9_provisioning.local.ports import HOST, is_free
from beta9_provisioning.local.postgres import THROW_AWAY, EmbeddedPostgres, data_directory
from beta9_provisioning.local.processes import ProcessRef
from beta9_provisioning.local.servers import ServiceError, package_directory
from beta9_provisioning.local.services import embedded_postgres, embedded_valkey
from beta9_provisioning.local.valkey import EmbeddedValkey

AS_ROOT = os.geteuid() == 0


@pytest.fixture
def home() -> Iterator[Path]:
    """A directory that `nobody` can reach, unlike pytest's own."""
    directory = Path(tempfile.mkdtemp(prefix="beta9-test-"))
    directory.chmod(0o755)
    yield directory / "postgres"
    shutil.rmtree(directory)


def _one(url: str, query: LiteralString) -> object:
    with psycopg.connect(url, connect_timeout=60) as connection:
        row = connection.execute(query).fetchone()
        return row[0] if row else None


def test_postgres_comes_and_goes() -> None:
    with embedded_postgres() as url:
        assert _one(url, "SELECT current_setting('server_version_num')::int / 10000") == 18
        assert _one(url, "SELECT current_database()") == "provisioning"
        assert _one(url, "SELECT current_setting('server_encoding')") == "UTF8"
        directory = Path(str(_one(url, "SELECT current_setting('data_directory')")))
        assert directory.parts[1] == "tmp" or not AS_ROOT
    assert not directory.parent.exists()
    with pytest.raises(psycopg.OperationalError):
        _one(url, "SELECT 1")


def test_postgres_wants_the_password() -> None:
    with embedded_postgres() as url:
        wrong = url.replace(url.split(":")[2].split("@")[0], "wrong")
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            _one(wrong, "SELECT 1")


def test_two_postgres_at_once() -> None:
    with embedded_postgres() as first, embedded_postgres() as second:
        with psycopg.connect(first, autocommit=True) as connection:
            connection.execute("CREATE TABLE only_here ()")
        assert _one(second, "SELECT to_regclass('only_here')") is None


def test_postgres_keeps_data_and_password(home: Path) -> None:
    server = EmbeddedPostgres(home, settings=THROW_AWAY, tied=True)
    try:
        first = server.start().url
        with psycopg.connect(first, autocommit=True) as connection:
            connection.execute("CREATE TABLE kept ()")
        server.stop()
        second = server.start().url
        assert second.split("@")[0] == first.split("@")[0]
        assert _one(second, "SELECT to_regclass('kept')::text") == "kept"
    finally:
        server.stop()


def test_postgres_survives_its_own_kill(home: Path) -> None:
    """A server that was killed leaves its postmaster.pid behind, which must not be taken for readiness."""
    server = EmbeddedPostgres(home, settings=THROW_AWAY, tied=True)
    try:
        server.start()
        killed = server.process
        os.kill(killed.pid, signal.SIGKILL)
        until(lambda: not killed.is_running(), "it has ended")
        server.stop()
        assert (home / "data" / "postmaster.pid").exists()
        assert _one(server.start().url, "SELECT 1") == 1
    finally:
        server.stop()


def test_a_taken_port_is_an_error_with_the_log(home: Path) -> None:
    with socket.create_server((HOST, 0)) as taken:
        server = EmbeddedPostgres(home, taken.getsockname()[1], settings=THROW_AWAY, tied=True)
        with pytest.raises(ServiceError, match=r"(?s)PostgreSQL did not start.*could not bind"):
            server.start()


@pytest.mark.skipif(not AS_ROOT, reason="only root must become somebody else")
def test_as_root_postgres_runs_as_nobody(home: Path) -> None:
    server = EmbeddedPostgres(home, settings=THROW_AWAY, tied=True)
    try:
        server.start()
        status = Path(f"/proc/{server.process.pid}/status").read_text()
        (uids,) = (line.split()[1:] for line in status.splitlines() if line.startswith("Uid:"))
        assert "0" not in uids
    finally:
        server.stop()


@pytest.mark.skipif(not AS_ROOT, reason="only as root somebody else runs the programs")
def test_programs_that_nobody_can_reach_are_copied(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_module, "_reachable_by_all", lambda path: False)
    server = EmbeddedPostgres(home, settings=THROW_AWAY, tied=True)
    try:
        assert _one(server.start().url, "SELECT 1") == 1
        program = Path(f"/proc/{server.process.pid}/exe").readlink()
        assert program.is_relative_to(home)
    finally:
        server.stop()


def test_a_directory_of_somebody_else_is_refused(home: Path, tmp_path: Path) -> None:
    home.symlink_to(tmp_path)
    with pytest.raises(ServiceError, match="belongs to another user"):
        EmbeddedPostgres(home).start()
    assert list(tmp_path.iterdir()) == []


def test_the_environment_of_the_caller_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"PGDATA": "/nowhere", "PGPORT": "1", "LC_ALL": "xx_XX"}.items():
        monkeypatch.setenv(name, value)
    with embedded_postgres() as url:
        assert _one(url, "SELECT 1") == 1


def test_servers_of_a_test_end_with_it(tmp_path: Path) -> None:
    code = (
        "import pathlib, sys, time\n"
        "from beta9_provisioning.local.services import EmbeddedValkey\n"
        "server = EmbeddedValkey(pathlib.Path(sys.argv[1]), tied=True).start()\n"
        "print(server.process.pid, flush=True); time.sleep(600)"
    )
    owner = subprocess.Popen([sys.executable, "-c", code, tmp_path], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    server = ProcessRef.of(int(owner.stdout.readline()))
    owner.kill()
    owner.wait()
    owner.stdout.close()
    until(lambda: not server.is_running(), "the server has ended")


def test_valkey_comes_and_goes() -> None:
    with embedded_valkey() as url:
        with redis.Redis.from_url(url) as client:
            client.rpush("list", "x")
            assert client.llen("list") == 1
        port = int(url.rsplit(":", 1)[1].split("/")[0])
    assert is_free(port)


def test_valkey_wants_the_password_and_hides_it(tmp_path: Path) -> None:
    server = EmbeddedValkey(tmp_path, password="top-secret", tied=True).start()
    try:
        with pytest.raises(redis.AuthenticationError):
            redis.Redis(host=HOST, port=server.port).ping()
        assert "top-secret" not in Path(f"/proc/{server.process.pid}/cmdline").read_text()
        assert redis.Redis.from_url(server.url).ping()
    finally:
        server.stop()


def test_valkey_without_a_password(tmp_path: Path) -> None:
    server = EmbeddedValkey(tmp_path, password="", tied=True).start()
    try:
        assert server.url == f"redis://{HOST}:{server.port}/0"
        assert redis.Redis.from_url(server.url).ping()
    finally:
        server.stop()


def test_valkey_on_a_taken_port(tmp_path: Path) -> None:
    with socket.create_server((HOST, 0)) as taken:
        server = EmbeddedValkey(tmp_path, taken.getsockname()[1], tied=True)
        with pytest.raises(ServiceError, match="Valkey did not start"):
            server.start()


def test_what_is_not_running_has_no_process(tmp_path: Path) -> None:
    with pytest.raises(ProcessLookupError):
        _ = EmbeddedValkey(tmp_path).process


def test_a_missing_package_says_what_to_do() -> None:
    with pytest.raises(ServiceError, match="make setup"):
        package_directory("no_such_package_anywhere")


def test_data_directories_do_not_collide(tmp_path: Path) -> None:
    first, second = data_directory(tmp_path / "a"), data_directory(tmp_path / "b")
    assert first != second
    assert data_directory(tmp_path / "a") == first
