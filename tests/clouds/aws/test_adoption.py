"""What exists in AWS and not in the state is found and taken into it, in genuine Terraform."""

from __future__ import annotations

import json
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from scripts.examples import EXAMPLES, configuration, given, given_cluster, resources
from tests.clouds.aws.test_inventory import LARGEST
from tests.support.networks import OwnNetwork
from tests.support.stacks import WORKERS_FROM, ZONES, synthesized
from tests.support.waiting import GUARD_SECONDS

from beta9_provisioning.clouds.aws.account import AwsAccount
from beta9_provisioning.clouds.aws.adoption_search import type_of
from beta9_provisioning.clouds.aws.adoption_table import WAYS
from beta9_provisioning.clouds.aws.choices import Choices
from beta9_provisioning.clouds.aws.inventory_kinds import KIND_OF, OWNER_OF
from beta9_provisioning.clouds.aws.provider import SCHEMA_FILE
from beta9_provisioning.clouds.aws.refusals import AwsError
from beta9_provisioning.clouds.aws.terraform_rules import RULES
from beta9_provisioning.clouds.stands import Condition, Known, Standing
from beta9_provisioning.clouds.synthesis import synthesize
from beta9_provisioning.engine.synthesis.subject import Subject
from beta9_provisioning.engine.synthesis.synthesize import Backend
from beta9_provisioning.engine.terraform.plan import Plan
from beta9_provisioning.engine.terraform.terraform import Terraform
from beta9_simulator.cloud.mirror import cli_config, install_mirror

if TYPE_CHECKING:
    from tests.clouds.aws.conftest import Customer

    from beta9_provisioning.schemas.configuration import EnvironmentConfig
    from beta9_simulator.cloud.store import StoredObject

STATE = "terraform.tfstate"
KEY = "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
PASSWORD = "a-password-of-this-test"
AGAIN = {type_ for type_, way in WAYS.items() if way.find is None}


@dataclass
class Built:
    """An example's environment, which genuine Terraform has built with its state on disk."""

    customer: Customer
    account: AwsAccount
    terraform: Terraform
    directory: Path
    stack: Mapping[str, Mapping[str, Any]]

    def known(self, journal: Mapping[str, str] | None = None) -> Known:
        return Known(self.stack, self.terraform.state().ids, journal or {})

    def drop(self, addresses: Collection[str]) -> None:
        """Have the state forget resources."""
        path = self.directory / STATE
        state = json.loads(path.read_text())
        state["serial"] += 1
        state["resources"] = [
            one for one in state["resources"] if f"{one['type']}.{one['name']}" not in addresses
        ]
        path.write_text(json.dumps(state))

    def missing(self) -> set[str]:
        return set(self.stack) - set(self.terraform.state().resources)

    def adopted(self, journal: Mapping[str, str] | None = None) -> Plan:
        """Adopt what the state lacks, and return the plan."""
        found = self.account.standing(self.missing(), self.known(journal))
        assert {one.condition for one in found} <= {Condition.READY}
        self.terraform.adopt({one.address: one.import_id for one in found})
        return self.terraform.plan(GUARD_SECONDS)

    def objects(self) -> dict[str, StoredObject]:
        own = self.customer.target.account_id
        return {one.uid: one for one in self.customer.store.find(account=own) if one.origin == "terraform"}

    def of_type(self, type_: str) -> list[StoredObject]:
        return self.customer.store.find(type_, account=self.customer.target.account_id)

    def put(self, type_: str, phase: str, seconds: float) -> None:
        """Have something go on with all objects of a type for so many seconds."""
        self.customer.store.execute(
            "update objects set phase=?, busy_until=? where type=? and account=?",
            *(phase, time.time() + seconds, type_, self.customer.target.account_id),
        )

    def standing_of(self, address: str, journal: Mapping[str, str] | None = None) -> Standing | None:
        found = self.account.standing([address], self.known(journal))
        return found[0] if found else None


