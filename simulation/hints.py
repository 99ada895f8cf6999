"""The queue of the simulated world: hints, which may be lost at any time."""

from collections import deque

from beta9_provisioning.kit.queue import QueueUnavailable
from simulation.baton import Baton, Signal

_DOWN = "Redis cannot be used: connection refused."


class Hints:
    """What Redis holds.

    Attributes:
        down_until: until when it cannot be used.
    """

    def __init__(self, baton: Baton) -> None:
        self.baton = baton
        self.messages: deque[str] = deque()
        self.came = Signal()
        self.down_until = 0.0

    @property
    def is_down(self) -> bool:
        """Whether it cannot be used now."""
        return self.baton.now < self.down_until

    def flush(self) -> None:
        """Lose all messages."""
        self.messages.clear()

    def take(self, seconds: float) -> str | None:
        """Wait for a message at most so long."""
        if self.is_down:
            self.baton.sleep(seconds)
            return None
        if not self.messages:
            self.baton.wait([self.came], seconds)
        return None if self.is_down or not self.messages else self.messages.popleft()


class SimulatedQueue:
    """Implements `kit.queue.JobQueue`."""

    def __init__(self, hints: Hints) -> None:
        self._hints = hints

    def send(self, actor: str, identifier: str) -> None:  # noqa: ARG002
        """Send a hint."""
        self._speak("send a hint")
        self._hints.messages.append(identifier)
        self._hints.baton.wake(self._hints.came)

    def backlog(self) -> int:
        """Count the hints."""
        self._speak("count hints")
        return len(self._hints.messages)

    def check_writable(self) -> None:
        """See that it could be written."""
        self._speak("check the queue")

    def close(self) -> None:
        """Close nothing."""

    def _speak(self, what: str) -> None:
        self._hints.baton.pause(f"redis: {what}")
        if self._hints.is_down:
            raise QueueUnavailable(_DOWN)
