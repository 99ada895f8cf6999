"""The customer's account as the worker uses it, and one environment from nothing to nothing."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.support.configs import config
from tests.support.stacks import WORKERS_FROM
from tests.support.waiting import GUARD_SECONDS

from beta9_provisioning.clouds.aws.account import AwsAccount, AwsTarget
from beta9_provisioning.clouds.aws.cloud import Aws
from beta9_provisioning.clouds.aws.provider import SCHEMA_FILE
from beta9_provisioning.clouds.aws.refusals import AwsError
from beta9_provisioning.clouds.aws.terraform_rules import RULES
from beta9_provisioning.clouds.synthesis import synthesize
from beta9_provisioning.engine.kubernetes.kubernetes import Kubernetes
from beta9_provisioning.engine.synthesis.subject import Subject
from beta9_provisioning.engine.synthesis.synthesize import Backend
from beta9_provisioning.engine.terraform.terraform import Terraform
from beta9_simulator.cloud.clusters import StoreClusters
from beta9_simulator.cloud.mirror import cli_config, install_mirror
from beta9_simulator.cluster.server import serve

if TYPE_CHECKING:
    from tests.clouds.aws.conftest import Customer
    from types_boto3_s3 import S3Client

PLANNED = {
    "ec2:vpc",
    "ec2:subnet",
    "ec2:natgateway",
    "ec2:elastic-ip",
    "ec2:security-group",
    "ec2:internet-gateway",
    "ec2:route-table",
    "eks:cluster",
    "rds:db",
    "elasticache:replicationgroup",
    "iam:role",
    "s3:bucket",
}


def cloud(customer: Customer, **changes: str | None) -> AwsAccount:
    return AwsAccount(replace(customer.target, **changes))  # type: ignore[arg-type]


def test_access(customer: Customer) -> None:
    cloud(customer).check_access((), None)


def test_access_refused(customer: Customer) -> None:
    with pytest.raises(AwsError) as caught:
        cloud(customer, external_id="wrong").check_access((), None)
    assert caught.value.code == "role_refused"


def test_a_role_of_another_account(customer: Customer) -> None:
    with pytest.raises(AwsError) as caught:
        cloud(customer, account_id="210987654321").check_access((), None)
    assert caught.value.code == "account_mismatch"
    assert customer.seeded.account in caught.value.message
    assert "210987654321" in caught.value.detail


def test_nothing_is_asked_before_the_first_call(customer: Customer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    own = cloud(customer)
    with pytest.raises(AwsError) as caught:
        own.check_access((), None)
    assert caught.value.code == "aws_unreachable"


def test_the_backend_says_where_the_state_is(customer: Customer) -> None:
    assert cloud(customer).ensure_state_backend() == Backend(
        {
            "bucket": f"beta9-tfstate-{customer.seeded.account}-us-east-1",
            "key": "environments/env_0123456789abcdef/terraform.tfstate",
            "region": "us-east-1",
            "role_arn": customer.seeded.role_arn,
            "external_id": customer.seeded.external_id,
            "session_name": "beta9-provisioning-env_0123456789abcdef",
            "path_style": True,
        },
    )


def secret_answer(own: AwsAccount, text: str) -> None:
    client = own._session.client("secretsmanager")
    client.meta.events.register(
        f"before-call.{client.meta.service_model.service_id.hyphenize()}.GetSecretValue",
        lambda **_: (type("Answer", (), {"status_code": 200})(), {"SecretString": text}),
    )


@pytest.mark.parametrize("text", ["", "no json", "[]", '{"username": "pw-1"}', '"pw-1"'])
def test_a_secret_of_another_form_is_not_quoted(customer: Customer, text: str) -> None:
    own = cloud(customer)
    secret_answer(own, text)
    with pytest.raises(AwsError) as caught:
        own.database_credentials({"database_secret_arn": "arn:of:secret"})
    assert caught.value.code == "secret_unreadable"
    assert caught.value.__cause__ is None
    assert "pw-1" not in caught.value.message + caught.value.detail + caught.value.remedy


@pytest.fixture
def kubernetes(customer: Customer) -> Iterator[None]:
    """The simulated Kubernetes API for the clusters in the simulated cloud."""
    server = serve(StoreClusters(customer.store))
    customer.store.set_setting("kube_url", server.url)
    customer.store.set_setting("kube_ca", server.ca_pem)
    yield
    server.stop()


def terraform_in(directory: Path, customer: Customer, tmp_path: Path, password: str) -> Terraform:
    mirror = tmp_path / "mirror"
    install_mirror(mirror, SCHEMA_FILE)
    aws = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    return Terraform(
        binary="terraform",
        directory=directory,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "TF_CLI_CONFIG_FILE": str(cli_config(mirror)),
            "BETA9_SIM_STORE": str(customer.store.path),
            "TF_VAR_redis_password": password,
            **aws,
        },
        stop=threading.Event(),
        on_event=lambda _event: None,
        rules=RULES,
    )


@pytest.mark.usefixtures("kubernetes")
def test_an_environment_comes_and_goes(customer: Customer, tmp_path: Path) -> None:
    """State bucket, Terraform, cluster, database secret, inventory; and then nothing is left."""
    target: AwsTarget = customer.target
    own = AwsAccount(target)
    backend = own.ensure_state_backend()
    wanted = config(
        cloud={
            "provider": "aws",
            "region": target.region,
            "account_id": target.account_id,
            "role_arn": target.role_arn,
            "external_id": target.external_id,
        }
    )
    choices = own.choose(wanted)
    stack = synthesize(
        Subject(wanted, target.environment_id, choices, backend, WORKERS_FROM), tmp_path / "cdktf.out"
    )
    drawn = own.keep_secrets(wanted, choices)["redis_password"]
    assert own.keep_secrets(wanted, choices) == {"redis_password": drawn}
    terraform = terraform_in(stack, customer, tmp_path, drawn)
    terraform.init()
    terraform.apply(timeout=120)
    outputs = terraform.outputs()

    assert {item.kind for item in own.leftovers()} >= PLANNED
    user, password = own.database_credentials(outputs)
    assert user == outputs["database_username"]
    assert len(password) > 8

    access = own.cluster_access()
    assert access.endpoint == outputs["cluster_endpoint"]
    expected = Aws().node_count(choices)
    with closing(Kubernetes(access, threading.Event())) as kubernetes:
        assert len(kubernetes.wait_nodes_ready(expected, timeout=GUARD_SECONDS)) == expected

    s3: S3Client = own._session.client("s3")
    state = s3.get_object(Bucket=backend.arguments["bucket"], Key=backend.arguments["key"])["Body"].read()
    assert json.loads(state)["resources"]
    assert drawn.encode() not in state

    last = {"aws_vpc", "aws_subnet", "aws_internet_gateway", "aws_security_group", "aws_s3_bucket"}
    first = [one for one in terraform.resources() if one.split(".", 1)[0] not in last]
    assert own.sweep(0) == [], "nothing is swept while the cluster stands"
    cluster, database = own.lift_protection(0)[::-1]
    assert (cluster.split()[0], database.split()[0]) == ("cluster", "database")
    assert own.lift_protection(0) == []
    terraform.destroy(timeout=120, targets=first)
    swept = {one.split(" ", 1)[0] for one in own.sweep(0)}
    assert swept >= {"ec2:network-interface", "ec2:security-group"}
    terraform.destroy(timeout=120)
    assert {item.kind for item in own.leftovers()} == {"secretsmanager:secret"}
    own.delete_secrets()
    own.delete_secrets()
    assert own.sweep(0) == []
    assert own.leftovers() == []
    own.purge_state()
    assert backend.arguments["bucket"] not in [bucket.get("Name") for bucket in s3.list_buckets()["Buckets"]]
