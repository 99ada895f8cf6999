"""A simulated AWS with its API door, a customer's account in it per test, and synthesized stacks."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from tests.support.stacks import Document, synthesized

from beta9_provisioning.clouds.aws.account import AwsTarget
from beta9_simulator.cloud.api import AwsApi, serve
from beta9_simulator.cloud.seeding import Seeded, seed
from beta9_simulator.cloud.store import Store

_accounts = itertools.count(100000000001)


@dataclass(frozen=True)
class Customer:
    """A seeded account, its cloud, and where an environment of it would live."""

    store: Store
    api: AwsApi
    seeded: Seeded
    target: AwsTarget


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Store, AwsApi]]:
    path: Path = tmp_path_factory.mktemp("cloud") / "store.sqlite"
    api = serve(path)
    yield Store(path), api
    api.stop()


@pytest.fixture
def customer(door: tuple[Store, AwsApi], monkeypatch: pytest.MonkeyPatch) -> Customer:
    """A new customer, with the worker's own credentials in the environment."""
    store, api = door
    account = str(next(_accounts))
    seeded = seed(store, account=account)
    monkeypatch.setenv("AWS_ENDPOINT_URL", api.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", seeded.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", seeded.secret_key)
    target = AwsTarget(
        environment_id="env_0123456789abcdef",
        account_id=account,
        region="us-east-1",
        role_arn=seeded.role_arn,
        external_id=seeded.external_id,
        s3_path_style=True,
    )
    return Customer(store, api, seeded, target)


@pytest.fixture
def document(tmp_path: Path) -> Callable[..., Document]:
    """Synthesizes a configuration and returns the Terraform document."""
    return partial(synthesized, tmp_path / "cdktf.out")
