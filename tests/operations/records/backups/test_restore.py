"""`beta9-provisioning restore`: all of a backup that is whole, into an empty database, or nothing."""

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psycopg
import pyrage
import pytest
from psycopg.conninfo import conninfo_to_dict
from tests.operations.records.backups.conftest import PROGRAM, Operator, contents
from tests.operations.records.test_migrate import old_database
from tests.support import callers
from tests.support.lives import create
from tests.support.postgres import execute
from tests.support.waiting import until

from beta9_provisioning.access import credentials
from beta9_provisioning.audit.record import Author, write
from beta9_provisioning.kit.database import Sessions, connect, transaction
from beta9_provisioning.operations.records import leases, schema
from beta9_provisioning.operations.records.migrate import LOCK_KEY, init_db
from beta9_provisioning.schemas.callers import Role
from beta9_provisioning.settings import Settings

WAITING = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
)
TABLES = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"


@pytest.fixture
def backup(operator: Operator) -> Path:
    """A plain one."""
    return operator.backs_up("one")


@pytest.fixture
def key(operator: Operator, identity: pyrage.x25519.Identity) -> Path:
    """The secret key's file, as age-keygen writes it."""
    path = operator.home.parent / "key.txt"
    path.write_text(f"# created: 2026-11-27T00:00:00Z\n# public key: {identity.to_public()}\n{identity}\n")
    return path


@pytest.fixture
def encrypted(operator: Operator, identity: pyrage.x25519.Identity) -> Path:
    """One that is encrypted, for two keys."""
    others = pyrage.x25519.Identity.generate().to_public()
    return operator.backs_up("two", backup_recipients=(str(others), str(identity.to_public())))


def write_record(sessions: Sessions) -> None:
    """Let the audit log of the first organization have one record more."""
    with transaction(sessions) as session:
        write(session, Author(), "key.create", organization_id="default", object_type="key")


add: dict[str, Callable[[Sessions], object]] = {
    "organizations": lambda sessions: callers.organization(sessions, "acme"),
    "members": lambda sessions: callers.member(sessions, Role.VIEWER),
    "audit_records": write_record,
}


def triggers(url: str) -> str:
    """Return all triggers of a database, and whether they are on."""
    return str(
        execute(
            url,
            "SELECT string_agg(concat_ws(' ', tgrelid::regclass, tgname, tgenabled), E'\\n' "
            "ORDER BY tgrelid::regclass::text, tgname) FROM pg_trigger WHERE NOT tgisinternal",
        )
    )


def is_untouched(operator: Operator) -> bool:
    return execute(operator.url, TABLES) == 0


def test_all_comes_back(operator: Operator, elsewhere: Operator, backup: Path) -> None:
    told = elsewhere.works("restore", str(backup))
    assert "3 environments, 3 operations, 6 events" in told
    assert "those of the lost database have ended" in told
    assert contents(elsewhere.url) == contents(operator.url)
    assert len(contents(elsewhere.url)["environments"]) == 3


def test_the_restored_database_works_as_before(
    elsewhere: Operator, backup: Path, sessions: Sessions, settings: Settings
) -> None:
    """Constraints, triggers and idempotency keys are there; streams go on with the next number."""
    elsewhere.restores(backup)
    engine = connect(elsewhere.url)
    try:
        restored = Sessions(engine, expire_on_commit=False)
        again = create(restored, settings, key="key-of-first", name="first")
        assert (
            again.environment_id
            == create(sessions, settings, key="key-of-first", name="first").environment_id
        )
        before = execute(elsewhere.url, "SELECT sum(count) FROM statistics WHERE figure = 'entered'")
        created = create(restored, settings, name="fourth")
        after = execute(elsewhere.url, "SELECT sum(count) FROM statistics WHERE figure = 'entered'")
        assert int(str(after)) == int(str(before)) + 1
        assert created.name == "fourth"
    finally:
        engine.dispose()


