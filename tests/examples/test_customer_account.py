"""The customer's role, made in each of the ways that docs/customer-account.md tells: they make the same."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from scripts.customer_account.trust import trust_policy
from tests.examples.conftest import Person, administrator
from tests.support.documents import ROOT
from tests.support.page import script

from beta9_provisioning.clouds.aws import permissions
from beta9_provisioning.clouds.aws.provider import SCHEMA_FILE
from beta9_simulator.cloud.mirror import cli_config, install_mirror
from beta9_simulator.cloud.policy_versions import versions
from beta9_simulator.cloud.principals import Principal
from beta9_simulator.cloud.rules import CloudError
from beta9_simulator.cloud.store import NewObject, Store, StoredObject
from beta9_simulator.cloud.sts import assume_role

PAGE = ROOT / "docs" / "customer-account.md"
WORKER = "arn:aws:iam::111122223333:role/Beta9ProvisioningService"
EXTERNAL_ID = "b9-3f1c7a52e0d84f6b"
ACCOUNTS = {"script": "100000000001", "template": "100000000002", "module": "100000000003"}
CHOICES = {"path": "/teams/", "bucket_prefix": "acme"}
BOUNDARY = "Bound"
SESSION = Principal(
    "",
    "",
    "",
    "arn:aws:sts::111122223333:assumed-role/Beta9ProvisioningService/w",
    "111122223333",
    None,
    WORKER,
)


@dataclass
class Customer:
    """An account, and its administrator in a copy of the checkout's files."""

    account: str
    person: Person
    store: Store

    def one(self, type_: str, name: str) -> StoredObject:
        (found,) = self.store.find(type_, account=self.account, name=name)
        return found

    def made(self) -> dict[str, Any]:
        """Return all that counts of what was made, the account's own number left out."""
        role = self.one("aws_iam_role", "Beta9Provisioner").state
        found = {
            "role": {
                name: role[name]
                for name in ("arn", "path", "max_session_duration", "permissions_boundary", "description")
            },
            "trust": json.loads(role["assume_role_policy"]),
            "attached": sorted(
                item.state["policy_arn"]
                for item in self.store.find("aws_iam_role_policy_attachment", account=self.account)
                if item.state["role"] == "Beta9Provisioner"
            ),
            "policies": {
                item.state["arn"]: json.loads(item.state["policy"])
                for item in self.store.find("aws_iam_policy", account=self.account)
                if item.name != BOUNDARY
            },
        }
        anonymous: dict[str, Any] = json.loads(json.dumps(found).replace(self.account, "ACCOUNT"))
        return anonymous


def by_script(customer: Customer, **choices: str) -> str:
    options = "".join(f" --{name.replace('_', '-')} {value}" for name, value in choices.items())
    return customer.person.types(script(PAGE, "script").strip() + options)


def by_template(customer: Customer, **choices: str) -> str:
    names = {name: "".join(map(str.capitalize, name.split("_"))) for name in choices}
    more = "".join(f" ParameterKey={names[name]},ParameterValue={value}" for name, value in choices.items())
    customer.person.types(script(PAGE, "template").strip() + more)
    return customer.person.types(script(PAGE, "stack"))


def by_module(customer: Customer, **choices: str) -> str:
    more = "".join(f'  {name} = "{value}"\n' for name, value in choices.items())
    text = script(PAGE, "module").replace("\n}\n", f"\n{more}}}\n", 1)
    home = customer.person.home
    (home / "customer.tf").write_text(f'provider "aws" {{\n  region = "us-east-1"\n}}\n\n{text}')
    install_mirror(home / "mirror", SCHEMA_FILE)
    person = Person(
        home,
        customer.person.programs,
        {
            **customer.person.variables,
            "BETA9_SIM_STORE": str(customer.store.path),
            "CHECKPOINT_DISABLE": "1",
            "TF_CLI_CONFIG_FILE": str(cli_config(home / "mirror")),
        },
    )
    person.types("terraform init -input=false")
    person.types("terraform apply -auto-approve -input=false")
    again = person.types("terraform plan -input=false -no-color")
    assert "No changes" in again
    return person.types("terraform output -raw role_arn")


