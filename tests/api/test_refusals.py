"""What the API answers to configurations that it refuses: byte for byte, mostly as version 0.1.0."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.support.configs import document

RECORDED = json.loads(Path(__file__).with_name("refusals.json").read_text())

ARN = "arn:aws:iam::123456789012:role/Beta9Provisioner"
GCP: dict[str, Any] = {"provider": "gcp", "region": "europe-west1", "service_account": "a@b.example"}
AWS: dict[str, Any] = {
    "provider": "aws",
    "region": "us-east-1",
    "account_id": "123456789012",
    "role_arn": ARN,
}

REFUSED: dict[str, dict[str, Any]] = {
    "account: a number": document(cloud__account_id=123456789012),
    "account: a fraction": document(cloud__account_id=1.5),
    "account: true": document(cloud__account_id=True),
    "account: eleven digits": document(cloud__account_id="12345678901"),
    "account: other digits": document(cloud__account_id="١٢٣٤٥٦٧٨٩٠١٢"),
    "account: a list": document(cloud__account_id=["123456789012"]),
    "account: missing": document(cloud__account_id=None),
    "account: of another role": document(cloud__account_id="210987654321"),
    "account: wrong, and a role of nobody": document(cloud__account_id="1", cloud__role_arn="x"),
    "account: wrong, and two other sections": document(
        cloud__account_id="1", cluster__profile="huge", beta9__domain="x"
    ),
    "role: missing": document(cloud__role_arn=None),
    "role and account: missing": document(cloud__role_arn=None, cloud__account_id=None),
    "role: a number": document(cloud__role_arn=5),
    "role: empty": document(cloud__role_arn=""),
    "role: no ARN": document(cloud__role_arn="Beta9Provisioner"),
    "role: a user": document(cloud__role_arn="arn:aws:iam::123456789012:user/Beta9Provisioner"),
    "role: another name": document(cloud__role_arn="arn:aws:iam::123456789012:role/Admin"),
    "role: another name below a path": document(cloud__role_arn="arn:aws:iam::123456789012:role/x/Admin"),
    "role: of another account": document(cloud__role_arn="arn:aws:iam::210987654321:role/Beta9Provisioner"),
    "role: a newline behind": document(cloud__role_arn=ARN + "\n"),
    "role: wrong, and every other section": document(
        name="Upper",
        cloud__role_arn="x",
        cluster__use_existing=True,
        data__postgres__storage_gb=1,
        beta9__workers={"min_workers": 5},
        tags={"aws:x": "y"},
    ),
    "role: wrong, and a foreign field": document(cloud__role_arn="x", cloud__service_account="a@b.example"),
    "external ID: too short": document(cloud__external_id="x"),
    "external ID: a space": document(cloud__external_id="a b"),
    "external ID: wrong, and the role": document(cloud__external_id="x", cloud__role_arn="x"),
    "service account: with AWS": document(cloud__service_account="a@b.example"),
    "service account: with AWS, no role": document(cloud__service_account="a", cloud__role_arn=None),
    "cloud: unknown field": document(cloud__zone="a", cloud__role_arn="x"),
    "cloud: a list": document(cloud=[]),
    "cloud: missing": {"name": "demo", "beta9": {"domain": "beta9.example.com"}},
    "cloud: empty": document(cloud={}),
    "provider: azure": document(cloud__provider="azure"),
    "provider: a number": document(cloud__provider=1),
    "provider: gcp": document(cloud=GCP),
    "provider: gcp without its account": document(cloud={**GCP, "service_account": None}),
    "provider: gcp with an empty account": document(cloud={**GCP, "service_account": ""}),
    "provider: gcp with AWS's fields": document(cloud={**AWS, **GCP}),
    "provider: gcp with AWS's fields only": document(cloud={**AWS, "provider": "gcp"}),
    "provider: gcp with an account that is none": document(cloud={**GCP, "account_id": "x"}),
    "provider: gcp with a role that is none": document(cloud={**GCP, "role_arn": "x"}),
    "provider: gcp in a region that is not allowed": document(cloud={**GCP, "region": "nowhere"}),
    "provider: gcp, and all that is not available": document(
        cloud=GCP,
        beta9__workers={"gpu_enabled": True, "gpu_type": "T4"},
    ),
    "region: not allowed": document(cloud__region="eu-north-1"),
    "region: empty": document(cloud__region=""),
    "region: not allowed, and a cluster of one's own": document(
        cloud__region="eu-north-1", cluster={"use_existing": True, "existing_cluster_name": "mine"}
    ),
    "cluster: existing without a name": document(cluster__use_existing=True),
    "workers: GPU": document(beta9__workers={"gpu_enabled": True, "gpu_type": "T4"}),
    "tags: reserved": document(tags={"beta9:x": "1"}),
    "nothing": {},
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_refusal_reads_as_it_did(client: httpx.Client, case: str) -> None:
    response = client.post("/api/v1/environments", json=REFUSED[case])
    assert [response.status_code, response.text] == RECORDED[case]


def test_every_refusal_is_recorded() -> None:
    assert list(REFUSED) == list(RECORDED)
