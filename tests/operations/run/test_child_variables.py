"""A worker's own environment does not decide what its Terraform and Helm do."""

import json
import threading
from pathlib import Path

import pytest

from beta9_provisioning.clouds.registry import CLOUDS
from beta9_provisioning.engine.processes import child_variables
from beta9_provisioning.engine.terraform.terraform import Terraform
from beta9_provisioning.local.tools import find_terraform
from beta9_provisioning.operations.run.context import child_environment
from beta9_provisioning.schemas.configuration import Provider
from beta9_provisioning.settings import Settings

STEERING = {
    "TF_WORKSPACE": "elsewhere",
    "TF_CLI_ARGS": "-no-such-flag",
    "TF_CLI_ARGS_apply": "-no-such-flag",
    "TF_DATA_DIR": "/nonexistent/data",
    "TF_VAR_a": "b",
    "TF_LOG": "TRACE",
    "TF_PLUGIN_CACHE_DIR": "/nonexistent/cache",
    "TF_INPUT": "1",
    "TF_REATTACH_PROVIDERS": "{",
    "HELM_DRIVER": "memory",
}


def terraform(directory: Path, source: dict[str, str]) -> Terraform:
    (directory / "cdk.tf.json").write_text(json.dumps({"resource": {"terraform_data": {"a": {}}}}))
    env = child_environment(source, Settings(workdir_base=directory), CLOUDS[Provider.AWS].child_variables)
    return Terraform(
        binary=find_terraform(),
        directory=directory,
        env=env,
        stop=threading.Event(),
        on_event=lambda _: None,
    )


def test_variables_that_steer_terraform_change_nothing(tmp_path: Path) -> None:
    """TF_WORKSPACE on one of two workers left 32 resources, TF_CLI_ARGS failed every operation."""
    harmless = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    steered = terraform(tmp_path, harmless | STEERING)
    steered.init()
    steered.apply(60)
    plain = terraform(tmp_path, harmless)
    assert plain.resources() == ["terraform_data.a"]
    assert not (tmp_path / "terraform.tfstate.d").exists()


def test_what_is_ignored_is_named_but_what_a_tool_gets_is_not() -> None:
    source = STEERING | {"HELM_REGISTRY_CONFIG": "/r.json", "AWS_REGION": "us-east-1", "PATH": "/bin"}
    assert child_variables.ignored(source) == sorted(STEERING)


@pytest.mark.parametrize(
    "name",
    [
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "AWS_PROFILE",
        "AWS_ENDPOINT_URL_S3",
        "AWS_CA_BUNDLE",
        "AWS_EC2_METADATA_DISABLED",
        "AWS_RETRY_MODE",
    ],
)
def test_terraform_finds_the_cloud_as_the_worker_does(name: str) -> None:
    cloud = CLOUDS[Provider.AWS]
    assert child_variables.chosen({name: "x"}, cloud.child_variables) == {name: "x"}


def test_an_arbitrary_variable_of_the_cloud_is_not_passed_on_and_is_named() -> None:
    names = CLOUDS[Provider.AWS].child_variables
    source = {"AWS_SECRETS_OF_OURS": "x", "AWS_PROFILE": "p", "AWS_ENDPOINT_URL_S3": "u"}
    assert "AWS_SECRETS_OF_OURS" not in child_variables.chosen(source, names)
    assert child_variables.ignored(source, names) == ["AWS_SECRETS_OF_OURS"]


def test_the_table_of_helm_has_the_registrys_credentials_and_no_others() -> None:
    source = {"HELM_REGISTRY_CONFIG": "/r.json", "HOME": "/root", "AWS_SECRET_ACCESS_KEY": "x"}
    assert child_variables.chosen(source, child_variables.HELM) == {"HELM_REGISTRY_CONFIG": "/r.json"}
