"""Run kubectl or Helm against one cluster: a private kubeconfig for each call, patience with the API.

The children get no cloud credentials: their kubeconfig holds a bearer token that was made for this call,
and their environment holds nothing but what they need.
"""

from __future__ import annotations

import json
import os
import re
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from beta9_provisioning.engine import process
from beta9_provisioning.engine.errors import EngineError, Stopped

FIRST_DELAY = 0.25
LONGEST_DELAY = 8.0
# A new access entry takes EKS some seconds to honour; a refusal that lasts longer is meant.
REFUSAL_SECONDS = 60.0
# Helm needs this long at most to write down that it was stopped; less than a third of a worker's lease.
GRACE_SECONDS = 15.0

_PASSED_ON = (
    "PATH",
    "TMPDIR",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "HELM_REGISTRY_CONFIG",
)
# What kubectl and Helm print when the API was not there, was too busy, or lost the connection.
_TRANSIENT = (
    "(servertimeout)",
    "(serviceunavailable)",
    "(timeout)",
    "apiserver not ready",
    "connection refused",
    "connection reset by peer",
    "etcdserver: ",
    "failed calling webhook",
    "http2: client connection lost",
    "i/o timeout",
    "no such host",
    "server is currently unable to handle the request",
    "service unavailable",
    "server misbehaving",
    "tls handshake timeout",
    "too many requests",
    "toomanyrequests",
    ": eof",
    "unexpected eof",
)
# At the start of a line, where no warning begins with a bracket.
_DOCUMENT = re.compile(r"^[{\[]", re.MULTILINE)
_REFUSED = ("asked for the client to provide credentials", "must be logged in to the server", "unauthorized")


class ClusterError(EngineError):
    """The cluster's API, or a tool that used it, failed."""

    code = "cluster_failed"


@dataclass(frozen=True)
class Output:
    """What a call printed (stdout and stderr together, the last 64 KiB if not all) and its code."""

    returncode: int
    text: str
    timed_out: bool = False

    @property
    def ok(self) -> bool:
        """Whether the tool succeeded."""
        return self.returncode == 0

    def says(self, *phrases: str) -> bool:
        """Return whether one of the phrases (in lower case) is in the text."""
        text = self.text.lower()
        return any(phrase in text for phrase in phrases)

    def document(self) -> Any:
        """Return the JSON document in the text; warnings before or after it are skipped.

        Raises:
            ClusterError: there is none.
        """
        found = _DOCUMENT.search(self.text)
        try:
            return json.JSONDecoder().raw_decode(self.text, found.start() if found else 0)[0]
        except ValueError as error:
            raise ClusterError(
                "A command-line tool of the cluster did not print the JSON that was asked for.",
                detail=f"{error}: {self.text[:500]}",
                remedy="Check that the versions of kubectl and Helm are supported ones.",
            ) from error

    @property
    def transient(self) -> bool:
        """Whether the failure is of a kind that passes."""
        return self.says(*_TRANSIENT)

    @property
    def refused(self) -> bool:
        """Whether the cluster did not accept the token."""
        return self.says(*_REFUSED)


class Patience:
    """How long to try, and how long to wait before the next try: growing delays until a deadline.

    `seconds` counts from now. A try that would have less than `least` seconds is not begun.
    """

    def __init__(self, seconds: float, stop: threading.Event, least: float = 0.0) -> None:
        self._stop = stop
        self._least = least
        self._start = time.monotonic()
        self._deadline = self._start + seconds
        self._delay = FIRST_DELAY

    @property
    def left(self) -> float:
        """Seconds until the deadline; at least a little, so that it can serve as a timeout."""
        return max(self._deadline - time.monotonic(), 0.1)

    @property
    def waited(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._start

    def wait(self) -> bool:
        """Wait before the next try; return False when there is no time left for one.

        Raises:
            Stopped: the stop event was set.
        """
        if time.monotonic() + self._delay + self._least >= self._deadline:
            return False
        if self._stop.wait(self._delay):
            raise Stopped("The work on the cluster was stopped.")
        self._delay = min(self._delay * 2, LONGEST_DELAY)
        return True

    def wait_after(self, output: Output) -> bool:
        """Wait if the failure may pass; return False when it will not, or when there is no time left."""
        refusal_may_pass = output.refused and self.waited < REFUSAL_SECONDS
        passing = output.transient or output.timed_out or refusal_may_pass
        return passing and self.wait()


@dataclass(frozen=True)
class ClusterProcess:
    """One tool and one cluster.

    Attributes:
        binary: the tool, a path or a name to be found on PATH.
        directory: where its files go; it must exist.
        kubeconfig: gives the kubeconfig for the next call.
        env: the environment to take PATH, proxies and certificates from; nothing else of it is passed on.
        stop: ends the tool, and every wait.
    """

    binary: Path | str
    directory: Path
    kubeconfig: Callable[[], str]
    env: Mapping[str, str]
    stop: threading.Event

    def call(
        self,
        *arguments: str,
        timeout: float,
        stdin: str | None = None,
        on_line: Callable[[str], None] | None = None,
        whole_output: bool = False,
        stoppable: bool = True,
    ) -> Output:
        """Run the tool once and return what it said.

        `timeout` (seconds) is of the clock on the wall: then the tool gets SIGTERM, on which Helm writes down
        that it failed. `stoppable=False` is for short clean-up that must be done although `stop` is set.

        Raises:
            Stopped: `stop` was set.
            ToolMissing: the tool is not installed.
        """
        with (
            private_file(self.directory, self.kubeconfig(), ".kubeconfig") as kubeconfig,
            private_file(self.directory, "", ".log") as log,
        ):
            finished = process.run(
                [str(self.binary), *arguments],
                cwd=self.directory,
                env=self._environment(kubeconfig),
                log=log,
                stop=self.stop if stoppable else threading.Event(),
                timeout=timeout,
                on_line=on_line,
                interrupt=signal.SIGTERM,
                grace=GRACE_SECONDS,
                stdin=stdin.encode() if stdin is not None else None,
            )
            if finished.stopped:
                raise Stopped(f"{Path(self.binary).name} {arguments[0]} was stopped.")
            text = log.read_text(errors="replace") if whole_output else finished.output
            return Output(finished.returncode, text, finished.timed_out)

    def patience(self, seconds: float, least: float = 0.0) -> Patience:
        """Return patience for that many seconds, which ends at once when `stop` is set."""
        return Patience(seconds, self.stop, least)

    def _environment(self, kubeconfig: Path) -> dict[str, str]:
        home = self.directory / "home"
        return {
            **{name: self.env[name] for name in _PASSED_ON if name in self.env},
            "HOME": str(home),
            "KUBECONFIG": str(kubeconfig),
            "HELM_CACHE_HOME": str(home / "helm-cache"),
            "HELM_CONFIG_HOME": str(home / "helm-config"),
            "HELM_DATA_HOME": str(home / "helm-data"),
        }


@contextmanager
def private_file(directory: Path, content: str, suffix: str) -> Iterator[Path]:
    """Give a file with that content which only we may read, and remove it at the end."""
    descriptor, name = tempfile.mkstemp(dir=directory, suffix=suffix)  # mode 0600
    path = Path(name)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(content)
        yield path
    finally:
        path.unlink(missing_ok=True)
