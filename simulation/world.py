"""The world outside the control plane, and what is seen of who writes in it."""

from dataclasses import dataclass, field

from simulation.baton import Baton, Process
from simulation.cloud import Cloud


@dataclass
class Cluster:
    """What an environment's cluster holds: Helm's releases and Secrets that were kept."""

    releases: dict[tuple[str, str], "Installed"] = field(default_factory=dict)
    secrets: dict[tuple[str, str], dict[str, str]] = field(default_factory=dict)


@dataclass
class Installed:
    """A release of Helm, with the revisions that it had."""

    chart: str
    history: list[str]

    @property
    def status(self) -> str:
        """Helm's word for how the last revision stands."""
        return self.history[-1]


@dataclass
class _Writers:
    tag: str = ""
    before: set[str] = field(default_factory=set)
    running: list[tuple[str, str]] = field(default_factory=list)


class World:
    """Clouds, clusters and hosts, and the record of who writes.

    Attributes:
        overlaps: descriptions of two attempts that wrote at the same time, or in turns.
    """

    def __init__(self, baton: Baton) -> None:
        self.baton = baton
        self.cloud = Cloud(baton)
        self.clusters: dict[str, Cluster] = {}
        self.overlaps: list[str] = []
        self._writers: dict[str, _Writers] = {}
        self._pods_gone: set[Process] = set()

    def cluster(self, environment: str) -> Cluster:
        """Return what is in an environment's cluster."""
        return self.clusters.setdefault(environment, Cluster())

    def lose_pod(self, process: Process) -> None:
        """Kill a process with all its children at once."""
        self._pods_gone.add(process)
        self.baton.kill(process)

    def takes_children(self, process: Process) -> bool:
        """Tell whether a process that dies takes its children with it, as a pod does."""
        return process in self._pods_gone

    def write(self, environment: str, what: str) -> None:
        """Take note that the present attempt writes in the account or cluster of an environment."""
        self._see(environment, self.baton.current.tag, what)

    def begin_writing(self, environment: str, tag: str, what: str) -> None:
        """Take note that a command of an attempt begins that may write at any time until it ends."""
        self._see(environment, tag, what)
        self._writers[environment].running.append((tag, what))

    def end_writing(self, environment: str, tag: str) -> None:
        """Take note that it has ended."""
        running = self._writers[environment].running
        running.remove(next(one for one in running if one[0] == tag))

    def _see(self, environment: str, tag: str, what: str) -> None:
        seen = self._writers.setdefault(environment, _Writers())
        others = [f"{other} runs {command}" for other, command in seen.running if other != tag]
        if others:
            self._tell(f"{tag} began {what} in {environment} while {'; '.join(others)}")
        if seen.tag != tag:
            if tag in seen.before:
                self._tell(f"{tag} went on with {what} in {environment} after {seen.tag} had begun")
            seen.before.add(tag)
            seen.tag = tag

    def _tell(self, sentence: str) -> None:
        self.baton.note(f"OVERLAP {sentence}")
        self.overlaps.append(f"{self.baton.now:.1f} s: {sentence}")
