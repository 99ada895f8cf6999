"""Bootstrap: exactly one first platform admin, and its key on standard output alone."""

import json
import os
import subprocess
import sys
from datetime import timedelta

import pytest
from sqlalchemy import select, update
from tests.support import callers
from tests.support.waiting import GUARD_SECONDS

from beta9_provisioning.access import credentials, keys
from beta9_provisioning.kit.database import Sessions, transaction
from beta9_provisioning.operations.records.model import ApiKeyRow, MemberRow
from beta9_provisioning.schemas.callers import KeyCreated, Role

PROGRAM = (sys.executable, "-c", "from beta9_provisioning.cli.main import main; main()")
Ended = subprocess.CompletedProcess[str]


def started(database_url: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*PROGRAM, "bootstrap", *arguments],
        env={**os.environ, "DATABASE_URL": database_url},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: subprocess.Popen[str]) -> Ended:
    out, err = process.communicate(timeout=GUARD_SECONDS)
    return Ended(process.args, process.returncode, out, err)


def run(database_url: str, *arguments: str) -> Ended:
    return ended(started(database_url, *arguments))


def whose(sessions: Sessions, text: str) -> MemberRow:
    with transaction(sessions) as session:
        principal = credentials.of_key(session, text)
        assert principal is not None
        return session.get_one(MemberRow, principal.id)


def test_the_first_platform_admin_gets_a_key(database_url: str, sessions: Sessions) -> None:
    done = run(database_url)
    assert done.returncode == 0, done.stderr
    text = done.stdout.removesuffix("\n")
    assert keys.id_of(text)
    assert text not in done.stderr
    assert "admin" in done.stderr
    member = whose(sessions, text)
    assert (member.name, member.role, member.organization_id) == ("admin", Role.PLATFORM_ADMIN, "default")
    with sessions() as session:
        row = session.get_one(ApiKeyRow, keys.id_of(text))
        assert row.expires_at is not None
        assert row.expires_at - row.created_at == timedelta(days=90)
        assert row.scopes is None


def test_a_second_one_is_refused(database_url: str, sessions: Sessions) -> None:
    callers.member(sessions, Role.PLATFORM_ADMIN)
    done = run(database_url)
    assert (done.returncode, done.stdout) == (1, "")
    assert "--again" in done.stderr


def test_two_at_once_make_exactly_one(database_url: str, sessions: Sessions) -> None:
    both = [ended(one) for one in [started(database_url, f"--name=admin{n}") for n in range(2)]]
    assert sorted(one.returncode for one in both) == [0, 1]
    with sessions() as session:
        assert len(session.scalars(select(MemberRow)).all()) == 1
        assert len(session.scalars(select(ApiKeyRow)).all()) == 1


def test_as_json_with_a_name_and_a_life(database_url: str, sessions: Sessions) -> None:
    done = run(database_url, "--name", "anna@example.com", "--expires-in-days", "0", "-o", "json")
    made = KeyCreated.model_validate(json.loads(done.stdout))
    assert (made.key.member_name, made.key.expires_at) == ("anna@example.com", None)
    assert whose(sessions, made.secret).id == made.key.member_id


def test_who_lost_every_key_gets_another(database_url: str, sessions: Sessions) -> None:
    first = whose(sessions, run(database_url).stdout.strip())
    callers.member(sessions, Role.PLATFORM_ADMIN, name="later")
    with transaction(sessions) as session:
        session.execute(update(ApiKeyRow).values(revoked_at=first.created_at))
    again = run(database_url, "--again")
    assert whose(sessions, again.stdout.strip()).id == first.id
    named = run(database_url, "--again", "--name=later")
    assert whose(sessions, named.stdout.strip()).name == "later"
    nobody = run(database_url, "--again", "--name=nobody")
    assert (nobody.returncode, nobody.stdout) == (1, "")
    assert "nobody" in nobody.stderr


def test_again_before_the_first_time_is_refused(database_url: str, sessions: Sessions) -> None:
    done = run(database_url, "--again")
    assert (done.returncode, done.stdout) == (1, "")
    assert "leave --again out" in done.stderr


@pytest.mark.parametrize("name", ["", "a b", "x\ny", "<b>"])
def test_no_fit_name_is_refused(database_url: str, sessions: Sessions, name: str) -> None:
    done = run(database_url, f"--name={name}")
    assert (done.returncode, done.stdout) == (1, "")
    assert "no fit name" in done.stderr


@pytest.mark.parametrize("days", ["-5", "3651", "10000000000", "9" * 5000, "", "x", "1.5", "²"])
def test_no_fit_life_is_refused_by_the_module_as_well(
    database_url: str, sessions: Sessions, days: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "beta9_provisioning.access.first_admin", f"--expires-in-days={days}"],
        env={**os.environ, "DATABASE_URL": database_url},
        capture_output=True,
        text=True,
        timeout=GUARD_SECONDS,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.endswith("give a number of days from 0, for ever, to 3650\n")
    with sessions() as session:
        assert not session.scalars(select(MemberRow)).all()


def test_a_name_that_is_taken_is_refused(database_url: str, sessions: Sessions) -> None:
    callers.member(sessions, Role.ADMIN, name="admin")
    done = run(database_url)
    assert done.returncode == 1
    assert "'admin' already" in done.stderr


def test_without_a_schema_it_says_what_to_do(empty_database_url: str) -> None:
    done = run(empty_database_url)
    assert (done.returncode, done.stdout) == (1, "")
    assert "db init" in done.stderr


def test_without_a_database_it_says_so() -> None:
    done = run("postgresql://nobody:hidden-word@127.0.0.1:1/none")
    assert (done.returncode, done.stdout) == (1, "")
    assert "127.0.0.1:1" in done.stderr
    assert "hidden-word" not in done.stderr