def test_a_schema_without_environments_gives_way(
    operator: Operator, elsewhere: Operator, backup: Path
) -> None:
    init_db(elsewhere.url)
    elsewhere.restores(backup)
    assert contents(elsewhere.url) == contents(operator.url)


def test_nothing_is_restored_over_environments(operator: Operator, backup: Path) -> None:
    before = contents(operator.url)
    words = operator.refused("restore", str(backup))
    assert "rows in audit_records, environments, events" in words
    assert contents(operator.url) == before


@pytest.mark.parametrize("held", ["organizations", "members", "audit_records"])
def test_nor_over_what_a_service_without_environments_knows(
    elsewhere: Operator, backup: Path, held: str
) -> None:
    init_db(elsewhere.url)
    engine = connect(elsewhere.url)
    try:
        add[held](Sessions(engine, expire_on_commit=False))
    finally:
        engine.dispose()
    before = contents(elsewhere.url)

    assert f"holds rows in {held}, and nothing" in elsewhere.may_not_restore(backup)
    assert contents(elsewhere.url) == before


def test_callers_their_keys_and_the_audit_log_come_back(
    operator: Operator, elsewhere: Operator, sessions: Sessions
) -> None:
    text = callers.caller(sessions, Role.ADMIN, of=callers.organization(sessions, "acme"))
    write_record(sessions)
    elsewhere.restores(operator.backs_up("whole"))

    assert contents(elsewhere.url) == contents(operator.url)
    assert triggers(elsewhere.url) == triggers(operator.url) != ""
    engine = connect(elsewhere.url)
    try:
        restored = Sessions(engine, expire_on_commit=False)
        with transaction(restored) as session:
            assert credentials.of_key(session, text) is not None
        write_record(restored)
    finally:
        engine.dispose()
    assert "default: 5 records hold" in elsewhere.works("audit", "verify")
    with pytest.raises(psycopg.Error, match="audit"):
        execute(elsewhere.url, "DELETE FROM audit_records")


def test_tables_of_somebody_else_stay(elsewhere: Operator, backup: Path) -> None:
    execute(elsewhere.url, "CREATE TABLE environments (theirs text)")
    assert "did not make" in elsewhere.may_not_restore(backup)
    execute(elsewhere.url, "ALTER TABLE environments RENAME TO something_else")
    elsewhere.restores(backup)
    assert execute(elsewhere.url, "SELECT count(*) FROM something_else") == 0


def test_what_is_in_the_way_is_told_and_nothing_is_left(elsewhere: Operator, backup: Path) -> None:
    execute(elsewhere.url, "CREATE SEQUENCE statistics_shards")
    words = elsewhere.may_not_restore(backup)
    assert 'relation "statistics_shards" already exists' in words
    assert is_untouched(elsewhere)


def test_workers_must_be_stopped_first(elsewhere: Operator, backup: Path) -> None:
    init_db(elsewhere.url)
    engine = connect(elsewhere.url)
    try:
        with engine.connect() as worker:
            assert leases.hold_liveness(worker, 7)
            worker.commit()
            assert "1 worker(s) work on this database" in elsewhere.may_not_restore(backup)
    finally:
        engine.dispose()
    elsewhere.restores(backup)


def test_not_beside_a_migration_or_another_restore(elsewhere: Operator, backup: Path) -> None:
    with psycopg.connect(elsewhere.url) as other:
        other.execute("SELECT pg_advisory_lock(%s)", [LOCK_KEY])
        assert "wait until it has ended" in elsewhere.may_not_restore(backup)
    assert is_untouched(elsewhere)


