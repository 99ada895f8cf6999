"""From 0.1.0 with a stop: all that it stored is served, goes on, and can be taken down."""

import json
import os
import subprocess
from typing import Any

from scripts.releases import OURS, Program
from tests.support.configs import document
from tests.upgrades.fleet import REFUSED, Fleet, lacks, replays

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
        found = commands.create(session, asked, owner="default", settings=get_settings(), idempotency_key=None)
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
        [first.python, "-c", _DIE, json.dumps(document())],
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


def test_what_0_1_0_stored_is_served_and_goes_on(fleet: Fleet, first: Program) -> None:
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
        fleet.migrate(OURS)
        assert old.readiness() == (503, "")
    assert statuses(before) == {"ready", "failed", "queued", "destroy_queued", "destroyed", *dead}

    with fleet.api(OURS) as new:
        assert new.readiness() == (200, "")
        assert lacks(new.shows(), before) == []
        assert replays(new, "keyed", "theirs", keyed)
        with fleet.worker(OURS):
            new.wait(queued, "failed")
            new.wait(doomed, "destroyed")
            for lost in dead.values():
                assert new.wait(lost, "failed")["error"]["code"] == "worker_lost"
            # What the Terraform of 0.1.0 has built, we take down.
            remaining = {built, queued, failed, *dead.values()}
            for one in remaining:
                new.remove(one)
            for one in remaining:
                new.wait(one, "destroyed")
    assert fleet.world.leftovers() == []