WAYS: dict[str, Callable[..., str]] = {"script": by_script, "template": by_template, "module": by_module}


def new_customer(account: str, store: Store, anybody: Person) -> Customer:
    person = administrator(store, account, anybody)
    for name in ("iam", "scripts"):
        (person.home / name).mkdir()
    shutil.copytree(ROOT / "iam" / "customer-account", person.home / "iam" / "customer-account")
    shutil.copy(ROOT / "scripts" / "setup-iam.sh", person.home / "scripts")
    add_boundary(store, account)
    return Customer(account, person, store)


def add_boundary(store: Store, account: str) -> None:
    arn = f"arn:aws:iam::{account}:policy/{BOUNDARY}"
    everything = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
    state = {"id": arn, "arn": arn, "name": BOUNDARY, "path": "/", "policy": json.dumps(everything)}
    store.create(NewObject(account, "global", "aws_iam_policy", arn, BOUNDARY, state))


@pytest.fixture(scope="module", params=WAYS)
def customer(request: pytest.FixtureRequest, store: Store, anybody: Person) -> Customer:
    """One whose administrator has done what the page says, word for word."""
    customer = new_customer(ACCOUNTS[request.param], store, anybody)
    told = WAYS[request.param](customer)
    assert f"arn:aws:iam::{customer.account}:role/Beta9Provisioner" in told
    return customer


@pytest.fixture(scope="module", params=WAYS)
def choosy(request: pytest.FixtureRequest, store: Store, anybody: Person) -> Customer:
    """One with a path, boundaries and a prefix of its own."""
    account = ACCOUNTS[request.param].replace("1", "2", 1)
    customer = new_customer(account, store, anybody)
    bound = f"arn:aws:iam::{account}:policy/{BOUNDARY}"
    told = WAYS[request.param](customer, **CHOICES, permissions_boundary=bound, boundary_of_roles=bound)
    assert f"arn:aws:iam::{account}:role/teams/Beta9Provisioner" in told
    return customer


def expected(path: str = "/", prefix: str = "beta9", boundary: str | None = None) -> dict[str, Any]:
    policies = permissions.policies(bucket_prefix=prefix, boundary_of_roles=boundary)
    arns = {name: f"arn:aws:iam::ACCOUNT:policy{path}{name}" for name in policies}
    return {
        "role": {
            "arn": f"arn:aws:iam::ACCOUNT:role{path}Beta9Provisioner",
            "path": path,
            "max_session_duration": 3600,
            "permissions_boundary": boundary,
            "description": "Beta9 Provisioning works in this account as this role.",
        },
        "trust": trust_policy(WORKER, EXTERNAL_ID),
        "attached": sorted(arns.values()),
        "policies": {arns[name]: document for name, document in policies.items()},
    }


def test_every_way_makes_what_is_published(customer: Customer) -> None:
    assert customer.made() == expected()


def test_path_boundaries_and_prefix_arrive(choosy: Customer) -> None:
    bound = f"arn:aws:iam::ACCOUNT:policy/{BOUNDARY}"
    assert choosy.made() == expected("/teams/", "acme", bound)


def test_the_worker_gets_in_with_the_external_id_only(customer: Customer) -> None:
    arn = f"arn:aws:iam::{customer.account}:role/Beta9Provisioner"
    assert assume_role(customer.store, SESSION, arn, "worker", external_id=EXTERNAL_ID).role_arn == arn
    for external_id in (None, "b9-another"):
        with pytest.raises(CloudError, match="not authorized"):
            assume_role(customer.store, SESSION, arn, "worker", external_id=external_id)


