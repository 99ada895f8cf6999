"""docs/disaster-recovery.md: commands for a cluster are run as they stand, and it says which are."""

import base64

from tests.manifests.conftest import Operator
from tests.support.page import DEPLOYMENT, DISASTER_RECOVERY, counts, prose, script, sections


def test_the_page_says_how_many_of_its_commands_are_run() -> None:
    found = counts(DISASTER_RECOVERY)
    assert set(found) == {"local", "cluster", "elsewhere"}
    assert (
        f"Of its {found.total()} commands {found['local']} are run on PostgreSQL and {found['cluster']} "
        "against the simulated cluster"
    ) in prose(DISASTER_RECOVERY)


def test_the_commands_for_a_cluster_work_as_typed(deployed: Operator) -> None:
    deployed.types(script(DISASTER_RECOVERY, "cluster"))
    assert backup_image(deployed) == "your-registry.com/beta9/provisioning-api:v0.2.0"
    secret = deployed.get("secret", "provisioning-secrets")["data"]["database-url"]
    assert b"@new-host:5432/" in base64.b64decode(secret)
    template = deployed.get("deployment", "provisioning-api")["spec"]["template"]["metadata"]
    assert "kubectl.kubernetes.io/restartedAt" in template["annotations"]
    assert deployed.replicas("provisioning-worker") == 2


def backup_image(operator: Operator) -> str:
    job = operator.get("cronjob", "provisioning-backup")["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    return str(job["containers"][0]["image"])


def test_an_update_takes_the_backups_along_and_back(deployed: Operator) -> None:
    deployed.types(
        'sed -i "s|beta9-provisioning-api:latest|$DOCKER_REGISTRY/provisioning-api:v0.2.0|" '
        "manifests/backup.yaml\nkubectl apply -f manifests/backup.yaml"
    )
    *update, back = (b.text for b in sections(DEPLOYMENT)["Update and go back"] if b.where == "cluster")
    for commands, version in (("\n".join(update), "v0.3.0"), (back, "v0.2.0")):
        deployed.types(commands)
        assert backup_image(deployed) == f"your-registry.com/beta9/provisioning-api:{version}"
        file = (deployed.home / "manifests" / "backup.yaml").read_text()
        assert f"your-registry.com/beta9/provisioning-api:{version}\n" in file
