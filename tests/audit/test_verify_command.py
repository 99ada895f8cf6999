"""`beta9-provisioning audit verify` as operators run it."""

import json
import subprocess
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from sqlalchemy import Engine, text
from tests.audit.attacks import KEY, fill, owner, rechain, reports, sign
from tests.audit.test_search import MANY
from tests.support.commands import beta9

from beta9_provisioning.audit.signatures import LOG_LINE, Head
from beta9_provisioning.kit.database import Sessions


@pytest.fixture
def public_key(tmp_path: Path) -> Path:
    path = tmp_path / "audit.pub"
    path.write_bytes(KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return path


def run(database_url: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return beta9(database_url, "audit", "verify", *arguments)


def log(path: Path, heads: list[Head], *other: str) -> Path:
    """Write a log as a collector keeps it: the workers' lines among others."""
    lines = [json.dumps({**head.fields, "event": LOG_LINE, "level": "info"}) for head in heads]
    path.write_text("\n".join(['{"event": "worker_started"}', "no JSON", *lines, *other]) + "\n")
    return path


def test_what_holds_is_told_and_ends_with_0(
    database_url: str, sessions: Sessions, public_key: Path, tmp_path: Path
) -> None:
    fill(sessions, 3)
    fill(sessions, 2, "org_a")
    kept = log(tmp_path / "log", sign(sessions))
    fill(sessions, 1)
    done = run(database_url, "--public-key", public_key, "--heads", kept)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        "default: 4 records hold, signed up to 3.\norg_a: 2 records hold, signed up to 2.\n"
    )


def test_the_first_record_is_named_and_it_ends_with_1(
    database_url: str, engine: Engine, sessions: Sessions, public_key: Path
) -> None:
    fill(sessions, 5)
    fill(sessions, 2, "org_a")
    with owner(engine) as session:
        session.execute(text("UPDATE audit_records SET actor_name = 'Otto' WHERE object_id = 'env_3'"))
    done = run(database_url, "--public-key", public_key)
    assert done.returncode == 1
    assert "default: record 3 was changed" in done.stdout
    assert "org_a: 2 records hold" in done.stdout
    told: dict[str, Any] = json.loads(run(database_url, "--public-key", public_key, "-o", "json").stdout)
    assert told["intact"] is False
    assert [chain["organization_id"] for chain in told["chains"]] == ["default", "org_a"]
    (finding,) = told["chains"][0]["findings"]
    assert (finding["kind"], finding["first"], finding["last"]) == ("changed", 3, 3)
    assert run(database_url, "--organization", "org_a").returncode == 0
    assert run(database_url, "--organization", "default").returncode == 1


def test_a_log_that_was_kept_tells_what_the_database_does_not(
    database_url: str, engine: Engine, sessions: Sessions, public_key: Path, tmp_path: Path
) -> None:
    fill(sessions, 3)
    kept = log(tmp_path / "log", sign(sessions), f'{{"event": "other", "detail": "{LOG_LINE}"}}')
    with owner(engine) as session:
        session.execute(text("UPDATE audit_records SET actor = 'mem_2' WHERE number = 2"))
        rechain(session)
        session.execute(text("DELETE FROM audit_signatures"))
    assert run(database_url, "--public-key", public_key).returncode == 0
    done = run(database_url, "--public-key", public_key, "--heads", kept)
    assert done.returncode == 1
    assert "default: the signature of record 3 was removed" in done.stdout
    assert "default: the chain was rebuilt: record 3 is not the one that was signed" in done.stdout


def test_a_forged_line_of_the_log_does_not_count(
    database_url: str, sessions: Sessions, public_key: Path, tmp_path: Path
) -> None:
    fill(sessions, 2)
    (head,) = sign(sessions)
    forged = Head(head.organization_id, 1, "0" * 64, head.signed_at, head.key, head.signature)
    done = run(database_url, "--public-key", public_key, "--heads", log(tmp_path / "log", [forged]))
    assert done.returncode == 1
    assert "the signature of record 1 is not valid" in done.stdout
    assert "rebuilt" not in done.stdout


def test_without_a_public_key_it_says_what_was_not_checked(database_url: str, sessions: Sessions) -> None:
    fill(sessions, 2)
    sign(sessions)
    done = run(database_url)
    assert done.returncode == 0
    assert done.stdout == "default: 2 records hold, 1 signatures unchecked.\n"
    assert "give --public-key" in done.stderr


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "has no line audit_head_signed"),
        ('{"event": "worker_started"}\n', "has no line audit_head_signed"),
        ('{"event": "audit_head_signed"}\n', "Line 1 of"),
        ("audit_head_signed number=3\n", "Line 1 of"),
        ("[" * 100_000 + "audit_head_signed\n", "Line 1 of"),
        (None, "No such file or directory"),
    ],
)
def test_a_file_without_heads_is_refused(
    database_url: str, sessions: Sessions, tmp_path: Path, content: str | None, why: str
) -> None:
    fill(sessions, 1)
    if content is not None:
        (tmp_path / "log").write_text(content)
    done = run(database_url, "--heads", tmp_path / "log")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: ")
    assert why in done.stderr


def test_nothing_to_check_is_no_success(database_url: str, sessions: Sessions) -> None:
    for arguments in ([], ["--organization", "org_unknown"]):
        done = run(database_url, *arguments)
        assert done.returncode == 1
        assert "there are no records" in done.stderr


def test_a_database_that_is_away_is_told(sessions: Sessions) -> None:
    done = run("postgresql://u:geheim@127.0.0.1:1/x")
    assert done.returncode == 1
    assert "No connection to the database at" in done.stderr
    assert "geheim" not in done.stderr


def peak(engine: Engine, records: int) -> int:
    """Return the most memory, in bytes, that verification of so many more records takes in this process."""
    with engine.begin() as connection:
        connection.execute(MANY, {"records": records})
    tracemalloc.start()
    try:
        (report,) = reports(engine)
        assert report.findings == []
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_records(engine: Engine, sessions: Sessions) -> None:
    few = peak(engine, 6_000)
    assert peak(engine, 24_000) < 1.5 * few