def test_a_stack_says_that_it_is_simulated_and_goes_again(store: Store, anybody: Person) -> None:
    customer = new_customer("300000000002", store, anybody)
    by_template(customer)
    name = "--stack-name beta9-provisioner"
    told = customer.person.types(f"aws cloudformation describe-stacks {name} --output json")
    assert "simulated" in told
    customer.person.types(f"aws cloudformation delete-stack {name}")
    assert [one.name for one in store.find(account=customer.account)] == [BOUNDARY]
    refused = customer.person.tries(script(PAGE, "template").replace(EXTERNAL_ID, "short"))
    assert "ExternalId" in refused.stderr


def test_the_script_again_changes_nothing_and_an_older_policy_gets_a_version(
    store: Store, anybody: Person
) -> None:
    customer = new_customer("300000000001", store, anybody)
    before = len(store.operations())
    assert "would make the role" in by_script(customer, dry_run="")
    assert len(store.operations()) == before
    by_script(customer)
    before = len(store.operations())
    assert "everything is as it should be" in by_script(customer)
    assert len(store.operations()) == before

    arn = f"arn:aws:iam::{customer.account}:policy/Beta9ProvisionerRead"
    older = json.dumps(permissions.policy("operate"))
    (customer.person.home / "older.json").write_text(older)
    customer.person.types(
        f"for i in 1 2 3 4; do aws iam create-policy-version --policy-arn {arn} "
        "--policy-document file://older.json --set-as-default; done"
    )
    told = by_script(customer)
    assert "delete version v1 of the policy Beta9ProvisionerRead" in told
    kept = versions(customer.one("aws_iam_policy", "Beta9ProvisionerRead"))
    assert [one.id for one in kept] == ["v6", "v5", "v4", "v3", "v2"]
    assert customer.made() == expected()


def test_the_script_takes_the_bounds_of_roles_away_only_when_it_is_told(
    store: Store, anybody: Person
) -> None:
    customer = new_customer("300000000003", store, anybody)
    bound = f"arn:aws:iam::{customer.account}:policy/{BOUNDARY}"
    by_script(customer, boundary_of_roles=bound)
    refused = customer.person.tries(script(PAGE, "script"))
    assert "say --boundary-of-roles ARN again, or none to end that" in refused.stderr
    before = len(store.operations())
    assert "everything is as it should be" in by_script(customer, boundary_of_roles=bound)
    assert len(store.operations()) == before
    by_script(customer, boundary_of_roles="none")
    assert customer.made() == expected()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (f"--external-id {EXTERNAL_ID}", "--principal is missing"),
        (f"--principal {WORKER}", "--external-id is missing"),
        (f"--principal {WORKER} --external-id short", "shorter than 8"),
        (f"--principal {WORKER.replace('1111', '111')} --external-id {EXTERNAL_ID}", "twelve digits"),
        (f"--principal {WORKER} --external-id {EXTERNAL_ID} --path /beta9-x/", "begin with beta9-"),
        (f"--principal {WORKER} --external-id {EXTERNAL_ID} --path /x/beta9-y/", "begin with beta9-"),
        (f"--principal {WORKER} --external-id {EXTERNAL_ID} --bucket-prefix A", "lower-case"),
        (f"--principal {WORKER} --external-id {EXTERNAL_ID} --boundary-of-roles x", "neither none nor"),
        (f"--principal {WORKER} --external-id {EXTERNAL_ID} --colour red", "no option --colour"),
        (f"--principal {WORKER} --external-id {EXTERNAL_ID}", "no AWS CLI"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, options: str, words: str) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("bash", "dirname", "cat"):
        (programs / name).symlink_to(Path(str(shutil.which(name))))
    nobody = Person(tmp_path, programs, {"PATH": str(programs)})
    done = nobody.tries(f"bash {ROOT}/scripts/setup-iam.sh {options}")
    assert done.returncode == 1
    assert words in done.stderr


def test_who_has_no_credentials_is_told(anybody: Person) -> None:
    options = f"--principal {WORKER} --external-id {EXTERNAL_ID}"
    done = anybody.tries(f"{ROOT}/scripts/setup-iam.sh {options}")
    assert done.returncode == 1
    assert "credentials" in done.stderr
