"""A VPC of its owner's, made by the example's Terraform: an environment leaves it as it was."""

from typing import Any

from tests.acceptance.test_product import Product
from tests.examples.conftest import Person, held, post
from tests.support.documents import ROOT
from tests.support.page import script
from tests.support.simulated import ACCOUNT

from beta9_provisioning.api import yaml12
from beta9_simulator.cloud.controllers import LOAD_BALANCER

PAGE = ROOT / "docs" / "own-network.md"


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
