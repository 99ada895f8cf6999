"""A state that the cloud does not take is pushed until it is saved."""

import time
from collections.abc import Callable

from tests.operations.bench import Bench
from tests.operations.rows import Made
from tests.operations.test_workflows import as_soon_as

from beta9_provisioning.lifecycle import OperationStatus
from beta9_provisioning.operations.run.runner import Unfinished

S = OperationStatus
_NEVER = 3600.0


def has_told(bench: Bench, made: Made, type_: str) -> Callable[[], bool]:
    return lambda: bool(bench.history(made, type_))


def close_the_bucket(bench: Bench) -> None:
    bench.world.store.set_setting("refuses:s3", f"503 ServiceUnavailable {time.time() + _NEVER}")


def open_the_bucket(bench: Bench) -> None:
    bench.world.store.set_setting("refuses:s3", "")


def test_a_state_that_was_refused_for_a_while_is_saved_by_the_same_worker(bench: Bench) -> None:
    made = bench.make()
    try:
        with (
            as_soon_as(has_told(bench, made, "terraform.resource"), lambda: close_the_bucket(bench)),
            as_soon_as(has_told(bench, made, "terraform.state_unsaved"), lambda: open_the_bucket(bench)),
        ):
            assert bench.run(made.operation_id) is Unfinished.HANDED_BACK
    finally:
        open_the_bucket(bench)
    assert len(bench.history(made, "terraform.state_recovered")) == 1
    assert bench.run(made.operation_id) is S.SUCCEEDED, bench.error(made.operation_id)
    first, last = bench.history(made, "terraform.planned")
    assert first["add"] > 40
    assert last["total"] < first["add"] / 2, "what was saved is not made again"
    bench.must_destroy(made)
