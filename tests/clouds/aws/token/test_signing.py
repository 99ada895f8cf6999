"""Signatures are those of botocore's own signers, to the letter, and of AWS's published example."""

from __future__ import annotations

from datetime import UTC, datetime

import botocore.auth
import botocore.credentials
import pytest
from botocore.awsrequest import AWSRequest

from beta9_provisioning.clouds.aws import signing
from beta9_provisioning.clouds.aws.signing import Credentials, presigned_url, signed_headers

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
FORM = "application/x-www-form-urlencoded; charset=utf-8"
QUERY = "Action=GetCallerIdentity&Version=2011-06-15"
CLUSTERS = ["c", "beta9-ef7b786n4ar6", "Under_score-9", " a  b/c+d=;&%?~ ", "ü"]
PLACES = [
    ("us-east-1", "https://sts.us-east-1.amazonaws.com/"),
    ("ap-southeast-4", "https://sts.ap-southeast-4.amazonaws.com/"),
    ("cn-north-1", "https://sts.cn-north-1.amazonaws.com.cn/"),
    ("eu-west-1", "http://127.0.0.1:4566/"),
    ("eu-west-1", "https://STS.example.com:8443/aws/~a b/"),
    ("eu-west-1", "https://sts.example.com:443/"),
    ("eu-west-1", "http://sts.example.com:80/"),
    ("eu-west-1", "http://sts.example.com:443/"),
    ("eu-west-1", "http://[::1]:4566/"),
]

each_place = pytest.mark.parametrize(("region", "url"), PLACES, ids=[url for _, url in PLACES])
each_token = pytest.mark.parametrize("token", [None, "IQoJ/b3+JpZ2lu=="], ids=["keys", "session"])


@pytest.fixture
def own(token: str | None, monkeypatch: pytest.MonkeyPatch) -> Credentials:
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda: AT.replace(tzinfo=None))
    return Credentials("ASIAEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", token)


def theirs(own: Credentials) -> botocore.credentials.Credentials:
    return botocore.credentials.Credentials(own.access_key, own.secret_key, own.session_token)


@each_place
@each_token
@pytest.mark.parametrize("cluster", CLUSTERS)
def test_a_presigned_url_is_botocores(own: Credentials, region: str, url: str, cluster: str) -> None:
    headers = {"x-k8s-aws-id": cluster}
    request = AWSRequest("GET", f"{url}?{QUERY}", headers=headers)
    botocore.auth.SigV4QueryAuth(theirs(own), "sts", region, expires=60).add_auth(request)
    ours = presigned_url(own, url=f"{url}?{QUERY}", region=region, headers=headers, seconds=60, at=AT)
    assert ours == request.url


@each_place
@each_token
@pytest.mark.parametrize("body", [b"", b"Action=AssumeRole&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fx"])
def test_signed_headers_are_botocores(own: Credentials, region: str, url: str, body: bytes) -> None:
    headers = {"Content-Type": FORM, "User-Agent": "not signed"}
    request = AWSRequest("POST", url, headers=headers, data=body)
    botocore.auth.SigV4Auth(theirs(own), "sts", region).add_auth(request)
    ours = signed_headers(own, url=url, region=region, content_type=FORM, body=body, at=AT)
    del request.headers["User-Agent"]
    assert ours == dict(request.headers.items())


def test_a_published_example(monkeypatch: pytest.MonkeyPatch) -> None:
    """`post-x-www-form-urlencoded` of AWS's test suite for Signature Version 4."""
    monkeypatch.setattr(signing, "_SERVICE", "service")
    headers = signed_headers(
        Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
        url="https://example.amazonaws.com/",
        region="us-east-1",
        content_type="application/x-www-form-urlencoded",
        body=b"Param1=value1",
        at=datetime(2015, 8, 30, 12, 36, tzinfo=UTC),
    )
    assert headers == {
        "Content-Type": "application/x-www-form-urlencoded",
        "X-Amz-Date": "20150830T123600Z",
        "Authorization": (
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
            "SignedHeaders=content-type;host;x-amz-date, "
            "Signature=ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"
        ),
    }


def test_credentials_are_not_shown() -> None:
    assert repr(Credentials("AKIAOWN", "own-secret", "own/token")) == "Credentials(access_key='AKIAOWN')"
