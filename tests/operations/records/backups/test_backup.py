"""`beta9-provisioning backup`: a whole file or none, one snapshot, and no secret where others see it."""

import json
import os
import resource
import signal
import stat
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from tests.kit.test_pooler import PROGRAM as PGBOUNCER
from tests.kit.test_pooler import pooler
from tests.operations.records.backups.conftest import PROGRAM, Operator
from tests.support.lives import create
from tests.support.postgres import execute
from tests.support.process_tree import descendants, wait_for_end
from tests.support.terminals import run
from tests.support.waiting import GUARD_SECONDS, until

from beta9_provisioning.kit.database import Sessions
from beta9_provisioning.local.ports import free_port
from beta9_provisioning.operations.records import schema
from beta9_provisioning.settings import Settings


def manifest(path: Path) -> dict[str, object]:
    with path.open("rb") as file:
        document: dict[str, object] = json.loads(file.readline())
    return document


WAITS = (
    "FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' "
    "AND application_name LIKE 'beta9%'"
)


@dataclass(frozen=True)
class HeldUp:
    """A backup that goes on, whose pg_dump waits for a table that somebody has locked."""

    child: subprocess.Popen[bytes]
    dump: int
    release: Callable[[], None]

    def fails(self) -> str:
        """Wait until it has failed, and return what it said."""
        words = self.child.communicate(timeout=GUARD_SECONDS)[1].decode()
        assert self.child.returncode == 1, words
        assert "Traceback" not in words
        return words