def build(example: str, customer: Customer, tmp_path: Path) -> Built:
    # Names of buckets are unique over all accounts.
    target = replace(customer.target, environment_id=f"env_{customer.target.account_id:0>16}")
    config = configuration(example)
    place = {
        "region": target.region,
        "account_id": target.account_id,
        "role_arn": target.role_arn,
        "external_id": target.external_id,
    }
    config = config.model_copy(update={"cloud": config.cloud.model_copy(update=place)})
    if config.network.vpc_id is not None:
        OwnNetwork(customer.store, target.account_id, config.network)
    if config.cluster.use_existing:
        owned(customer, config)
    chosen = Choices.first(config, ZONES, network=given(config), cluster=given_cluster(config))
    choices = chosen.model_dump(mode="json")
    backend = Backend({"bucket": "b", "key": "k", "region": target.region, "role_arn": target.role_arn})
    made = Subject(config, target.environment_id, choices, backend, WORKERS_FROM)
    document = json.loads((synthesize(made, tmp_path / "out") / "cdk.tf.json").read_text())
    document["terraform"]["backend"] = {"local": {"path": STATE}}
    directory = tmp_path / "work"
    directory.mkdir()
    (directory / "cdk.tf.json").write_text(json.dumps(document))
    install_mirror(tmp_path / "mirror", SCHEMA_FILE)
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "TF_CLI_CONFIG_FILE": str(cli_config(tmp_path / "mirror")),
        "BETA9_SIM_STORE": str(customer.store.path),
        "TF_VAR_redis_password": PASSWORD,
        **{name: value for name, value in os.environ.items() if name.startswith("AWS_")},
    }
    terraform = Terraform(
        binary="terraform",
        directory=directory,
        env=env,
        stop=threading.Event(),
        on_event=lambda _: None,
        rules=RULES,
    )
    terraform.init()
    terraform.apply(GUARD_SECONDS)
    return Built(customer, AwsAccount(target), terraform, directory, resources(document))


def owned(customer: Customer, config: EnvironmentConfig) -> None:
    """Put in the account what a stack names of a cluster that is its user's."""
    network, cluster = given(config), given_cluster(config)
    assert network is not None
    assert cluster is not None
    own = OwnNetwork(customer.store, customer.target.account_id)
    for number, (id_, zone) in enumerate(zip(network.data, ZONES, strict=False)):
        own.subnet(id_, str(zone.id), f"10.20.{210 + number}.0/27")
    for group in cluster.security_groups:
        own.put("aws_security_group", group, vpc_id=network.vpc_id)


@pytest.fixture(params=EXAMPLES)
def built(request: pytest.FixtureRequest, customer: Customer, tmp_path: Path) -> Built:
    return build(request.param, customer, tmp_path)


@pytest.fixture
def small(customer: Customer, tmp_path: Path) -> Built:
    return build("small", customer, tmp_path)


def test_the_table_has_every_type_of_a_stack(tmp_path: Path) -> None:
    """What the inventory knows and no stack has any more was made by releases that adopted nothing."""
    for number, sections in enumerate((LARGEST, {}, {"cloud__kms_key_arn": KEY})):
        document = synthesized(tmp_path / str(number), **sections)
        assert set(document["resource"]) <= WAYS.keys()
    assert WAYS.keys() <= KIND_OF.keys() | OWNER_OF.keys()
    for type_, way in WAYS.items():
        assert bool(way.form) == (way.find is not None) == (not way.why), type_


def test_a_state_that_was_lost_is_made_anew_from_what_exists(built: Built) -> None:
    """Nothing is made twice, nothing is replaced, and the next plan is empty."""
    before = built.objects()
    built.drop(built.stack)
    assert built.missing() == set(built.stack)
    plan = built.adopted()
    check(plan, set(built.stack))
    built.terraform.apply(GUARD_SECONDS, plan)
    built.terraform.adopt({})
    assert built.terraform.plan(GUARD_SECONDS).actions == {}
    same(built, before)


@pytest.mark.parametrize("seed", range(2))
def test_parts_of_a_state_that_were_lost_are_found(small: Built, seed: int) -> None:
    draw = random.Random(seed)
    before = small.objects()
    for _ in range(2):
        lost = {address for address in small.stack if draw.random() < draw.choice((0.1, 0.5, 0.9))}
        small.drop(lost)
        plan = small.adopted()
        check(plan, lost)
        small.terraform.apply(GUARD_SECONDS, plan)
        small.terraform.adopt({})
        assert small.terraform.plan(GUARD_SECONDS).actions == {}
    same(small, before)


