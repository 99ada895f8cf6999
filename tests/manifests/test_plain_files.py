"""`make manifests`: the committed files are what the sources say; a version is written into one of them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests.support.clusters import ROOT
from tests.support.manifests import EXAMPLES, MANIFESTS, OVERLAYS, PLAIN, container, find, objects, parse

from beta9_provisioning.local.tools import ensure_tools
from scripts import render_manifests


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the manifests, which the script writes to, as it does to its file of rules."""
    target = tmp_path / "manifests"
    shutil.copytree(MANIFESTS, target)
    monkeypatch.setattr(render_manifests, "MANIFESTS", target)
    monkeypatch.setattr(render_manifests, "RULES", tmp_path / "rules.yml")
    return target


def contents(directory: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in directory.glob("*.yaml")}


def test_there_is_a_source_for_each_plain_file() -> None:
    assert sorted(render_manifests.SOURCES) == PLAIN
    assert OVERLAYS == ["overlays/blue-green", "overlays/development", "overlays/production"]
    assert EXAMPLES == [
        "examples/database-init.yaml",
        "examples/provisioning-config.yaml",
        "examples/provisioning-secrets.yaml",
    ]


@pytest.mark.parametrize("name", PLAIN)
def test_the_plain_files_are_current(name: str) -> None:
    written = (MANIFESTS / name).read_text()
    assert written == render_manifests.render(name, ensure_tools(ROOT).kubectl), "run `make manifests`"


def test_the_plain_file_of_rules_is_current_and_says_what_the_object_says() -> None:
    written = render_manifests.RULES.read_text()
    assert written == render_manifests.rules(), "run `make manifests`"
    (plain,) = parse(written)
    assert plain == find(objects("monitoring.yaml"), "PrometheusRule", "provisioning-alerts")["spec"]


def test_a_changed_source_changes_the_file(copied: Path) -> None:
    before = contents(copied)
    service = copied / "base/api/service.yaml"
    service.write_text(service.read_text().replace("port: 80\n", "port: 81\n"))
    assert render_manifests.main([]) == 0
    changed = {name for name, text in contents(copied).items() if text != before[name]}
    assert changed == {"provisioning-api.yaml", "provisioning-api-v2.yaml"}


def test_a_version_is_written_into_the_second_track_alone(copied: Path) -> None:
    edited = copied / "provisioning-api.yaml"
    edited.write_text(edited.read_text().replace("provisioning.beta9.example.com", "beta9.acme.test"))
    before = contents(copied)
    arguments = ["--version", "v0.2.0", "--registry", "registry.acme.test:5000/beta9"]
    assert render_manifests.main(arguments) == 0
    after = contents(copied)
    assert {name for name in after if after[name] != before[name]} == {"provisioning-api-v2.yaml"}
    deployment = find(parse(after["provisioning-api-v2.yaml"]), "Deployment", "provisioning-api-v2")
    assert container(deployment)["image"] == "registry.acme.test:5000/beta9/provisioning-api:v0.2.0"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--version", "v0.2.0"], "DOCKER_REGISTRY is ''"),
        (["--version", "v0.2.0", "--registry", "https://registry.acme.test"], "DOCKER_REGISTRY is"),
        (["--version", "v0 2", "--registry", "registry.acme.test"], "VERSION is 'v0 2'"),
        (["--version", "a\n  b: c", "--registry", "registry.acme.test"], "VERSION is"),
    ],
)
def test_a_version_or_registry_that_cannot_be_one_is_refused(
    copied: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    before = contents(copied)
    assert render_manifests.main(arguments) == 1
    assert told in capsys.readouterr().err
    assert contents(copied) == before


def test_a_broken_source_is_told_and_nothing_is_written(
    copied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(copied)
    (copied / "base/worker/deployment.yaml").write_text("kind: [")
    assert render_manifests.main([]) == 1
    assert "manifests/overlays/production cannot be rendered" in capsys.readouterr().err
    assert contents(copied) == before
