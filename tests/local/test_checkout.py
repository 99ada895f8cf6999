"""Where the local stack belongs."""

from pathlib import Path

import pytest

from beta9_provisioning.local import checkout
from beta9_provisioning.local.servers import ServiceError

ROOT = Path(__file__).parents[2]


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the package lie in an environment, away from any checkout."""
    place = tmp_path / "lib" / "site-packages" / "beta9_provisioning" / "local" / "checkout.py"
    monkeypatch.setattr(checkout, "__file__", str(place))


def test_a_source_tree_is_found_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert checkout.project_root() == ROOT


@pytest.mark.usefixtures("installed")
def test_an_installed_package_takes_the_checkout_in_which_it_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ServiceError, match="Clone the repository"):
        checkout.project_root()
    monkeypatch.chdir(ROOT)
    assert checkout.project_root() == ROOT
