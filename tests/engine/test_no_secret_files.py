"""Secrets that tools get and print are in memory: whoever is killed at any moment leaves no file with one."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

from tests.support.waiting import until

from beta9_provisioning.engine.helm.helm import Helm
from beta9_provisioning.engine.helm.release import Release
from beta9_provisioning.engine.terraform.terraform import Terraform

SECRETS = (b"values-s3cret", b"token-s3cret", b"printed-s3cret")
# Tells that it has everything, repeats it, and waits for its end.
TOOL = """#!/bin/sh
trap 'exit 1' TERM INT
cat "$KUBECONFIG" - || exit 2
echo '{"@message": "password=printed-s3cret", "type": "log"}'
touch %s
while :; do sleep 0.1; done
"""
WORKER = """
import sys, threading
from pathlib import Path
from tests.engine.test_no_secret_files import helm, terraform
{"helm": helm, "terraform": terraform}[sys.argv[1]](Path(sys.argv[2]))
"""


def helm(directory: Path) -> None:
    tool = Helm(
        binary=directory / "tool",
        directory=directory,
        kubeconfig=lambda: "token-s3cret",
        env=os.environ,
        stop=threading.Event(),
        chart_source="/charts",
    )
    tool.install(Release("x", "x", "x", "1", {"password": "values-s3cret"}, timeout=600.0))


def terraform(directory: Path) -> None:
    tool = Terraform(
        binary=directory / "tool",
        directory=directory,
        env={**os.environ, "KUBECONFIG": os.devnull},
        stop=threading.Event(),
        on_event=lambda _: None,
    )
    tool.apply(600)


def killed(tool: str, directory: Path) -> list[Path]:
    """Kill a worker while its tool is at work; return the files that hold a secret, before and after."""
    started = directory / "started"
    (directory / "tool").write_text(TOOL % started)
    (directory / "tool").chmod(0o755)
    worker = subprocess.Popen(
        [sys.executable, "-c", WORKER, tool, str(directory)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": str(directory)},
    )
    try:
        until(lambda: started.exists() or worker.poll() is not None, "the tool is at work")
        assert worker.poll() is None
        before = holding_a_secret(directory)
    finally:
        worker.kill()
        worker.wait()
    return before + holding_a_secret(directory)


def holding_a_secret(directory: Path) -> list[Path]:
    files = [path for path in directory.rglob("*") if path.is_file() and path.name != "tool"]
    return [path for path in files if any(secret in path.read_bytes() for secret in SECRETS)]


def test_a_worker_killed_in_mid_install_leaves_no_values_and_no_kubeconfig(tmp_path: Path) -> None:
    assert killed("helm", tmp_path) == []


def test_a_worker_killed_in_mid_apply_leaves_no_log_with_what_a_provider_printed(tmp_path: Path) -> None:
    assert killed("terraform", tmp_path) == []
