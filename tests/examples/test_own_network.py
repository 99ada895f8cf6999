"""A VPC of its owner's, made by the example's Terraform: an environment leaves it as it was."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.test_product import Product, running
from tests.examples.conftest import Person, administrator
from tests.support.documents import ROOT
from tests.support.page import script
from tests.support.simulated import ACCOUNT

from beta9_provisioning.api import yaml12
from beta9_provisioning.local.tools import find_terraform
from beta9_simulator.cloud.controllers import LOAD_BALANCER
from beta9_simulator.cloud.store import Store

PAGE = ROOT / "docs" / "own-network.md"
Holding = dict[tuple[str, str, str], Any]


@pytest.fixture
def product(
    tmp_path: Path, database_url: str, clean_database: None, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Product]:
    """A stack of its own, whose role may do what the published policies say."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("REDIS_URL", redis_url)
    with running(tmp_path / "stack") as product:
        yield product


@pytest.fixture
def owner(product: Product, tmp_path: Path) -> Person:
    """Who administrates the account, in a copy of the checkout's examples."""
    simulator = product.stack.simulator()
    home = tmp_path / "owner"
    home.mkdir()
    variables = {
        "BETA9_SIM_STORE": simulator.store,
        "CHECKPOINT_DISABLE": "1",
        "TF_CLI_CONFIG_FILE": simulator.terraform_cli_config,
        "TF_CLI_ARGS": "-no-color",
    }
    anybody = Person(home, Path(find_terraform()).parent, variables)
    person = administrator(product.world.store, ACCOUNT, anybody)
    shutil.copytree(ROOT / "examples", person.home / "examples")
    return person


def held(store: Store) -> Holding:
    """Return all that the account holds: what it is, its tags, and what is going on with it."""
    return {
        (one.type, one.region, one.id): (one.name, one.state, one.tags, one.status)
        for one in store.find(account=ACCOUNT)
    }


def post(product: Product, document: str) -> str:
    answer = product.http.post(
        "/api/v1/environments", content=document.encode(), headers={"Content-Type": "application/yaml"}
    )
    assert answer.status_code == 202, answer.text
    return str(answer.json()["environment_id"])


def test_an_environment_comes_into_it_and_leaves_it_as_it_was(product: Product, owner: Person) -> None:
    store = product.world.store
    at_first = held(store)
    owner.types(script(PAGE, "owner"))
    before = held(store)
    example = owner.home / "examples" / "own-vpc.yaml"

    # With the placeholders that are in the example.
    unfit = post(product, example.read_text())
    error = product.wait(unfit, "failed")["error"]
    assert error["code"] == "network_unfit"
    named: dict[str, Any] = yaml12.parse(example.read_text())["network"]
    lists = [id_ for ids in named.values() if isinstance(ids, list) for id_ in ids]
    assert len(lists) == 9
    assert all(id_ in error["detail"] for id_ in [named["vpc_id"], *lists])
    assert held(store) == before
    product.delete(unfit)
    product.wait(unfit, "destroyed")
    assert held(store) == before

    owner.types(script(PAGE, "fill"))
    environment_id = post(product, example.read_text())
    ready = product.wait(environment_id, "ready")
    given: dict[str, Any] = yaml12.parse(example.read_text())["network"]
    assert ready["outputs"]["vpc_id"] == given["vpc_id"]
    # What was there is as it was while the environment stands, and what is new of a network is in it.
    assert {key: value for key, value in held(store).items() if key in before} == before
    made = [one for one in store.find(account=ACCOUNT) if (one.type, one.region, one.id) not in before]
    assert {one.type for one in made} & {
        "aws_vpc",
        "aws_subnet",
        "aws_route_table",
        "aws_nat_gateway",
    } == set()
    networks = {one.state["vpc_id"] for one in made if one.state.get("vpc_id")}
    assert networks == {given["vpc_id"]}
    (balancer,) = store.find(LOAD_BALANCER, account=ACCOUNT)
    assert balancer.state["scheme"] == "internet-facing"
    assert set(balancer.state["subnet_ids"]) == set(given["public_subnet_ids"])

    changed = product.http.patch(
        f"/api/v1/environments/{environment_id}", json={"network": {"vpc_id": "vpc-0000000f"}}
    )
    assert changed.status_code == 422
    assert product.delete(environment_id).status_code == 202
    product.wait(environment_id, "destroyed")
    assert held(store) == before
    owner.types(script(PAGE, "away"))
    assert held(store) == at_first
