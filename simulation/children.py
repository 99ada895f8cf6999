"""Commands that the product starts: they outlive their worker by a grace, and then end or are killed.

They take the place of `engine.processes.process.run`, so that the product's own classes for Terraform and
Helm run unchanged. What a command does is in `terraform.py` and `helm.py`.
"""

import os
import signal
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from beta9_provisioning.engine.processes.process import UNBOUNDED, Bounds, Finished, claim
from beta9_provisioning.kit.runtime import Event
from simulation.baton import Baton, Process, Signal
from simulation.host import SimulatedEvent
from simulation.world import World

_LOOK_SECONDS = 1.0
_ENDED_BY_SIGKILL = 128 + signal.SIGKILL


class Child:
    """A command that runs. It goes on by calls at times; nothing of it waits.

    Attributes:
        environment: for which it works.
        tag: the attempt in whose name.
        output: what it prints that is no line of events, such as an answer in JSON.
    """

    writes = False
    """Whether it changes anything in the world."""

    def __init__(self, world: World, argv: Sequence[str], cwd: Path, environment: str) -> None:
        self.world = world
        self.baton: Baton = world.baton
        self.argv = argv
        self.cwd = cwd
        self.environment = environment
        self.tag = self.baton.current.tag
        self.returncode: int | None = None
        self.is_interrupted = False
        self.is_abandoned = False
        self.lines: deque[str] = deque()
        self.output = ""
        self.changed = Signal()
        self._at_end: list[Callable[[], None]] = []

    @property
    def name(self) -> str:
        """What it is, for traces."""
        return f"{Path(self.argv[0]).name} {self.argv[1]}"

    def start(self) -> None:
        """Begin."""

    def interrupted(self) -> None:
        """Hear the polite request to stop; it comes once."""

    def say(self, line: str) -> None:
        """Print a line."""
        self.lines.append(line)
        self.baton.wake(self.changed)

    def later(self, seconds: float, do: Callable[[], None]) -> None:
        """Do something after so many seconds, more or less, unless it has ended by then."""
        spread = 0.7 + 0.6 * self.baton.latency.random()
        self.baton.after(seconds * spread, lambda: None if self.returncode is not None else do())

    def end(self, returncode: int) -> None:
        """End."""
        if self.returncode is None:
            self.returncode = returncode
            self.baton.note(f"{self.name} of {self.environment} ended: {returncode}")
            for do in self._at_end:
                do()
            self.baton.wake(self.changed)

    def at_end(self, do: Callable[[], None]) -> None:
        """Have something done when it has ended."""
        self._at_end.append(do)

    def stop(self, grace: float) -> None:
        """Ask it to stop, once, and kill it after its grace, as the launcher does."""
        if self.returncode is None and not self.is_interrupted:
            self.is_interrupted = True
            self.baton.note(f"{self.name} of {self.environment} interrupted")
            self.interrupted()
            self.baton.after(grace, lambda: self.end(_ENDED_BY_SIGKILL))


MakeChild = Callable[[World, Sequence[str], Path, str], Child]


class Launching:
    """Implements `process.Run`."""

    def __init__(self, world: World, programs: Mapping[str, MakeChild], silence: float) -> None:
        """Take what commands there are, and after how many seconds a process counts as standing still."""
        self._silence = silence
        self._world = world
        self._baton = world.baton
        self._programs = programs

    def __call__(
        self,
        argv: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str],  # noqa: ARG002
        log: Path,
        stop: Event,
        timeout: float,
        on_line: Callable[[str], None] | None = None,
        interrupt: signal.Signals = signal.SIGINT,
        grace: float = 60.0,
        stdin: bytes | None = None,  # noqa: ARG002
        secret_output: bool = False,  # noqa: ARG002
        pass_on: Sequence[int] = (),  # noqa: ARG002
        bounds: Bounds = UNBOUNDED,  # noqa: ARG002
    ) -> Finished:
        """Run a command as the genuine one does."""
        baton = self._baton
        baton.pause(f"run {Path(argv[0]).name} {argv[1]}")
        if stop.is_set():
            return Finished(128 + interrupt, "", timed_out=False, stopped=True, killed=False)
        log_fd = os.open(log, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            claim(log_fd, log)
            child = self._programs[Path(argv[0]).name](self._world, argv, cwd, environment_of(cwd))
            # The child has the lock of its own: it keeps it when this process dies.
            held = os.dup(log_fd)
            child.at_end(lambda: os.close(held))
        finally:
            os.close(log_fd)
        process = baton.current.process
        self._tie(child, process, grace)
        reason = self._follow(child, stop, timeout, on_line or _ignore, grace)
        with log.open("ab") as file:
            file.write(child.output.encode())
        assert child.returncode is not None
        return Finished(
            child.returncode,
            child.output,
            timed_out=reason == "timeout",
            stopped=reason == "stop",
            killed=reason is not None and child.returncode == _ENDED_BY_SIGKILL,
            stood_still=reason is None and child.is_abandoned,
        )

    def _tie(self, child: Child, process: Process, grace: float) -> None:
        """Start a child below its launcher, which stops it when the process dies."""
        world = self._world

        def orphaned() -> None:
            if world.takes_children(process):
                child.end(_ENDED_BY_SIGKILL)
            else:
                child.stop(grace)

        process.on_death.append(orphaned)
        child.at_end(lambda: process.on_death.remove(orphaned) if process.alive else None)
        self._watch(child, process, grace)
        if child.writes:
            world.begin_writing(child.environment, child.tag, child.name)
            child.at_end(lambda: world.end_writing(child.environment, child.tag))
        child.start()

    def _watch(self, child: Child, process: Process, grace: float) -> None:
        """Look, as the launcher does, whether the process has stood still for half a lease."""
        if child.returncode is not None or not process.alive:
            return
        if process.frozen_until > self._baton.now >= process.frozen_since + self._silence:
            child.is_abandoned = not child.is_interrupted
            child.stop(grace)
            return
        self._baton.after(_LOOK_SECONDS, lambda: self._watch(child, process, grace))

    def _follow(
        self, child: Child, stop: Event, timeout: float, on_line: Callable[[str], None], grace: float
    ) -> str | None:
        assert isinstance(stop, SimulatedEvent)
        baton = self._baton
        rate = baton.current.process.rate
        deadline = baton.now + timeout / rate
        reason: str | None = None
        while True:
            while child.lines:
                on_line(child.lines.popleft())
            if child.returncode is not None:
                baton.check()
                for line in child.output.splitlines():
                    on_line(line)
                return reason
            if reason is None:
                reason = "stop" if stop.is_set() else "timeout" if baton.now >= deadline else None
                if reason is not None:
                    child.stop(grace)
            # A command's lines come a moment late, as with the genuine one.
            baton.sleep(0.03)
            if not child.lines and child.returncode is None:
                until = None if reason else max(deadline - baton.now, 0.0)
                baton.wait([child.changed] if stop.is_set() else [child.changed, stop.signal], until)


def environment_of(cwd: Path) -> str:
    """Return the environment whose working directory this is."""
    return next(part for part in reversed(cwd.parts) if part.startswith("env_"))


def _ignore(_line: str) -> None:
    """Take a line that nobody wants to see."""
