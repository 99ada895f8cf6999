"""The deployment guide's commands as typed: from the root, with nothing installed but requirements.txt."""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import psycopg
import pytest
from tests.support.waiting import GUARD_SECONDS

from beta9_provisioning.local.ports import free_port
from beta9_provisioning.operations.records.schema import head

ROOT = Path(__file__).parents[1]
INIT = "from models.database import init_db; from api.config import settings; init_db(settings.database_url)"
GET = "from models.database import get_db; db = get_db(); print('DB OK')"


@pytest.fixture(autouse=True)
def _checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run in a root that has all of the project's but the `.env` of whoever works on it."""
    for entry in ROOT.iterdir():
        if entry.name != ".env":
            (tmp_path / entry.name).symlink_to(entry)
    monkeypatch.chdir(tmp_path)


def start(program: str, database_url: str) -> "subprocess.Popen[str]":
    """Run a program from the root without the project being installed.

    Without `site` the .pth file of an editable installation is not read; PYTHONPATH gives the packages back.
    """
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": sysconfig.get_path("purelib"),
        "DATABASE_URL": database_url,
    }
    return subprocess.Popen(
        [sys.executable, "-S", "-c", program],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(child: "subprocess.Popen[str]") -> tuple[int, str, str]:
    output, errors = child.communicate(timeout=GUARD_SECONDS)
    return child.returncode, output, errors


def revision(database_url: str) -> list[str]:
    with psycopg.connect(database_url) as connection:
        return [row[0] for row in connection.execute("SELECT version_num FROM alembic_version")]


def test_init_db_and_get_db(empty_database_url: str) -> None:
    code, _, errors = finish(start(INIT, empty_database_url))
    assert code == 0, errors
    assert revision(empty_database_url) == [head()]
    assert finish(start(INIT, empty_database_url))[0] == 0  # again, at any time
    code, output, errors = finish(start(GET, empty_database_url))
    assert (code, output) == (0, "DB OK\n"), errors


def test_init_db_by_several_replicas_at_once(empty_database_url: str) -> None:
    children = [start(INIT, empty_database_url) for _ in range(4)]
    for code, _, errors in [finish(child) for child in children]:
        assert code == 0, errors
    assert revision(empty_database_url) == [head()]


@pytest.mark.parametrize("program", [INIT, GET])
def test_a_database_that_is_down_is_a_clear_error(program: str) -> None:
    port = free_port()
    code, _, errors = finish(start(program, f"postgresql://postgres:s3cr3t@127.0.0.1:{port}/provisioning"))
    assert code == 1
    [last] = errors.splitlines()  # a traceback came before it
    assert "No connection to the database at" in last
    assert str(port) in last
    assert "DATABASE_URL" in last
    assert "s3cr3t" not in errors


@pytest.mark.parametrize("program", [INIT, GET])
def test_a_database_url_that_cannot_be_read_was_a_traceback(program: str) -> None:
    code, _, errors = finish(start(program, "mysql://postgres:s3cr3t@localhost/provisioning"))
    assert code == 1
    assert errors.splitlines()[0].startswith("error: ")
    assert "DATABASE_URL" in errors
    assert "must start with postgresql://" in errors
    assert "Traceback" not in errors
    assert "s3cr3t" not in errors
