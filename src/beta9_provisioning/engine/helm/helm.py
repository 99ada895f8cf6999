"""Helm: install, upgrade and remove releases in one cluster.

Facts about Helm 4.1 that shape this module: `--timeout` does not bound the time it takes, so every call has
an outer deadline; SIGTERM makes it note that the release failed, which the next upgrade repairs, whereas
SIGKILL leaves a `pending-...` note that refuses every later upgrade; it retries 429 and 503 only if the
server says when, so the caller must.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from beta9_provisioning.engine.errors import EngineError, Interrupted
from beta9_provisioning.engine.helm.command import SIGNALLED, HelmProcess, Output
from beta9_provisioning.engine.helm.release import Release, chart_ref
from beta9_provisioning.engine.kubernetes.patience import Patience
from beta9_provisioning.engine.processes import process
from beta9_provisioning.kit import certificates
from beta9_provisioning.kit.masking import mask_text
from beta9_provisioning.kit.texts import ANSWER_BYTES

LIST_SECONDS = 60.0
# Helm's own timeout comes before ours: its message says what is not ready.
_MARGIN_SECONDS = 15.0
# At the start of a line, where no warning begins with a bracket.
_DOCUMENT = re.compile(r"^\[", re.MULTILINE)
_PENDING = "another operation (install/upgrade/rollback) is in progress"
_ABSENT = "release: not found"
_OTHERS = "invalid ownership metadata"
# Of what the registry answers, or of a chart that Helm does not take; in lower case.
_NO_CHART = (
    'failed to perform "',
    "manifest does not contain",
    "unable to load chart archive",
    "does not appear to be a gzipped archive",
    "cannot load values.yaml",
)
_NEVER_INSTALLED = frozenset({"pending-install", "uninstalling"})


class HelmFailed(EngineError):
    """A release could not be installed or removed."""

    code = "helm_failed"


class HelmKilled(HelmFailed, Interrupted):
    """Helm was ended by a signal that this program did not send, as the kernel's for want of memory."""

    code = "helm_killed"


@dataclass(frozen=True)
class Installed:
    """A release as Helm lists it. `status` is Helm's word, such as `deployed` or `pending-install`."""

    name: str
    namespace: str
    chart: str
    revision: int
    status: str


class Helm:
    """Helm against one cluster; `chart_source` is where charts come from (see `release.chart_ref`).

    Every line that Helm prints is given to `on_line`; it prints no values of its own accord.
    """

    def __init__(
        self,
        *,
        binary: Path | str,
        directory: Path,
        kubeconfig: Callable[[], str],
        env: Mapping[str, str],
        stop: threading.Event,
        chart_source: str,
        on_line: Callable[[str], None] | None = None,
        run: process.Run = process.run,
    ) -> None:
        self._process = HelmProcess(binary, directory, kubeconfig, env, stop, run)
        self._chart_source = chart_source
        self._on_line = on_line

    def install(self, release: Release, *, no_live_holder: bool = False) -> None:
        """Install or upgrade the release and wait until all its objects are ready.

        Tries again while the cluster's API is busy or away, until `release.timeout` (seconds) has passed.
        `no_live_holder` says that nobody else can be working on the release: a pending note is then what
        a killed Helm left behind, and is cleared.

        Raises:
            HelmFailed: `release_pending`, `release_timeout`, `certificate_untrusted`, or `helm_failed` with
                Helm's own words.
            Stopped: the stop event was set; Helm has noted the release as failed.
        """
        patience = self._patience(release.timeout, least=_MARGIN_SECONDS)
        may_clear = no_live_holder
        while not (output := self._upgrade(release, patience)).ok:
            if output.says(_PENDING):
                if not may_clear:
                    raise _pending(release, output)
                may_clear = False
                self._clear(release, patience)
            elif not patience.wait_after(passing=output.passing, refused=output.refused):
                raise _failed(f"install {release.name}", output, release.namespace)

    def uninstall(self, name: str, namespace: str, *, timeout: float = 300.0) -> bool:
        """Remove a release and wait until its objects are gone; return whether it was there.

        Raises:
            HelmFailed: Helm failed, or `timeout` (seconds) passed.
            Stopped: the stop event was set.
        """
        patience = self._patience(timeout, least=_MARGIN_SECONDS)
        while not (output := self._remove(name, namespace, patience)).ok:
            if output.says(_ABSENT):
                return False
            if not patience.wait_after(passing=output.passing, refused=output.refused):
                raise _failed(f"uninstall {name}", output, namespace)
        return True

    def releases(self, *, namespace: str = "", timeout: float = LIST_SECONDS) -> list[Installed]:
        """Return all releases of a namespace, or of the cluster, in any state, within so many seconds.

        Raises:
            HelmFailed: Helm failed.
            Stopped: the stop event was set.
        """
        where = f"--namespace={namespace}" if namespace else "--all-namespaces"
        listed = self._json("list releases", "list", where, "--max=0", seconds=timeout)
        return [
            Installed(item["name"], item["namespace"], item["chart"], int(item["revision"]), item["status"])
            for item in listed
        ]

    def _upgrade(self, release: Release, patience: Patience) -> Output:
        return self._process.call(
            "upgrade",
            release.name,
            *chart_ref(self._chart_source, release),
            "--install",
            "--create-namespace",
            f"--namespace={release.namespace}",
            "--values=-",  # from standard input: they hold secrets
            "--wait",
            f"--timeout={_whole_seconds(patience.left - _MARGIN_SECONDS)}s",
            "--history-max=5",
            "--hide-notes",
            *([] if release.has_crds else ["--skip-crds"]),
            timeout=patience.left,
            stdin=json.dumps(release.values).encode(),
            on_line=self._on_line,
        )

    def _remove(self, name: str, namespace: str, patience: Patience) -> Output:
        return self._process.call(
            "uninstall",
            name,
            f"--namespace={namespace}",
            "--wait",
            f"--timeout={_whole_seconds(patience.left - _MARGIN_SECONDS)}s",
            timeout=patience.left,
            on_line=self._on_line,
        )

    def _clear(self, release: Release, patience: Patience) -> None:
        """Undo what a killed Helm left: back to the last revision that worked, or to nothing."""
        doing = f"read the history of {release.name}"
        history = self._json(doing, "history", release.name, f"--namespace={release.namespace}")
        worked = [entry["revision"] for entry in history if entry["status"] in {"deployed", "superseded"}]
        if history[-1]["status"] in _NEVER_INSTALLED or not worked:
            self.uninstall(release.name, release.namespace, timeout=patience.left)
            return
        output = self._process.call(
            "rollback",
            release.name,
            str(worked[-1]),
            f"--namespace={release.namespace}",
            timeout=patience.left,
            on_line=self._on_line,
        )
        if not output.ok:
            raise _failed(f"roll back {release.name}", output, release.namespace)

    def _json(self, doing: str, *arguments: str, seconds: float = LIST_SECONDS) -> list[dict[str, Any]]:
        patience = self._patience(seconds)
        while not (output := self._query(*arguments, timeout=patience.left)).ok:
            if not patience.wait_after(passing=output.passing, refused=output.refused):
                raise _failed(doing, output)
        return _document(output)

    def _patience(self, seconds: float, least: float = 0.0) -> Patience:
        return Patience(seconds, self._process.stop, least)

    def _query(self, *arguments: str, timeout: float) -> Output:
        return self._process.call(*arguments, "--output=json", timeout=timeout, whole_output=True)