def test_a_killed_restore_leaves_nothing(elsewhere: Operator, backup: Path) -> None:
    with psycopg.connect(elsewhere.url) as other:
        # Triggers are made when all rows are there already.
        other.execute("LOCK TABLE pg_trigger IN EXCLUSIVE MODE")
        child = subprocess.Popen(
            [*PROGRAM, "restore", str(backup)], env=elsewhere.environment(), stderr=subprocess.DEVNULL
        )
        until(lambda: execute(elsewhere.url, WAITING) == 1, "pg_restore waits")
        child.kill()
        child.wait()
        until(lambda: execute(elsewhere.url, WAITING) == 0, "pg_restore has ended, too")
    assert is_untouched(elsewhere)
    elsewhere.restores(backup)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_restore_leaves_nothing(elsewhere: Operator, backup: Path, number: signal.Signals) -> None:
    with psycopg.connect(elsewhere.url) as other:
        other.execute("LOCK TABLE pg_trigger IN EXCLUSIVE MODE")
        child = subprocess.Popen(
            [*PROGRAM, "restore", str(backup)], env=elsewhere.environment(), stderr=subprocess.PIPE
        )
        until(lambda: execute(elsewhere.url, WAITING) == 1, "pg_restore waits")
        os.kill(child.pid, number)
        assert child.communicate()[1] == b"error: The restore was stopped before its end.\n"
    assert is_untouched(elsewhere)


Damage = Callable[[bytes], bytes]
DAMAGES: dict[str, Damage] = {
    "nothing": lambda _: b"",
    "one byte less": lambda whole: whole[:-1],
    "the first half": lambda whole: whole[: len(whole) // 2],
    "without its last line": lambda whole: whole[:-73],
    "another byte": lambda whole: whole[:900] + bytes([whole[900] ^ 1]) + whole[901:],
    "more at its end": lambda whole: whole + b"\n",
    "no line": lambda whole: b"x" * 200_000,
    "lines of something else": lambda whole: b"{}\nsomething else\n",
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_file_that_is_not_whole_changes_nothing(elsewhere: Operator, backup: Path, damage: Damage) -> None:
    backup.write_bytes(damage(backup.read_bytes()))
    words = elsewhere.may_not_restore(backup)
    assert "not whole" in words or "no backup of this program" in words
    assert is_untouched(elsewhere)


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_nor_does_one_that_is_encrypted(
    elsewhere: Operator, encrypted: Path, key: Path, damage: Damage
) -> None:
    encrypted.write_bytes(damage(encrypted.read_bytes()))
    words = elsewhere.may_not_restore(encrypted, backup_identity_file=key)
    assert "was cut off or changed" in words or "no backup of this program" in words
    assert is_untouched(elsewhere)


def test_a_dump_by_pg_dump_alone_is_told_apart(operator: Operator, elsewhere: Operator) -> None:
    program = "pg_dump" if operator.pg_bin is None else str(operator.pg_bin / "pg_dump")
    path = operator.home / "theirs"
    subprocess.run([program, "-Fc", "-f", str(path), operator.url], check=True)
    assert "no backup of this program" in elsewhere.may_not_restore(path)


def test_a_file_that_is_not_there_is_named(elsewhere: Operator) -> None:
    assert "No such file or directory (absent)" in elsewhere.refused("restore", "absent")
    assert "Is a directory" in elsewhere.refused("restore", ".")


def test_an_encrypted_one_comes_back_with_its_key(
    operator: Operator, elsewhere: Operator, encrypted: Path, key: Path
) -> None:
    text = encrypted.read_bytes()
    assert text.startswith(b"age-encryption.org/v1\n")
    assert b"beta9_provisioning_backup" not in text
    elsewhere.works("restore", str(encrypted), BACKUP_IDENTITY_FILE=str(key))
    assert contents(elsewhere.url) == contents(operator.url)


def test_without_its_key_it_changes_nothing(
    elsewhere: Operator, encrypted: Path, key: Path, tmp_path: Path
) -> None:
    assert "BACKUP_IDENTITY_FILE" in elsewhere.may_not_restore(encrypted)
    wrong = tmp_path / "wrong"
    wrong.write_text(str(pyrage.x25519.Identity.generate()))
    for content, why in (
        (None, "No such file"),
        (b"", "holds no secret key"),
        (b"# only words\n", "holds no secret key"),
        (b"\xff\xfe nonsense", "no secret key of age"),
        (key.read_bytes() * 1000, "holds no secret key"),
        (wrong.read_bytes(), "not the one that the backup was encrypted for"),
    ):
        file = tmp_path / "identity"
        file.unlink(missing_ok=True)
        if content is not None:
            file.write_bytes(content)
        assert why in elsewhere.may_not_restore(encrypted, backup_identity_file=file)
    assert is_untouched(elsewhere)


def change(backup: Path, **fields: object) -> None:
    """Give a backup another manifest, and the checksum that suits it."""
    from hashlib import sha256

    line, body = backup.read_bytes()[:-73].split(b"\n", 1)
    whole = json.dumps({**json.loads(line), **fields}).encode() + b"\n" + body
    backup.write_bytes(whole + b"\nsha256:" + sha256(whole).hexdigest().encode() + b"\n")


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"revision": "9999", "oldest_program": "9998", "program": "7.0.0"}, "of release 7.0.0"),
        ({"client_major": 99}, "restore it to a server of 99 or newer"),
        ({"namespace": "theirs"}, "are in the schema theirs"),
        ({"beta9_provisioning_backup": 2}, "is of form 2"),
    ],
)
def test_one_that_does_not_suit_changes_nothing(
    elsewhere: Operator, backup: Path, fields: dict[str, object], why: str
) -> None:
    change(backup, **fields)
    assert why in elsewhere.may_not_restore(backup)
    assert is_untouched(elsewhere)


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"client_major": "18"}, "client_major is wrong"),
        ({"client_major": None}, "client_major is wrong"),
        ({"revision": 1}, "revision is wrong"),
        ({"oldest_program": ["0001"]}, "oldest_program is wrong"),
        ({"rows": []}, "rows is wrong"),
        ({"rows": {"environments": "3"}}, "rows.environments is wrong"),
        ({"server": {}}, "server is wrong"),
        ({"created_at": 0}, "created_at is wrong"),
    ],
)
def test_a_first_line_of_other_types_changes_nothing(
    elsewhere: Operator, backup: Path, fields: dict[str, object], where: str
) -> None:
    change(backup, **fields)
    assert f"first line was changed: {where}" in elsewhere.may_not_restore(backup)
    assert is_untouched(elsewhere)


