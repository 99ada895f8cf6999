"""The previous release on our schema, with our data, and back: an update that can be taken back."""

import pytest
from scripts.releases import OURS, Program
from tests.upgrades.fleet import ENVIRONMENTS, REFUSED, Fleet, lacks, replays

pytestmark = pytest.mark.timeout(600)


def test_there_and_back_again(fleet: Fleet, previous: Program) -> None:
    fleet.migrate(previous)
    with fleet.api(previous) as old:
        with fleet.worker(previous):
            built, refused = old.make("built"), old.make("refused", external_id=REFUSED)
            keyed = old.create("keyed", external_id=REFUSED, key="theirs")
            old.wait(refused, "failed")
            old.wait(keyed.json()["environment_id"], "failed")
            old.wait(built, "ready")
            before = old.shows()
            # Both programs run while the schema changes.
            fleet.migrate(OURS)
            assert old.readiness() == (200, "")
            assert old.shows() == before
            assert replays(old, "keyed", "theirs", keyed)
            # The old ones work on: a create, an operation, a delete.
            old.remove(refused)
            old.wait(refused, "destroyed")
            old.wait(old.make("late", external_id=REFUSED), "failed")
        queued = old.make("queued", external_id=REFUSED)
        before = old.shows()

        with fleet.api(OURS) as new:
            assert new.readiness() == (200, "")
            assert lacks(new.shows(), before) == []
            assert replays(new, "keyed", "theirs", keyed)
            keyed_here = new.create("keyed-here", external_id=REFUSED, key="ours")
            assert replays(old, "keyed-here", "ours", keyed_here)
            with fleet.worker(OURS):
                # What the old worker's Terraform has built is ours to take down.
                new.remove(built)
                new.wait(queued, "failed")
                new.wait(keyed_here.json()["environment_id"], "failed")
                # Of a configuration that the old release can read, too.
                ours = old.make("ours")
                new.wait(built, "destroyed")
                new.wait(ours, "ready")
            after = new.shows()

        # Back: the old `db init` changes nothing, and the old programs serve what ours have left.
        fleet.migrate(previous)
        assert old.readiness() == (200, "")
        assert lacks(after, old.shows()) == []
        assert replays(old, "keyed-here", "ours", keyed_here)
        with fleet.worker(previous):
            old.remove(ours)
            old.remove(queued)
            old.wait(queued, "destroyed")
            old.wait(ours, "destroyed")
        listed = old.http.get(ENVIRONMENTS, params={"status": "destroyed"}).json()["items"]
        assert {item["environment_id"] for item in listed} == {built, refused, queued, ours}
    assert fleet.world.leftovers() == []
