"""The slots of one worker: how many operations it may run, however they come to it."""

from beta9_provisioning.kit import runtime


class Slots:
    """Counts what is free. Safe to use from several threads."""

    def __init__(self, most: int) -> None:
        self._free = most
        self._lock = runtime.lock()

    def take(self) -> bool:
        """Take a slot; False when none is free."""
        with self._lock:
            if self._free == 0:
                return False
            self._free -= 1
            return True

    def give_back(self) -> None:
        """Give one back."""
        with self._lock:
            self._free += 1
