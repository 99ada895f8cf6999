"""The genuine hashicorp/aws provider, 3.39.0 as published on PyPI, under Terraform on moto."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from moto.server import ThreadedMotoServer

from beta9_provisioning.engine.errors import Stopped
from beta9_provisioning.engine.progress import Progress
from beta9_provisioning.engine.terraform import Terraform
from beta9_provisioning.engine.terraform_errors import TerraformFailed
from beta9_provisioning.engine.terraform_events import TerraformEvent

PACKAGE = "terraform-provider-aws_3.39.0_linux_amd64.zip"


@pytest.fixture(scope="module")
def aws() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="module")
def rc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CLI configuration whose mirror holds the provider's package, as published."""
    root = tmp_path_factory.mktemp("mirror")
    packages = root / "registry.terraform.io/hashicorp/aws"
    packages.mkdir(parents=True)
    (packages / PACKAGE).symlink_to(str(files("cloudrail") / "terraform_plugins" / PACKAGE))
    rc = root / "terraformrc"
    rc.write_text(f'provider_installation {{ filesystem_mirror {{ path = "{root}" }} }}')
    return rc


class Bench:
    """A directory with the provider installed; one for all tests of the module: installing unpacks 200 MB."""

    def __init__(self, directory: Path, aws: str, rc: Path) -> None:
        self.directory = directory
        self.stop = threading.Event()
        self.on_event: Any = lambda _: None
        self.aws = aws
        self.terraform = Terraform(
            binary="terraform",
            directory=directory,
            env={"PATH": os.environ["PATH"], "HOME": str(directory), "TF_CLI_CONFIG_FILE": str(rc)},
            stop=self.stop,
            on_event=lambda event: self.on_event(event),
        )

    def write(self, resources: dict[str, Any]) -> None:
        provider = {
            "region": "us-east-1",
            "access_key": "AKIAEXAMPLE",
            "secret_key": "example",
            "skip_credentials_validation": True,
            "skip_metadata_api_check": True,
            "skip_requesting_account_id": True,
            "endpoints": [{"ec2": self.aws, "iam": self.aws, "sts": self.aws}],
        }
        document = {
            "terraform": {"required_providers": {"aws": {"source": "hashicorp/aws"}}},
            "provider": {"aws": provider},
            "resource": resources,
        }
        (self.directory / "cdk.tf.json").write_text(json.dumps(document))


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory, aws: str, rc: Path) -> Bench:
    bench = Bench(tmp_path_factory.mktemp("workdir"), aws, rc)
    bench.write({"aws_vpc": {"main": {"cidr_block": "10.0.0.0/16"}}})
    bench.terraform.init()
    return bench


TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "eks.amazonaws.com"}}
        ],
    }
)
NETWORK: dict[str, dict[str, Any]] = {
    "aws_vpc": {"main": {"cidr_block": "10.0.0.0/16"}},
    "aws_subnet": {
        "private": {
            "count": 4,
            "vpc_id": "${aws_vpc.main.id}",
            "cidr_block": "${cidrsubnet(aws_vpc.main.cidr_block, 8, count.index)}",
        }
    },
    "aws_iam_role": {"cluster": {"name": "beta9-cluster", "assume_role_policy": TRUST}},
}


def test_network_and_role_come_and_go(bench: Bench) -> None:
    progress = Progress()
    bench.on_event = progress.add
    bench.write(NETWORK)
    bench.terraform.apply(120)
    expected = {"aws_vpc.main", "aws_iam_role.cluster", *(f"aws_subnet.private[{i}]" for i in range(4))}
    assert (progress.total, progress.done) == (6, 6)
    assert progress.completed_addresses == expected

    duplicate = {"again": {"name": "beta9-cluster", "assume_role_policy": TRUST}}
    bench.write({**NETWORK, "aws_iam_role": {**NETWORK["aws_iam_role"], **duplicate}})
    with pytest.raises(TerraformFailed, match=r"at aws_iam_role\.again: .*EntityAlreadyExists") as caught:
        bench.terraform.apply(120)
    assert caught.value.code == "provider_refused"

    gone = Progress()
    bench.on_event = gone.add
    bench.terraform.destroy(120)
    assert gone.completed_addresses == expected
    assert bench.terraform.resources() == []


def test_a_stop_in_the_middle_of_creating_loses_nothing(bench: Bench) -> None:
    seen: list[TerraformEvent] = []

    def take(event: TerraformEvent) -> None:
        seen.append(event)
        if event.type == "apply_complete" and event.address == "aws_vpc.main":
            bench.stop.set()

    bench.on_event = take
    bench.write(NETWORK)
    with pytest.raises(Stopped):
        bench.terraform.apply(120)
    bench.stop.clear()
    started = {event.address for event in seen if event.type == "apply_start"}
    kept = set(bench.terraform.resources())
    assert "aws_vpc.main" in kept
    assert kept <= started
    bench.on_event = lambda _: None
    bench.terraform.destroy(120)
    assert bench.terraform.resources() == []
