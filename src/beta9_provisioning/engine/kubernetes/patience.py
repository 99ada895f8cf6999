"""How long to try, and how long to wait before the next try."""

from __future__ import annotations

from beta9_provisioning.engine.errors import Stopped
from beta9_provisioning.kit import runtime

FIRST_DELAY = 0.1
LONGEST_DELAY = 8.0
# New access may take a cluster some seconds to honour; a refusal that lasts longer is meant.
REFUSAL_SECONDS = 60.0


class Patience:
    """Growing delays between tries at a cluster, until a deadline or a request to stop.

    `seconds` counts from now. A try that would have less than `least` seconds is not begun.
    """

    def __init__(self, seconds: float, stop: runtime.Event, least: float = 0.0) -> None:
        self._stop = stop
        self._least = least
        self._start = runtime.monotonic()
        self._deadline = self._start + seconds
        self._delay = FIRST_DELAY

    @property
    def left(self) -> float:
        """Seconds until the deadline; at least a little, so that it can serve as a timeout."""
        return max(self._deadline - runtime.monotonic(), 0.1)

    @property
    def waited(self) -> float:
        """Seconds since the start."""
        return runtime.monotonic() - self._start

    def go_on(self) -> None:
        """Do nothing, unless there was a request to stop.

        Raises:
            Stopped: the stop event was set.
        """
        if self._stop.is_set():
            raise Stopped("The work on the cluster was stopped.")

    def wait(self, at_least: float = 0.0) -> bool:
        """Wait before the next try, `at_least` seconds; return False when no time is left for one.

        Raises:
            Stopped: the stop event was set.
        """
        delay = max(self._delay, at_least)
        if runtime.monotonic() + delay + self._least >= self._deadline:
            return False
        self._stop.wait(delay)
        self.go_on()
        self._delay = min(self._delay * 2, LONGEST_DELAY)
        return True

    def wait_after(self, *, passing: bool, refused: bool, at_least: float = 0.0) -> bool:
        """Wait if a failure may pass; return False when it will not, or when no time is left.

        `passing` tells that the API was busy or away, `refused` that it did not accept the token.

        Raises:
            Stopped: the stop event was set.
        """
        may_pass = passing or (refused and self.waited < REFUSAL_SECONDS)
        return may_pass and self.wait(at_least)