def test_a_first_line_that_lacks_something_changes_nothing(elsewhere: Operator, backup: Path) -> None:
    line, rest = backup.read_bytes().split(b"\n", 1)
    document = json.loads(line)
    del document["rows"]
    backup.write_bytes(json.dumps(document).encode() + b"\n" + rest)
    assert "rows is wrong (Field required)" in elsewhere.may_not_restore(backup)
    assert is_untouched(elsewhere)


def test_rows_that_are_missing_afterwards_are_told(elsewhere: Operator, backup: Path) -> None:
    change(backup, rows={"environments": 4})
    assert "Do not use it" in elsewhere.may_not_restore(backup)


def genuine(operator: Operator) -> str:
    """Return the path of PostgreSQL's own pg_restore."""
    found = shutil.which("pg_restore", path=operator.pg_bin and str(operator.pg_bin))
    assert found is not None
    return found


def with_own_pg_restore(operator: Operator, lines: str) -> Operator:
    """Return the operator with a pg_restore that does something of its own first."""
    folder = operator.home.parent / "programs"
    folder.mkdir()
    (folder / "pg_restore").write_text(f'#!/bin/sh\n{lines}\nexec {genuine(operator)} "$@"\n')
    (folder / "pg_restore").chmod(0o755)
    return replace(operator, pg_bin=folder)


def overwrite(place: int) -> Damage:
    """Return what changes a byte, counted from the end."""
    return lambda whole: whole[:-place] + bytes([whole[-place] ^ 1]) + whole[len(whole) - place + 1 :]


