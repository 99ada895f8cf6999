"""docker-compose.yaml as far as it can be judged without an engine."""

from typing import Any

import pytest
from ruamel.yaml import YAML
from tests.support.simulated import ACCOUNT, EXTERNAL_ID, ROOT

from beta9_provisioning.settings import Settings

FILE: dict[str, Any] = YAML(typ="safe", pure=True).load((ROOT / "docker-compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = FILE["services"]


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_can_do_little_and_is_bounded(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "cap_add" not in service
    assert "mem_limit" in service
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))
    assert not any("docker.sock" in volume for volume in service.get("volumes", ()))
    assert ":" in service["image"]


def test_the_file_says_nothing_that_compose_1_29_refuses() -> None:
    assert "name" not in FILE


def test_the_simulated_product_shares_neither_database_nor_queue_nor_env() -> None:
    genuine = {SERVICES[name]["environment"]["DATABASE_URL"] for name in ("api", "worker")}
    simulated = {
        SERVICES[name]["environment"]["DATABASE_URL"]
        for name in ("database-simulated", "api-simulated", "worker-simulated")
    }
    assert (len(genuine), len(simulated)) == (1, 1)
    assert genuine != simulated
    queues = {SERVICES[name]["environment"]["REDIS_URL"] for name in ("worker", "worker-simulated")}
    assert len(queues) == 2
    assert [name for name, service in SERVICES.items() if "env_file" in service] == ["api", "worker"]


def test_the_simulated_clouds_customer_is_that_of_the_example() -> None:
    command = SERVICES["cloud"]["command"]
    assert f"--account={ACCOUNT}" in command
    assert f"--external-id={EXTERNAL_ID}" in command


def test_what_the_containers_decide_is_a_setting() -> None:
    given = {
        name for service in ("api", "worker", "api-simulated") for name in SERVICES[service]["environment"]
    }
    own = {name for name in given if not name.startswith("AWS_")}
    assert own <= {name.upper() for name in Settings.model_fields}
