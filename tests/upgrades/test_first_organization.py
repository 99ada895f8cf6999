"""What was stored before there were organizations belongs to the first one, and works on with a key."""

import os
import subprocess

import pytest
from scripts.releases import OURS, Program
from tests.support import callers
from tests.support.callers import bearer
from tests.upgrades.fleet import ENVIRONMENTS, REFUSED, Fleet, lacks, replays

from beta9_provisioning.kit.database import connect, sessions
from beta9_provisioning.schemas.callers import Role

pytestmark = pytest.mark.timeout(600)


def bootstrapped(fleet: Fleet) -> str:
    """Return the key of the first platform admin."""
    done = subprocess.run(
        [OURS.python, "-m", "beta9_provisioning.access.first_admin"],
        cwd=fleet.directory,
        env={**os.environ, "PYTHONPATH": str(OURS.source), "DATABASE_URL": fleet.database_url},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_what_was_stored_belongs_to_the_first_organization(fleet: Fleet, previous: Program) -> None:
    fleet.migrate(previous)
    with fleet.api(previous) as old:
        with fleet.worker(previous):
            failed = old.make("failed", external_id=REFUSED)
            old.wait(failed, "failed")
        keyed = old.create("queued", external_id=REFUSED, key="theirs")
        before = old.shows()
    fleet.migrate(OURS)
    text = bootstrapped(fleet)
    engine = connect(fleet.database_url)
    stranger = callers.organization(sessions(engine), "stranger")
    theirs = callers.caller(sessions(engine), Role.ADMIN, of=stranger)
    viewer = callers.caller(sessions(engine), Role.VIEWER)
    engine.dispose()
    with fleet.api(OURS, AUTH_MODE="required") as new:
        assert new.http.get(ENVIRONMENTS).status_code == 401
        assert new.http.get(ENVIRONMENTS, headers=bearer(theirs)).json()["items"] == []
        listed = new.http.get(ENVIRONMENTS, headers=bearer(viewer)).json()["items"]
        assert {item["organization_id"] for item in listed} == {"default"}
        new.http.headers.update(bearer(text))
        assert lacks(new.shows(), before) == []
        assert replays(new, "queued", "theirs", keyed)
        with fleet.worker(OURS):
            waiting = keyed.json()["environment_id"]
            new.wait(waiting, "failed")
            for environment_id in (failed, waiting):
                new.remove(environment_id)
            for environment_id in (failed, waiting):
                new.wait(environment_id, "destroyed")