@pytest.mark.parametrize(
    "damage",
    [overwrite(2), overwrite(76), lambda whole: whole[:-1], lambda whole: whole[:-500]],
    ids=["checksum", "end of the dump", "a byte less", "much less"],
)
def test_a_file_that_changes_between_the_readings_leaves_nothing(
    elsewhere: Operator, backup: Path, damage: Damage
) -> None:
    """pg_restore is asked for its version when the file has been read once."""
    changed = backup.with_name("changed")
    changed.write_bytes(damage(backup.read_bytes()))
    changing = with_own_pg_restore(elsewhere, f'test "$1" != --version || cat {changed} >{backup}')
    words = changing.may_not_restore(backup)
    assert backup.read_bytes() == changed.read_bytes()
    assert "not whole" in words
    assert is_untouched(elsewhere)


def test_a_file_that_becomes_another_backup_between_the_readings_leaves_nothing(
    operator: Operator, elsewhere: Operator, backup: Path
) -> None:
    another = operator.backs_up("another")
    changing = with_own_pg_restore(elsewhere, f'test "$1" != --version || cat {another} >{backup}')
    assert "became another one" in changing.may_not_restore(backup)
    assert is_untouched(elsewhere)


def test_a_pg_restore_that_does_nothing_is_not_believed(elsewhere: Operator, backup: Path) -> None:
    idle = with_own_pg_restore(elsewhere, 'test "$1" = --version || { cat >/dev/null; exit 0; }')
    assert "Do not use it" in idle.may_not_restore(backup)


@pytest.mark.parametrize(("query", "bound"), [("", None), ("?tcp_user_timeout=77000", "77000")])
def test_a_server_that_takes_nothing_for_a_while_is_waited_for_unless_the_url_says_how_long(
    elsewhere: Operator, backup: Path, query: str, bound: str | None
) -> None:
    """Linux ends a connection whose other side takes nothing for that long, however alive it is."""
    told = elsewhere.home / "told"
    telling = with_own_pg_restore(elsewhere, f"printf '%s\\n' \"$@\" >{told}")
    replace(telling, url=f"{elsewhere.url}{query}").restores(backup)
    (where,) = [one for one in told.read_text().splitlines() if one.startswith("--dbname=")]
    given = conninfo_to_dict(where.removeprefix("--dbname="))
    assert given.get("tcp_user_timeout") == bound
    assert given["keepalives_idle"] == "5"


def test_one_of_an_older_release_is_brought_up_to_date(
    operator: Operator, elsewhere: Operator, empty_database_url: str, tmp_path: Path
) -> None:
    old_database(empty_database_url, tmp_path)
    old = elsewhere.backs_up("old")
    execute(empty_database_url, "DROP SCHEMA public CASCADE")
    execute(empty_database_url, "CREATE SCHEMA public")
    elsewhere.restores(old)
    assert execute(empty_database_url, "SELECT version_num FROM alembic_version") == schema.head()


def test_a_database_of_a_newer_release_stays(elsewhere: Operator, backup: Path) -> None:
    init_db(elsewhere.url)
    execute(elsewhere.url, "UPDATE alembic_version SET version_num = '9999'")
    execute(elsewhere.url, "UPDATE schema_compatibility SET oldest_program = '9999'")
    assert "restore into a new database" in elsewhere.may_not_restore(backup)
    assert execute(elsewhere.url, "SELECT count(*) FROM environments") == 0


def test_one_of_a_newer_release_that_says_so_comes_back(elsewhere: Operator, backup: Path) -> None:
    """It has tables that this program does not know, and says that this program works with it."""
    known = json.loads(backup.read_bytes().split(b"\n", 1)[0])["rows"]
    change(backup, revision="9999", oldest_program=schema.head(), rows={**known, "later": 7})
    elsewhere.restores(backup)
    assert execute(elsewhere.url, "SELECT count(*) FROM environments") == 3
