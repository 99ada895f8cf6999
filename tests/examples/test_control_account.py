"""The roles that docs/deployment.md makes, by its own commands: they let the worker in, and nobody else."""

import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pytest
from tests.examples.conftest import Person, administrator
from tests.support.documents import ROOT
from tests.support.issuer import SigningKey
from tests.support.page import DEPLOYMENT, script

from beta9_simulator.cloud.seeding import CONTROL_PLANE_ACCOUNT as CONTROL
from beta9_simulator.cloud.store import NewObject, Store

CUSTOMER = "123456789012"
EXTERNAL_ID = "b9-3f1c7a52e0d84f6b"
SERVICE = f"arn:aws:iam::{CONTROL}:role/Beta9ProvisioningService"
PROVISIONER = f"arn:aws:iam::{CUSTOMER}:role/Beta9Provisioner"
WORKER = "system:serviceaccount:beta9-provisioning:provisioning-worker"
AUDIENCE = "sts.amazonaws.com"
ISSUER = "https://oidc.eks.us-east-1.amazonaws.com/id/EXAMPLED539D4633E53DE1B71EXAMPLE"
OTHER_ISSUER = "https://oidc.eks.us-east-1.amazonaws.com/id/0THERD539D4633E53DE1B71E0000000A"
ENTER = f"aws sts assume-role --role-arn {PROVISIONER} --role-session-name worker --external-id"


@dataclass
class ControlAccount:
    """The account after the document's commands, and what issuers sign with there."""

    administrator: Person
    keys: dict[str, SigningKey]
    anybody: Person
    pods: Iterator[int] = field(default_factory=count)

    def pod(
        self, subject: str = WORKER, audience: str = AUDIENCE, issuer: str = ISSUER, key: str = ""
    ) -> Person:
        """Return what runs in a pod: EKS's webhook gives it a token, and the role's name."""
        now = int(time.time())
        claims = {"iss": issuer, "sub": subject, "aud": [audience], "iat": now, "exp": now + 600}
        pod = self.anybody.with_variables(f"pod-{next(self.pods)}", AWS_ROLE_ARN=SERVICE)
        token = pod.home / "token"
        token.write_text(self.keys[key or issuer].sign(claims))
        pod.variables["AWS_WEB_IDENTITY_TOKEN_FILE"] = str(token)
        return pod

    def document(self, command: str) -> Any:
        """Return the policy document that a command of the AWS CLI prints."""
        return json.loads(self.administrator.types(f"aws iam {command} --output json"))


@pytest.fixture(scope="module")
def control(store: Store, anybody: Person) -> ControlAccount:
    keys = {issuer: SigningKey.new("RS256") for issuer in (ISSUER, OTHER_ISSUER)}
    person = administrator(store, CONTROL, anybody)
    add_cluster(store)
    for issuer, key in keys.items():
        store.set_setting(f"oidc_keys:{issuer}", json.dumps({"keys": [key.jwk]}))
        # What `eksctl utils associate-iam-oidc-provider` does.
        person.types(f"aws iam create-open-id-connect-provider --url {issuer} --client-id-list {AUDIENCE}")
    shutil.copytree(ROOT / "iam", person.home / "iam")
    person.types(script(DEPLOYMENT, "control"))
    add_customer(administrator(store, CUSTOMER, anybody))
    return ControlAccount(person, keys, anybody)


def add_cluster(store: Store) -> None:
    """The cluster in which the service runs, as far as somebody asks for it."""
    name = "your-cluster-name"
    state = {
        "arn": f"arn:aws:eks:us-east-1:{CONTROL}:cluster/{name}",
        "version": "1.34",
        "role_arn": f"arn:aws:iam::{CONTROL}:role/cluster",
        "deletion_protection": False,
        "endpoint": "",
        "access_config": [],
        "identity": [{"oidc": [{"issuer": ISSUER}]}],
        "vpc_config": [
            {
                "subnet_ids": [],
                "security_group_ids": [],
                "cluster_security_group_id": "sg-1",
                "vpc_id": "vpc-1",
                "endpoint_public_access": True,
                "public_access_cidrs": ["0.0.0.0/0"],
                "endpoint_private_access": True,
            }
        ],
    }
    store.create(NewObject(CONTROL, "us-east-1", "aws_eks_cluster", name, name, state))


