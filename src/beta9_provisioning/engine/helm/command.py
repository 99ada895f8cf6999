"""Run Helm once against one cluster, with a private kubeconfig, and tell how it ended.

Helm gets no cloud credentials: its kubeconfig holds a bearer token that was made for this call, and its
environment holds nothing but what it needs. Kubeconfig, input and output are in memory, so that no file with
a secret is left, whoever is killed.

What a registry of charts answers may be hostile. Helm by itself follows redirects, and asks for a token where
the registry says, over plain HTTP too: it would send the registry the token in a metadata service's answer.
And it makes room for as much as the registry announces. So Helm speaks TLS only, and its memory and files are
bounded.
"""

from __future__ import annotations

import re
import signal
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from beta9_provisioning.engine.errors import Interrupted, Stopped
from beta9_provisioning.engine.processes import process
from beta9_provisioning.engine.processes.child_variables import HELM, chosen
from beta9_provisioning.engine.processes.memory import memory_file, path_of
from beta9_provisioning.kit import certificates
from beta9_provisioning.kit.masking import MOST_CHARACTERS, mask_text
from beta9_provisioning.kit.texts import ANSWER_BYTES

# Helm needs this long at most to write down that it was stopped; less than a third of a worker's lease.
GRACE_SECONDS = 15.0
# It needs about 70 MB of memory, and 450 MB for the largest chart that it reads (100 MiB when unpacked).
BOUNDS = process.Bounds(memory=1 << 30, file=128 << 20)
_LONGEST_WORDS = 4000
# What Go prints before the stacks of a program that crashed, in which nobody finds it.
_CRASHED = re.compile(r"^(?:fatal error|panic|runtime): .*", re.MULTILINE)
_CRASH_CODE = 2
# Go's HTTP client then refuses every request without TLS, to whatever address, and says so with a reference.
_TLS_ONLY = {"HTTP_PROXY": "http://tls-only.invalid", "REQUEST_METHOD": "GET"}
_NO_TLS = "golang.org/s/cgihttpproxy"

# What Helm prints when the API was not there, was too busy, or lost the connection.
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
_REFUSED = ("asked for the client to provide credentials", "must be logged in to the server", "unauthorized")


SIGNALLED = 128
"""Exit codes above this stand for signals, see `process.Finished`."""


@dataclass(frozen=True)
class Output:
    """What a call printed (stdout and stderr together, the last 64 KiB if not all) and its code.

    `cut` tells that all was wanted, and that it was more than 16 MiB.
    """

    returncode: int
    text: str
    timed_out: bool = False
    cut: bool = False

    @property
    def ok(self) -> bool:
        """Whether Helm succeeded."""
        return self.returncode == 0

    @property
    def words(self) -> str:
        """The end of the text, without secrets, for people; of a crash its reason."""
        if self.crashed and (reason := _CRASHED.search(self.text)):
            return mask_text(reason.group()[:_LONGEST_WORDS])
        return mask_text(self.text[-MOST_CHARACTERS:]).strip()[-_LONGEST_WORDS:]

    def says(self, *phrases: str) -> bool:
        """Return whether one of the phrases (in lower case) is in the text."""
        text = self.text.lower()
        return any(phrase in text for phrase in phrases)

    @property
    def crashed(self) -> bool:
        """Whether Helm ended by a fault of its own, or was out of memory."""
        return self.returncode == _CRASH_CODE

    @property
    def signalled(self) -> bool:
        """Whether a signal ended Helm."""
        return self.returncode > SIGNALLED

    @property
    def led_off_tls(self) -> bool:
        """Whether a registry or a chart named an address without TLS, where Helm asks nothing."""
        return self.says(_NO_TLS)

    @property
    def passing(self) -> bool:
        """Whether the failure is of a kind that passes."""
        return self.timed_out or self.says(*_TRANSIENT)

    @property
    def untrusted(self) -> bool:
        """Whether Helm did not accept a certificate; webhooks are asked by the cluster, not by Helm."""
        return bool(re.search(certificates.PATTERN, self.text)) and not self.says("failed calling webhook")

    @property
    def refused(self) -> bool:
        """Whether the cluster did not accept the token."""
        return self.says(*_REFUSED)


@dataclass(frozen=True)
class HelmProcess:
    """Helm and one cluster.

    Attributes:
        binary: Helm, a path or a name to be found on PATH.
        directory: where its files go; it must exist.
        kubeconfig: gives the kubeconfig for the next call.
        env: the environment to take PATH, proxies and certificates from; nothing else of it is passed on.
        stop: ends Helm.
        run: runs it; a simulation has its own.
    """

    binary: Path | str
    directory: Path
    kubeconfig: Callable[[], str]
    env: Mapping[str, str]
    stop: threading.Event
    run: process.Run = process.run

    def call(
        self,
        *arguments: str,
        timeout: float,
        stdin: bytes | None = None,
        on_line: Callable[[str], None] | None = None,
        whole_output: bool = False,
    ) -> Output:
        """Run Helm once and return what it said.

        `timeout` (seconds) is of the clock on the wall: then Helm gets SIGTERM, on which it writes down that
        it failed.

        Raises:
            Stopped: `stop` was set.
            Interrupted: its launcher stopped it, because this process had stood still.
            ToolMissing: Helm is not installed.
        """
        with (
            memory_file("kubeconfig", self.kubeconfig().encode()) as kubeconfig,
            memory_file("helm") as output,
        ):
            log = path_of(output)
            finished = self.run(
                [str(self.binary), *arguments],
                cwd=self.directory,
                env=self._environment(path_of(kubeconfig)),
                log=log,
                stop=self.stop,
                timeout=timeout,
                on_line=on_line,
                interrupt=signal.SIGTERM,
                grace=GRACE_SECONDS,
                stdin=stdin,
                pass_on=(kubeconfig,),
                bounds=BOUNDS,
            )
            if finished.stopped:
                raise Stopped(f"helm {arguments[0]} was stopped.")
            if finished.stood_still:
                raise Interrupted(
                    f"helm {arguments[0]} was stopped, because the worker had stood still for too long.",
                    code="worker_stood_still",
                )
            if not whole_output:
                return Output(finished.returncode, finished.output, finished.timed_out)
            with log.open("rb") as file:
                content = file.read(ANSWER_BYTES + 1)
            text = content.decode(errors="replace")
            return Output(finished.returncode, text, finished.timed_out, len(content) > ANSWER_BYTES)

    def _environment(self, kubeconfig: Path) -> dict[str, str]:
        home = self.directory / "home"
        return {
            **chosen(self.env, HELM),
            **_TLS_ONLY,
            "HOME": str(home),
            "KUBECONFIG": str(kubeconfig),
            "HELM_CACHE_HOME": str(home / "helm-cache"),
            "HELM_CONFIG_HOME": str(home / "helm-config"),
            "HELM_DATA_HOME": str(home / "helm-data"),
        }