def test_each_type_is_looked_up_alone(small: Built) -> None:
    """Whatever else the state has or lacks: one is told, by an id of its provider's form."""
    known = small.known()
    for address in small.stack:
        without = {other: id_ for other, id_ in known.state.items() if other != address}
        found = small.account.standing([address], replace(known, state=without))
        if type_of(address) in AGAIN:
            assert found == []
        else:
            assert [(one.address, one.condition) for one in found] == [(address, Condition.READY)]


def test_what_the_state_has_elsewhere_is_not_taken(customer: Customer, tmp_path: Path) -> None:
    """Addresses for NAT have one name: which is whose, the gateways say."""
    built = build("production", customer, tmp_path)
    addresses = [address for address in built.stack if type_of(address) == "aws_eip"]
    assert len(addresses) == 3
    ids = {address: built.terraform.state().ids[address] for address in addresses}
    found = built.account.standing(addresses, Known(built.stack, {}, {}))
    # Without the subnets' ids no gateway says anything, and each address is one of the three.
    assert {one.import_id for one in found} == set(ids.values())
    built.drop(addresses)
    assert {one.address: one.import_id for one in built.account.standing(addresses, built.known())} == ids


def test_what_is_being_made_or_deleted_is_told_so(small: Built) -> None:
    """A VPC, gateway or subnet that is being deleted does not stand; what has a name keeps it until then."""
    named = ["aws_eks_cluster", "aws_eks_node_group", "aws_eks_addon", "aws_db_instance"]
    named += ["aws_elasticache_replication_group", "aws_elasticache_user", "aws_elasticache_user_group"]
    for phase, told, types in (
        ("creating", Condition.UNFINISHED, [*named, "aws_vpc", "aws_subnet", "aws_nat_gateway"]),
        ("deleting", Condition.LEAVING, named),
        ("deleting", None, ["aws_nat_gateway"]),
    ):
        for type_ in types:
            small.put(type_, phase, 3600)
            address = next(one for one in small.stack if type_of(one) == type_)
            found = small.standing_of(address)
            assert (found.condition if found else None) == told, (type_, phase)
            small.put(type_, "creating", -1)


def test_what_failed_for_good_is_told_and_can_be_deleted(small: Built) -> None:
    """What was never complete holds nothing; of a database and the like the journal knows better."""
    for address in (
        "aws_eks_addon.coredns",
        "aws_eks_node_group.main",
        "aws_nat_gateway.main",
        "aws_elasticache_replication_group.main",
        "aws_db_instance.main",
    ):
        type_ = type_of(address)
        for found in small.of_type(type_):
            small.customer.store.edit(found, failed="it broke")
        told = small.standing_of(address)
        assert told is not None
        assert (told.condition, told.holds_data) == (Condition.FAILED, False), address
        kept = small.standing_of(address, {address: told.import_id})
        assert kept is not None
        holders = ("aws_db_instance", "aws_elasticache_replication_group")
        assert kept.holds_data == (type_ in holders)
        small.account.remove(told, small.known(), GUARD_SECONDS)
        assert small.standing_of(address) is None


def test_what_is_not_deleted_alone_is_told(small: Built) -> None:
    odd = Standing("aws_iam_role.node", "name", Condition.FAILED)
    with pytest.raises(AwsError) as caught:
        small.account.remove(odd, small.known(), 0)
    assert caught.value.code == "not_removed"


def check(plan: Plan, lost: Collection[str]) -> None:
    """See that everything lost is imported, but for what is made by requests that may be repeated."""
    assert plan.destroyed() == ()
    created = {address for address, actions in plan.actions.items() if "create" in actions}
    assert {type_of(address) for address in created} <= AGAIN
    assert plan.imported | created == set(lost)


def same(built: Built, before: Mapping[str, StoredObject]) -> None:
    """See that the cloud has what it had: requests that may be repeated count as the same object."""
    kept = {uid for uid, one in before.items() if one.type not in AGAIN}
    after = built.objects()
    assert kept <= set(after)
    names = Counter((one.type, one.id) for one in before.values())
    assert Counter((one.type, one.id) for one in after.values()) == names
