"""The simulation's Terraform does what genuine Terraform does on the simulated cloud, seed by seed.

A seed says which resource is not finished when, and how the command is ended then. Compared are the state,
what is tainted in it, what stands in the cloud, and the exit.
"""

import json
import os
import random
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from simulation.baton import Baton
from simulation.cloud import READY
from simulation.terraform import State, TerraformRun
from simulation.world import World
from tests.support.waiting import GUARD_SECONDS, until

from beta9_simulator.cloud.api import AwsApi
from beta9_simulator.cloud.principals import find_principal
from beta9_simulator.cloud.sts import assume_role

KEY = "environments/env_1/terraform.tfstate"
ENVIRONMENT = "env_1"
NEVER = 100_000.0
TRUST = (
    '{"Version":"2012-10-17","Statement":'
    '[{"Effect":"Allow","Action":"sts:AssumeRole","Principal":{"Service":"eks.amazonaws.com"}}]}'
)
ZONES = ("use1-az1", "use1-az2")
RESOURCES: dict[str, dict[str, Any]] = {
    "aws_vpc": {"main": {"cidr_block": "10.0.0.0/16"}},
    "aws_subnet": {
        "private": {
            "vpc_id": "${aws_vpc.main.id}",
            "cidr_block": "10.0.1.0/24",
            "availability_zone_id": ZONES[0],
        }
    },
    "aws_iam_role": {"cluster": {"name": "it", "assume_role_policy": TRUST}},
    "aws_s3_bucket": {"main": {"bucket": "objects-of-it"}},
    "aws_nat_gateway": {},
}
"""What both can make: as the simulation's catalog has it, and as the simulated AWS wants it."""
SLOW = ("aws_vpc.main", "aws_subnet.private", "aws_iam_role.cluster", "aws_s3_bucket.main")
ENDS = ("interrupt", "kill", "nothing")


@dataclass(frozen=True)
class Case:
    """What a seed says."""

    unfinished: str
    end: str

    @classmethod
    def of(cls, seed: int) -> "Case":
        chance = random.Random(seed)
        return cls(chance.choice(SLOW), chance.choice(ENDS))


@dataclass
class Seen:
    """What is left when a command has ended."""

    succeeded: bool
    state: set[str]
    tainted: set[str]
    standing: dict[str, bool]
    """Address: whether it is finished."""


def of_state(document: dict[str, Any] | None) -> tuple[set[str], set[str]]:
    entries = State.of(document).entries
    return set(entries), {address for address, entry in entries.items() if entry.is_tainted}


class Genuine:
    """Terraform with its state in S3, on the simulated cloud."""

    def __init__(self, terraform: Any, api: AwsApi, stop_group: list[Any]) -> None:
        self.terraform = terraform
        self.stop_group = stop_group
        seeded = terraform.seeded
        user = find_principal(terraform.store, seeded.access_key)
        assert user is not None
        session = assume_role(terraform.store, user, seeded.role_arn, "test", external_id=seeded.external_id)
        self.s3 = boto3.client(
            "s3",
            region_name="us-east-1",
            endpoint_url=api.url,
            aws_access_key_id=session.access_key,
            aws_secret_access_key=session.secret_key,
            aws_session_token=session.session_token,
            config=Config(s3={"addressing_style": "path"}),
        )
        self.s3.create_bucket(Bucket="state")
        role = {"role_arn": seeded.role_arn, "external_id": seeded.external_id}
        backend = {"bucket": "state", "key": KEY, "region": "us-east-1", "use_path_style": True}
        terraform.extra = {"AWS_ENDPOINT_URL": api.url}
        terraform.write({k: v for k, v in RESOURCES.items() if v}, backend=backend | {"assume_role": role})
        terraform.init()

    def run(self, case: Case) -> Seen:
        store = self.terraform.store
        type_ = case.unfinished.split(".")[0]
        if case.end != "nothing":
            store.set_setting(f"create_seconds:{type_}", str(NEVER))
        running = self.terraform.start("apply", "-json", "-auto-approve", "-input=false", "-lock=false")
        self.stop_group.append(running)
        if case.end != "nothing":
            until(lambda: self._is_quiet(case.unfinished), "all others are made")
            number = signal.SIGINT if case.end == "interrupt" else signal.SIGKILL
            os.killpg(running.pid, number) if number is signal.SIGKILL else os.kill(running.pid, number)
        running.communicate(timeout=GUARD_SECONDS)
        return Seen(running.returncode == 0, *of_state(self._state()), self._standing())

    def _is_quiet(self, unfinished: str) -> bool:
        wanted = {one: one != unfinished for one in reachable(unfinished)}
        return self._standing() == wanted

    def _state(self) -> dict[str, Any] | None:
        found = self.s3.list_objects_v2(Bucket="state").get("Contents", ())
        if KEY not in {one["Key"] for one in found}:
            return None
        document: dict[str, Any] = json.loads(self.s3.get_object(Bucket="state", Key=KEY)["Body"].read())
        return document

    def _standing(self) -> dict[str, bool]:
        found = {}
        for address in addresses():
            for item in self.terraform.store.find(address.split(".")[0]):
                if item.name != "state":
                    found[address] = item.status == "available"
        return found


class Imitated:
    """The simulation's Terraform, in simulated time."""

    def __init__(self, directory: Path, seed: int) -> None:
        self.baton = Baton(seed)
        self.world = World(self.baton)
        self.directory = directory
        directory.mkdir()
        document = {"resource": {k: v for k, v in RESOURCES.items() if v}}
        (directory / "cdk.tf.json").write_text(json.dumps(document))

    def run(self, case: Case) -> Seen:
        cloud = self.world.cloud
        cloud.making = dict.fromkeys(addresses(), 0.0)
        if case.end != "nothing":
            cloud.making[case.unfinished] = NEVER
        child = TerraformRun(self.world, ["terraform", "apply", "-json"], self.directory, ENVIRONMENT)
        child.start()
        # Long enough for all others, and less than the interval of the state's writing.
        self.baton.sleep(15.0)
        if case.end == "interrupt":
            child.stop(NEVER)
        elif case.end == "kill":
            child.end(137)
        self.baton.sleep(60.0)
        standing = {address: things[0].status == READY for address, things in cloud.of(ENVIRONMENT).items()}
        return Seen(child.returncode == 0, *of_state(cloud.read_state(ENVIRONMENT)), standing)


def addresses() -> list[str]:
    return [f"{type_}.{name}" for type_, named in RESOURCES.items() for name in named]


def reachable(unfinished: str) -> list[str]:
    """Return what is asked for while one of them is not finished."""
    waiting = {"aws_vpc.main": {"aws_subnet.private"}}.get(unfinished, set())
    return [one for one in addresses() if one not in waiting]


@pytest.mark.parametrize("seed", range(8))
def test_the_same_seed_leaves_the_same_behind(
    seed: int, terraform: Any, api: AwsApi, stop_group: list[Any], tmp_path: Path
) -> None:
    case = Case.of(seed)
    assert Imitated(tmp_path / "imitated", seed).run(case) == Genuine(terraform, api, stop_group).run(case)
