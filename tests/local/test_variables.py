"""The stack's processes get nothing of the user's that could reach a real account."""

import os
from pathlib import Path

import pytest

from beta9_provisioning.local import variables
from beta9_provisioning.local.variables import Programs
from beta9_simulator.handle import Simulator

PROGRAMS = Programs(Path("/t/terraform"), Path("/t/helm"), Path("/t/kubectl"))
SIMULATOR = Simulator(
    1, "http://aws", "https://kube", "http://control", "AKIAX", "secret", "/s", "/rc", "/charts"
)


def _worker() -> dict[str, str]:
    return variables.worker(
        variables.base(PROGRAMS),
        SIMULATOR,
        PROGRAMS,
        database_url="postgresql://x",
        redis_url="redis://x",
        directory=Path("/stack"),
    )


def test_nothing_of_the_users_clouds_gets_in(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = {
        "AWS_PROFILE": "prod",
        "AWS_ACCESS_KEY_ID": "AKIAREAL",
        "AWS_SESSION_TOKEN": "real",
        "AWS_WEB_IDENTITY_TOKEN_FILE": "/real",
        "AWS_ENDPOINT_URL_S3": "https://real",
        "TF_CLI_CONFIG_FILE": "/real",
        "TF_VAR_x": "real",
        "TF_LOG": "trace",
        "KUBECONFIG": "/real",
        "GOOGLE_APPLICATION_CREDENTIALS": "/real",
        "HTTPS_PROXY": "http://real",
    }
    for name, value in mine.items():
        monkeypatch.setenv(name, value)
    worker = _worker()
    assert not {"real", "prod", "AKIAREAL", "/real", "https://real", "http://real"} & set(worker.values())
    assert worker["AWS_ACCESS_KEY_ID"] == "AKIAX"
    assert worker["AWS_ENDPOINT_URL"] == "http://aws"
    assert worker["AWS_CONFIG_FILE"] == worker["AWS_SHARED_CREDENTIALS_FILE"] == os.devnull
    assert worker["AWS_EC2_METADATA_DISABLED"] == "true"
    assert not [name for name in worker if name.startswith("TF_")]


def test_settings_of_the_service_get_in_but_for_the_stacks_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOG_LEVEL", "DEBUG")
    monkeypatch.setenv("MAX_ENVIRONMENTS_PER_USER", "3")
    monkeypatch.setenv("TERRAFORM_CLI_CONFIG", "/mine")
    monkeypatch.setenv("CHART_SOURCE", "oci://mine")
    worker = _worker()
    assert (worker["LOG_LEVEL"], worker["MAX_ENVIRONMENTS_PER_USER"]) == ("DEBUG", "3")
    assert worker["TERRAFORM_CLI_CONFIG"] == "/rc"
    assert worker["CHART_SOURCE"] == "/charts"


def test_a_users_shell_finds_the_programs() -> None:
    shell = variables.user("http://localhost:1", SIMULATOR, PROGRAMS)
    assert shell["BETA9_PROVISIONING_URL"] == "http://localhost:1"
    assert shell["PATH"].split(os.pathsep)[1] == "/t"