@contextmanager
def held_up(operator: Operator, *arguments: str) -> Iterator[HeldUp]:
    """Hold up a backup meanwhile; it has its snapshot already."""
    execute(operator.url, "CREATE TABLE held_up ()")
    try:
        with psycopg.connect(operator.url) as other:
            other.execute("LOCK TABLE held_up IN ACCESS EXCLUSIVE MODE")
            child = subprocess.Popen(
                [*PROGRAM, "backup", *arguments],
                cwd=operator.home,
                env=operator.environment(),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
            try:
                until(lambda: execute(operator.url, f"SELECT count(*) {WAITS}") == 1, "pg_dump waits")
                (dump,) = descendants(child.pid)
                yield HeldUp(child, dump, other.rollback)
            finally:
                child.kill()
                child.communicate()
    finally:
        execute(operator.url, "DROP TABLE held_up")


def test_a_backup_tells_of_itself_and_only_its_owner_reads_it(operator: Operator) -> None:
    told = operator.works("backup", "one.backup")
    path = operator.home / "one.backup"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert operator.files() == ["one.backup"]
    found = manifest(path)
    assert found["revision"] == schema.head()
    assert found["rows"] == {
        "environments": 3,
        "operations": 3,
        "attempts": 0,
        "events": 6,
        "idempotency_keys": 3,
        "organizations": 1,
        "members": 0,
        "api_keys": 0,
        "audit_records": 3,
        "audit_signatures": 0,
        "statistics": execute(operator.url, "SELECT count(*) FROM statistics"),
    }
    assert "3 environments, 3 operations, 6 events" in told
    assert "external ID" in told
    assert "not encrypted" in told


def test_without_a_name_it_is_named_after_the_time(operator: Operator) -> None:
    operator.works("backup")
    (name,) = operator.files()
    assert name.startswith("provisioning-20")
    assert name.endswith("Z.backup")


def test_it_opens_without_this_program(operator: Operator) -> None:
    operator.backs_up("one.backup")
    program = "pg_restore" if operator.pg_bin is None else str(operator.pg_bin / "pg_restore")
    done = subprocess.run(
        f"tail -n +2 one.backup | {program} --list",
        shell=True,
        cwd=operator.home,
        capture_output=True,
        text=True,
    )
    assert "TABLE DATA public environments" in done.stdout
    assert done.stderr == ""


def test_standard_output_gets_the_same(operator: Operator) -> None:
    done = operator.types("backup", "-")
    assert done.returncode == 0
    (operator.home / "piped").write_bytes(done.stdout)
    assert manifest(operator.home / "piped")["revision"] == schema.head()
    assert b"to standard output" in done.stderr


def test_a_terminal_gets_none(operator: Operator) -> None:
    found = run(["backup", "-"], operator.environment(), columns=200)
    assert found.code == 1
    assert "leave -t out" in found.screen
    assert "beta9_provisioning_backup" not in found.screen


def test_a_file_that_is_there_stays(operator: Operator) -> None:
    path = operator.home / "one.backup"
    path.write_text("mine")
    assert "--force" in operator.refused("backup", "one.backup")
    assert path.read_text() == "mine"
    operator.works("backup", "one.backup", "--force")
    assert manifest(path)["revision"] == schema.head()


def test_two_at_once_make_one_file(operator: Operator) -> None:
    done: list[subprocess.CompletedProcess[bytes]] = []
    both = [threading.Thread(target=lambda: done.append(operator.types("backup", "one"))) for _ in range(2)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert sorted(one.returncode for one in done) == [0, 1]
    assert operator.files() == ["one"]


@pytest.mark.parametrize("name", ["absent/one", "file/one", ".", "folder", "/dev/full", "a" * 256])
@pytest.mark.parametrize("force", [(), ("--force",)], ids=["", "force"])
def test_a_place_that_takes_no_file_is_named_before_the_dump(
    operator: Operator, elsewhere: Operator, name: str, force: tuple[str, ...]
) -> None:
    (operator.home / "file").touch()
    (operator.home / "folder").mkdir()
    # A database without a schema is refused later.
    words = elsewhere.refused("backup", *force, name)
    assert operator.files() == ["file", "folder"]
    assert name in words
    assert "partial" not in words
    assert stat.S_ISCHR(Path("/dev/full").stat().st_mode)


def test_a_full_disk_leaves_no_half_file(operator: Operator) -> None:
    done = subprocess.run(
        [*PROGRAM, "backup", "one"],
        cwd=operator.home,
        env=operator.environment(),
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)),
    )
    assert done.returncode == 1
    assert done.stderr == "error: File too large.\n"
    assert operator.files() == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_one_that_is_stopped_leaves_nothing(operator: Operator, number: signal.Signals) -> None:
    with held_up(operator, "one") as held:
        held.child.send_signal(number)
        assert "stopped before its end" in held.fails()
        assert operator.files() == []
        wait_for_end(held.dump)


def test_one_that_is_killed_leaves_no_file_of_that_name_and_no_pg_dump(operator: Operator) -> None:
    with held_up(operator, "one") as held:
        held.child.kill()
        held.child.wait()
        wait_for_end(held.dump)
        assert "one" not in operator.files()


def test_a_pg_dump_that_is_killed_leaves_nothing(operator: Operator) -> None:
    with held_up(operator, "one") as held:
        os.kill(held.dump, signal.SIGKILL)
        assert "ended by SIGKILL" in held.fails()
        assert operator.files() == []


def test_standard_output_of_a_failed_one_has_no_checksum(operator: Operator) -> None:
    with held_up(operator, "-") as held:
        os.kill(held.dump, signal.SIGKILL)
        out, _ = held.child.communicate(timeout=GUARD_SECONDS)
        assert held.child.returncode == 1
        assert b"\nsha256:" not in out


def test_a_server_that_goes_away_meanwhile_is_told(operator: Operator) -> None:
    with held_up(operator, "one") as held:
        execute(operator.url, f"SELECT pg_terminate_backend(pid) {WAITS}")
        words = held.fails()
        assert "terminating connection" in words
        assert operator.files() == []