def _document(output: Output) -> list[dict[str, Any]]:
    """Return the JSON list in what Helm printed; warnings before or after it are skipped."""
    if output.cut:
        raise HelmFailed(
            f"Helm printed more than {ANSWER_BYTES >> 20} MiB.",
            detail=mask_text(output.text, 500),
            remedy="Look at the releases: helm list --all-namespaces. Remove what does not belong there.",
            code="answer_too_large",
        )
    found = _DOCUMENT.search(output.text)
    try:
        document: list[dict[str, Any]] = json.JSONDecoder().raw_decode(
            output.text, found.start() if found else 0
        )[0]
    except (ValueError, RecursionError) as error:
        raise HelmFailed(
            "Helm did not print the JSON that it was asked for.",
            detail=f"{error}: {mask_text(output.text, 500)}",
            remedy="Check that the version of Helm is a supported one.",
        ) from error
    return document


def _whole_seconds(seconds: float) -> int:
    return max(int(seconds), 1)


def _pending(release: Release, output: Output) -> HelmFailed:
    return HelmFailed(
        f"The release {release.name} is being changed by somebody else.",
        detail=output.words,
        remedy="Wait until that is finished. If nobody is at work on it, repeat the operation.",
        code="release_pending",
    )


def _failed(doing: str, output: Output, namespace: str | None = None) -> HelmFailed:
    if output.untrusted:
        return _untrusted(doing, output)
    if output.signalled and not output.timed_out:
        return HelmKilled(
            f"Helm was killed while it was to {doing}.",
            detail=f"It ended by signal {output.returncode - SIGNALLED}. {output.words}".strip(),
            remedy="Look at the memory of the worker. Then delete the environment, or try again.",
        )
    if output.says(_OTHERS):
        return HelmFailed(
            f"Helm could not {doing}: an object that it makes is there already, and is somebody else's.",
            detail=output.words,
            remedy="See whose it is. Remove it if nobody needs it, then repeat the operation.",
            code="release_conflict",
        )
    late = output.timed_out or output.says("deadline exceeded", "timed out waiting")
    where = f" in {namespace}" if namespace else ""
    look = f"kubectl --namespace {namespace} get pods,events" if namespace else "kubectl get nodes"
    remedy = f"Look at what is not ready: {look}. Then repeat the operation."
    if output.says(*_NO_CHART) or output.crashed or output.led_off_tls:
        remedy = "Have the operator look at the charts in CHART_SOURCE, and at what their registry answers."
    if output.led_off_tls:
        remedy += " Something there leads to an address without TLS, which Helm may not ask."
    return HelmFailed(
        f"Helm could not {doing}{where}" + (" in time." if late else "."),
        detail=output.words,
        remedy=remedy,
        code="release_timeout" if late else "helm_failed",
    )


def _untrusted(doing: str, output: Output) -> HelmFailed:
    at_cluster = output.says("kubernetes cluster unreachable")
    return HelmFailed(
        f"Helm could not {doing}: a certificate was not accepted.",
        detail=output.words,
        remedy=certificates.CLUSTER_REMEDY if at_cluster else certificates.REMEDY,
        code=certificates.CODE,
    )
