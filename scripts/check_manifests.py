"""Looks for risky settings in the manifests with checkov: `make check-manifests`.

Checkov lives in a virtual environment of its own, `.tools/checkov`, because its pins do not agree with ours.
It sees what is applied: the plain files, and what kustomize makes of the overlay for development. A run that
looked at nothing, or could not read something, fails as well.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from scripts.render_manifests import MANIFESTS, ROOT, SOURCES

from beta9_provisioning.local.tools import ensure_tools

REQUIREMENTS = ROOT / "requirements-checkov.txt"
PLACE = ROOT / ".tools" / "checkov"
_OVERLAY = "overlays/development"


class CheckError(Exception):
    """The manifests could not be checked, or are not as they should be."""


def install() -> Path:
    """Checkov's path; fetched first unless it is there in the pinned versions.

    Raises:
        CheckError: it could not be installed.
    """
    wanted, marker = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest(), PLACE / ".source"
    if not marker.is_file() or marker.read_text() != wanted:
        print(f"Installing checkov into {PLACE.relative_to(ROOT)}", flush=True)
        venv.create(PLACE, clear=True, symlinks=True)
        into = ["--python", str(PLACE / "bin/python"), "--require-hashes", "-r", str(REQUIREMENTS)]
        done = subprocess.run([ROOT / ".venv/bin/uv", "pip", "install", "--quiet", *into], check=False)
        if done.returncode:
            raise CheckError(
                "checkov could not be installed. Is the Python package index reachable from here?"
            )
        marker.write_text(wanted)
    return PLACE / "bin/checkov"


def collect(target: Path) -> int:
    """Copy what is applied into a directory; returns how many resources checkov has to see in it.

    Raises:
        CheckError: a file is missing, or is not what kubectl could read.
    """
    try:
        texts = {name: (MANIFESTS / name).read_text() for name in SOURCES}
        command = [str(ensure_tools(ROOT).kubectl), "kustomize", str(MANIFESTS / _OVERLAY)]
        texts["development.yaml"] = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        kinds = [
            body["kind"] for text in texts.values() for body in YAML(typ="safe", pure=True).load_all(text)
        ]
    except (OSError, subprocess.CalledProcessError, YAMLError, KeyError, TypeError) as error:
        raise CheckError(f"the manifests cannot be read: {error}") from error
    for name, text in texts.items():
        (target / name).write_text(text)
    # Of a Deployment it looks at the pods as well, as a resource of their own.
    return len(kinds) + kinds.count("Deployment")


def judge(report: dict[str, Any], resources: int) -> str:
    """What to say of checkov's report on so many resources.

    Raises:
        CheckError: checks failed, or it did not look at all of them.
    """
    summary = report.get("summary", report)
    failed = (report.get("results") or {}).get("failed_checks") or []
    if failed:
        lines = [f"{c['check_id']} {c['resource']}: {c['check_name']}" for c in failed]
        remedy = "Repair it, or skip it in .checkov.yaml with a reason."
        raise CheckError("\n".join(["checkov found:", *lines, remedy]))
    if not summary.get("passed") or summary.get("resource_count") != resources:
        raise CheckError(
            f"checkov looked at other things than the {resources} resources: {json.dumps(summary)}"
        )
    return f"checkov: {summary['passed']} checks of {resources} objects and pods passed, 0 failed"


def main() -> int:
    """Check; returns the exit code."""
    try:
        checkov = install()
        with tempfile.TemporaryDirectory() as scratch:
            resources = collect(Path(scratch))
            options = ["--config-file", str(ROOT / ".checkov.yaml"), "--output", "json", "--compact"]
            command = [str(checkov), "--directory", scratch, *options, "--skip-download"]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        try:
            report = json.loads(done.stdout)
        except ValueError as error:
            raise CheckError(f"checkov gave no report: {done.stdout}{done.stderr}") from error
        print(judge(report, resources))
    except CheckError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
