"""Pauses between repeats of what failed."""

from beta9_provisioning.kit import runtime


class Backoff:
    """Pauses between repeats: each is random between 0 and a bound that doubles (full jitter).

    So those that failed together do not come back together.
    """

    def __init__(self, first: float = 0.2, longest: float = 2.0) -> None:
        """Begin with pauses of at most `first` seconds, up to at most `longest`."""
        self._first = first
        self._longest = longest
        self._bound = first

    def reset(self) -> None:
        """Begin anew after a success."""
        self._bound = self._first

    def next(self) -> float:
        """Return the next pause in seconds."""
        bound, self._bound = self._bound, min(2 * self._bound, self._longest)
        return runtime.chance().uniform(0, bound)

    def pause(self, stop: runtime.Event) -> None:
        """Sleep the next pause; a stop that comes meanwhile ends it."""
        seconds = self.next()
        if stop.is_set():
            runtime.sleep(seconds)
        else:
            stop.wait(seconds)