def test_no_password_is_among_the_arguments(operator: Operator) -> None:
    password = urlsplit(operator.url).password or ""
    with held_up(operator, "one") as held:
        for pid in (held.child.pid, held.dump):
            assert password.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()
        variables = Path(f"/proc/{held.dump}/environ").read_bytes().split(b"\0")
        assert f"PGPASSWORD={password}".encode() in variables
        assert not any(one.startswith(b"DATABASE_URL=") for one in variables)


def test_a_wrong_password_is_told_without_it(operator: Operator) -> None:
    parts = urlsplit(operator.url)
    url = parts._replace(netloc=f"postgres:not-the-one@{parts.hostname}:{parts.port}").geturl()
    words = operator.refused("backup", "one", DATABASE_URL=url)
    assert "password authentication failed" in words
    assert "not-the-one" not in words


def test_of_several_hosts_the_one_that_answers_is_dumped_and_parameters_are_kept(operator: Operator) -> None:
    parts = urlsplit(operator.url)
    login, _, place = parts.netloc.rpartition("@")
    url = parts._replace(
        netloc=f"{login}@127.0.0.1:{free_port()},{place}",
        query="keepalives_idle=7&options=-c%20statement_timeout%3D77s&application_name=with%20a%20space%27",
    ).geturl()
    operator.works("backup", "one", DATABASE_URL=url)
    assert manifest(operator.home / "one")["rows"]


def test_a_key_with_a_password_is_not_shown_to_others(operator: Operator) -> None:
    words = operator.refused("backup", "one", DATABASE_URL=f"{operator.url}?sslpassword=very-secret")
    assert "sslpassword" in words
    assert "very-secret" not in words


def test_pg_dump_of_another_major_is_named_with_the_one_that_is_needed(
    operator: Operator, tmp_path: Path
) -> None:
    fake = tmp_path / "pg_dump"
    fake.write_text("#!/bin/sh\necho 'pg_dump (PostgreSQL) 9.6.24 (Debian)'\n")
    fake.chmod(0o755)
    words = operator.refused("backup", "one", PG_BIN=str(tmp_path))
    major = int(str(execute(operator.url, "SHOW server_version_num"))) // 10000
    assert words == (
        f"pg_dump 9 ({fake}) does not fit PostgreSQL {major}, which is what the server is: install "
        f"postgresql-client-{major}, or let PG_BIN name the directory of that version."
    )
    fake.unlink()
    assert f"There is no pg_dump in {tmp_path}" in operator.refused("backup", "one", PG_BIN=str(tmp_path))


def test_it_is_of_one_moment(
    operator: Operator, elsewhere: Operator, sessions: Sessions, settings: Settings
) -> None:
    with held_up(operator, "one") as held:
        create(sessions, settings, name="later")
        held.release()
        assert held.child.wait(GUARD_SECONDS) == 0
    elsewhere.restores(elsewhere.home / "one")
    assert execute(elsewhere.url, "SELECT string_agg(name, ' ') FROM environments") == "first second third"


def test_a_database_without_a_schema_is_refused(elsewhere: Operator) -> None:
    assert "nothing to back up" in elsewhere.refused("backup", "one")


@pytest.mark.skipif(PGBOUNCER is None, reason="pgbouncer is not installed")
def test_through_pgbouncer_in_session_mode_only(operator: Operator) -> None:
    with pooler(operator.url, "session") as url:
        operator.works("backup", "one", DATABASE_URL=url)
    with pooler(operator.url, "transaction") as url:
        assert "transaction mode" in operator.refused("backup", "two", DATABASE_URL=url)


@pytest.mark.parametrize(
    "value", ["age1foo", "AGE-SECRET-KEY-1V8NLC78T3ACS2C953WJA43UUT6564K555CMTNYHKLT29W424LYSSACZUJC"]
)
def test_what_is_no_public_key_is_refused_and_not_told(operator: Operator, value: str) -> None:
    words = operator.refused("backup", "one", BACKUP_RECIPIENTS=value)
    assert "BACKUP_RECIPIENTS" in words
    assert value not in words
    assert operator.files() == []
