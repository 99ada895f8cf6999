"""A cluster that nobody could reach is refused before anything is made."""

from pathlib import Path

from tests.operations.run.provisions import Provision

from beta9_provisioning.kit.database import Sessions
from beta9_provisioning.lifecycle import OperationStatus
from beta9_provisioning.operations.steps.infrastructure import check_access
from beta9_provisioning.settings import Settings


def test_a_provision_without_anybodys_networks_is_refused(sessions: Sessions, tmp_path: Path) -> None:
    provision = Provision(sessions, tmp_path)
    provision.settings = Settings(workdir_base=tmp_path)
    assert provision.run(check_access) is OperationStatus.FAILED
    assert provision.error["code"] == "api_unreachable"
    assert "cluster.api.public_from" in provision.error["message"]
    assert "CONTROL_PLANE_CIDRS" in provision.error["message"]
    assert list(tmp_path.iterdir()) == []
