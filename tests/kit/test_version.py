"""The version where the product is not installed."""

from importlib import metadata
from pathlib import Path

import pytest

from beta9_provisioning.kit import version


@pytest.fixture(autouse=True)
def uninstalled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the installed distribution."""

    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)


def test_a_checkout_that_is_not_installed_knows_its_version(monkeypatch: pytest.MonkeyPatch) -> None:
    assert f'version = "{version.version()}"' in (Path(__file__).parents[2] / "pyproject.toml").read_text()


def test_sources_that_were_copied_do_not(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(
        version, "__file__", str(tmp_path / "src" / "beta9_provisioning" / "kit" / "version.py")
    )
    assert version.version() == "unknown"