def add_customer(person: Person) -> None:
    """A customer's role that trusts the service's, with an external ID."""
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"AWS": SERVICE},
                "Action": ["sts:AssumeRole", "sts:TagSession"],
                "Condition": {"StringEquals": {"sts:ExternalId": EXTERNAL_ID}},
            }
        ],
    }
    (person.home / "trust.json").write_text(json.dumps(trust))
    person.types(
        "aws iam create-role --role-name Beta9Provisioner --assume-role-policy-document file://trust.json"
    )


def test_the_worker_gets_into_a_customer_s_account(control: ControlAccount) -> None:
    worker = control.pod()
    who = worker.types("aws sts get-caller-identity --query Arn --output text")
    assert who.startswith(f"arn:aws:sts::{CONTROL}:assumed-role/Beta9ProvisioningService/")
    entered = worker.types(f"{ENTER} {EXTERNAL_ID} --query AssumedRoleUser.Arn --output text")
    assert entered == f"arn:aws:sts::{CUSTOMER}:assumed-role/Beta9Provisioner/worker"
    assert worker.is_refused(f"{ENTER} another") == "AccessDenied"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"subject": WORKER.replace("-worker", "-api")}, "AccessDenied"),
        ({"subject": WORKER.replace("beta9-provisioning:", "default:")}, "AccessDenied"),
        ({"subject": f"{WORKER}-2"}, "AccessDenied"),
        ({"audience": "https://kubernetes.default.svc"}, "InvalidIdentityToken"),
        ({"issuer": OTHER_ISSUER}, "AccessDenied"),
        ({"key": OTHER_ISSUER}, "InvalidIdentityToken"),
    ],
    ids=["API", "namespace", "longer name", "audience", "cluster", "another cluster's key"],
)
def test_nobody_else_becomes_the_service(control: ControlAccount, changes: dict[str, str], code: str) -> None:
    other = control.pod(**changes)
    assert other.is_refused("aws sts get-caller-identity") == code
    assert other.is_refused(f"{ENTER} {EXTERNAL_ID}") == code


def test_a_key_of_the_control_account_alone_enters_nobody_s(control: ControlAccount) -> None:
    assert control.administrator.is_refused(f"{ENTER} {EXTERNAL_ID}") == "AccessDenied"


def test_the_policies_are_there_and_no_placeholder_is_left(control: ControlAccount) -> None:
    inline = control.document(
        "get-role-policy --role-name Beta9ProvisioningService --policy-name AssumeCustomerRoles "
        "--query PolicyDocument"
    )
    managed, of_the_api = (
        control.document(
            f"get-policy-version --policy-arn arn:aws:iam::{CONTROL}:policy/{name} --version-id v1 "
            "--query PolicyVersion.Document"
        )
        for name in ("Beta9ProvisioningPolicy", "Beta9ProvisioningApiPolicy")
    )
    trust = control.document(
        "get-role --role-name Beta9ProvisioningService --query Role.AssumeRolePolicyDocument"
    )
    # Whichever of the two roles the worker has, it may do the same.
    assert inline == managed
    assert "AssumeRole" not in json.dumps(of_the_api)
    secret = of_the_api["Statement"][1]["Resource"]
    assert secret.startswith(
        f"arn:aws:secretsmanager:us-east-1:{CONTROL}:secret:beta9/provisioning/database-url"
    )
    for document in (inline, of_the_api, trust):
        assert not any(word in json.dumps(document) for word in ("ACCOUNT_ID", "REGION", "OIDC_ID"))


# Here the evaluation of permissions is judged. Once the cloud evaluates them this test passes, and counts
# as failed until the mark is removed.
def test_without_its_policy_the_service_enters_nobody_s_account(control: ControlAccount) -> None:
    named = "--role-name Beta9ProvisioningService --policy-name AssumeCustomerRoles"
    person = control.administrator
    person.types(f"aws iam delete-role-policy {named}")
    try:
        assert control.pod().is_refused(f"{ENTER} {EXTERNAL_ID}") == "AccessDenied"
    finally:
        document = "file://iam/control-account/assume-role-policy.json"
        person.types(f"aws iam put-role-policy {named} --policy-document {document}")
