"""How long tries go on, and what ends them early."""

from __future__ import annotations

import threading
import time

import pytest

from beta9_provisioning.engine.errors import Stopped
from beta9_provisioning.engine.kubernetes import patience as module
from beta9_provisioning.engine.kubernetes.patience import Patience


def test_delays_grow_until_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_DELAY", 0.02)
    patience = Patience(0.3, threading.Event())
    start = time.monotonic()
    tries = 1
    while patience.wait():
        tries += 1
    # After 0.02, 0.06 and 0.14 s; the next would be at 0.30 s.
    assert tries == 4
    assert 0.14 <= time.monotonic() - start < 0.3


def test_a_try_without_enough_time_is_not_begun() -> None:
    start = time.monotonic()
    assert not Patience(10, threading.Event(), least=9.9).wait()
    assert time.monotonic() - start < 0.1


def test_waits_as_long_as_it_is_told() -> None:
    start = time.monotonic()
    assert Patience(10, threading.Event()).wait(at_least=0.5)
    assert time.monotonic() - start >= 0.5
    assert not Patience(10, threading.Event()).wait(at_least=11)


def test_a_stop_request_ends_a_wait() -> None:
    stop = threading.Event()
    timer = threading.Timer(0.1, stop.set)
    timer.start()
    start = time.monotonic()
    with pytest.raises(Stopped):
        Patience(60, stop).wait(at_least=30)
    assert time.monotonic() - start < 10
    timer.join()


@pytest.mark.parametrize(
    ("passing", "refused", "again"),
    [(True, False, True), (False, True, True), (False, False, False)],
)
def test_only_what_may_pass_is_tried_again(passing: bool, refused: bool, again: bool) -> None:
    assert Patience(60, threading.Event()).wait_after(passing=passing, refused=refused) is again


def test_a_refusal_that_lasts_is_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REFUSAL_SECONDS", 0.1)
    patience = Patience(60, threading.Event())
    assert patience.wait_after(passing=False, refused=True)
    assert not patience.wait_after(passing=False, refused=True)
