"""Who shows a token instead of a key: each check of the token and of the role's trust policy."""

import json
import time
from typing import Any

import boto3
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError
from tests.support.issuer import SigningKey

from beta9_simulator.cloud.api import AwsApi
from beta9_simulator.cloud.principals import authenticate
from beta9_simulator.cloud.store import GLOBAL, NewObject, Store

ACCOUNT = "999999999999"
HOST = "oidc.example.com/id/A1"
ISSUER = f"https://{HOST}"
PROVIDER = f"arn:aws:iam::{ACCOUNT}:oidc-provider/{HOST}"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/Service"
SUBJECT = "system:serviceaccount:beta9-provisioning:provisioning-worker"
AUDIENCE = "sts.amazonaws.com"
BOTH = {f"{HOST}:sub": SUBJECT, f"{HOST}:aud": AUDIENCE}
TRUST = {
    "Effect": "Allow",
    "Principal": {"Federated": PROVIDER},
    "Action": "sts:AssumeRoleWithWebIdentity",
    "Condition": {"StringEquals": BOTH},
}


@pytest.fixture(scope="module")
def key() -> SigningKey:
    return SigningKey.new("RS256")


@pytest.fixture
def account(store: Store, key: SigningKey) -> Store:
    """A control account with a provider, whose keys are known, and a role that trusts it."""
    add_provider(store, ISSUER, key)
    trust(store, TRUST)
    return store


def add_provider(store: Store, issuer: str, key: SigningKey) -> None:
    arn = f"arn:aws:iam::{ACCOUNT}:oidc-provider/{issuer.removeprefix('https://')}"
    state = {"arn": arn, "url": issuer, "client_id_list": ["another", AUDIENCE, "third"]}
    store.create(NewObject(ACCOUNT, GLOBAL, "aws_iam_openid_connect_provider", arn, "", state))
    store.set_setting(f"oidc_keys:{issuer}", json.dumps({"keys": [key.jwk]}))


def trust(store: Store, *statements: dict[str, Any]) -> None:
    policy = json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
    state = {"arn": ROLE, "path": "/", "max_session_duration": 3600, "assume_role_policy": policy}
    store.create(NewObject(ACCOUNT, GLOBAL, "aws_iam_role", "Service", "Service", state), replace=True)


def claims(**changes: Any) -> dict[str, Any]:
    now = int(time.time())
    usual = {"iss": ISSUER, "sub": SUBJECT, "aud": [AUDIENCE], "iat": now, "exp": now + 600, **changes}
    return {name: value for name, value in usual.items() if value is not None}


def assume(api: AwsApi, token: str, **changes: Any) -> dict[str, Any]:
    # What the client itself would refuse, the cloud has to refuse.
    unsigned = Config(signature_version=UNSIGNED, parameter_validation=False)
    sts: Any = boto3.client("sts", region_name="us-east-1", endpoint_url=api.url, config=unsigned)
    request = {"RoleArn": ROLE, "RoleSessionName": "pod", "WebIdentityToken": token, **changes}
    answer: dict[str, Any] = sts.assume_role_with_web_identity(**request)
    return answer


def refusal(api: AwsApi, token: str, **changes: Any) -> str:
    with pytest.raises(ClientError) as refused:
        assume(api, token, **changes)
    return str(refused.value.response["Error"]["Code"])


def test_a_token_becomes_a_session_of_the_role(account: Store, api: AwsApi, key: SigningKey) -> None:
    answer = assume(api, key.sign(claims()), DurationSeconds=900)
    assert answer["AssumedRoleUser"]["Arn"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/Service/pod"
    assert answer["SubjectFromWebIdentityToken"] == SUBJECT
    assert (answer["Provider"], answer["Audience"]) == (ISSUER, AUDIENCE)
    given = answer["Credentials"]
    session = authenticate(account, given["AccessKeyId"], given["SessionToken"])
    assert (session.identity, session.account) == (ROLE, ACCOUNT)
    assert session.expires_at is not None
    assert session.expires_at < time.time() + 901


@pytest.mark.parametrize("algorithm", ["ES256", "RS512"])
def test_other_algorithms_that_aws_takes(account: Store, api: AwsApi, algorithm: str) -> None:
    other = SigningKey.new(algorithm)
    account.set_setting(f"oidc_keys:{ISSUER}", json.dumps({"keys": [SigningKey.new().jwk, other.jwk]}))
    assert assume(api, other.sign(claims()))["Credentials"]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"exp": int(time.time()) - 1}, "ExpiredTokenException"),
        ({"exp": None}, "InvalidIdentityToken"),
        ({"iat": None}, "InvalidIdentityToken"),
        ({"nbf": int(time.time()) + 3600}, "InvalidIdentityToken"),
        ({"aud": ["vault"]}, "InvalidIdentityToken"),
        ({"aud": None}, "InvalidIdentityToken"),
        ({"aud": ["another"]}, "AccessDenied"),
        ({"iss": "https://oidc.example.com/id/B2"}, "InvalidIdentityToken"),
        ({"iss": f"http://{HOST}"}, "InvalidIdentityToken"),
        ({"iss": HOST}, "InvalidIdentityToken"),
        ({"iss": None}, "InvalidIdentityToken"),
        ({"sub": "system:serviceaccount:beta9-provisioning:provisioning-api"}, "AccessDenied"),
        ({"sub": "system:serviceaccount:default:provisioning-worker"}, "AccessDenied"),
        ({"sub": None}, "InvalidIdentityToken"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_tokens_that_do_not_become_one(
    account: Store, api: AwsApi, key: SigningKey, changes: dict[str, Any], code: str
) -> None:
    assert refusal(api, key.sign(claims(**changes))) == code


def test_a_signature_of_another_key_is_no_signature(account: Store, api: AwsApi, key: SigningKey) -> None:
    forger = SigningKey.new("RS256")
    assert refusal(api, forger.sign(claims(), kid=key.kid)) == "InvalidIdentityToken"
    assert refusal(api, forger.sign(claims())) == "InvalidIdentityToken"
    assert refusal(api, key.sign(claims(), kid=None)) == "InvalidIdentityToken"
    header, _, signature = key.sign(claims(sub="mallory")).split(".")
    swapped = f"{header}.{key.sign(claims()).split('.')[1]}.{signature}"
    assert refusal(api, swapped) == "InvalidIdentityToken"
    assert refusal(api, f"{key.sign(claims(), alg='none').rpartition('.')[0]}.") == "InvalidIdentityToken"
    assert refusal(api, "no token") == "InvalidIdentityToken"


def test_keys_that_the_cloud_was_not_told_verify_nothing(
    account: Store, api: AwsApi, key: SigningKey
) -> None:
    account.set_setting(f"oidc_keys:{ISSUER}", "")
    assert refusal(api, key.sign(claims())) == "InvalidIdentityToken"


def test_a_provider_of_another_account_vouches_for_nobody(
    account: Store, api: AwsApi, key: SigningKey
) -> None:
    (found,) = account.find("aws_iam_openid_connect_provider")
    account.delete(found)
    account.create(NewObject("222222222222", GLOBAL, found.type, found.id, "", found.state))
    assert refusal(api, key.sign(claims())) == "InvalidIdentityToken"


def test_an_issuer_without_a_provider_vouches_for_nobody(
    account: Store, api: AwsApi, key: SigningKey
) -> None:
    other = "https://oidc.example.com/id/B2"
    account.set_setting(f"oidc_keys:{other}", json.dumps({"keys": [key.jwk]}))
    assert refusal(api, key.sign(claims(iss=other))) == "InvalidIdentityToken"


def test_another_issuer_of_the_account_vouches_for_its_own_only(account: Store, api: AwsApi) -> None:
    other = SigningKey.new("RS256")
    add_provider(account, "https://oidc.example.com/id/B2", other)
    assert refusal(api, other.sign(claims(iss="https://oidc.example.com/id/B2"))) == "AccessDenied"
    assert refusal(api, other.sign(claims())) == "InvalidIdentityToken"


def test_each_issuer_signs_with_its_own_keys(account: Store, api: AwsApi) -> None:
    other = SigningKey.new("RS256")
    add_provider(account, "https://oidc.example.com/id/B2", other)
    both = {**TRUST, "Principal": {"Federated": [PROVIDER, PROVIDER.replace("A1", "B2")]}}
    trust(account, both)
    # Trusted as a provider; but the conditions speak of the first issuer's subject.
    assert refusal(api, other.sign(claims(iss="https://oidc.example.com/id/B2"))) == "AccessDenied"


@pytest.mark.parametrize(
    "changes",
    [
        {"Effect": "Deny"},
        {"Principal": {"Federated": f"{PROVIDER}2"}},
        {"Principal": {"AWS": PROVIDER}},
        {"Principal": "*"},
        {"Principal": None},
        {"Action": "sts:AssumeRole"},
        {"Action": ["sts:TagSession", "sts:AssumeRoleWithSAML"]},
        {"Condition": None},
        {"Condition": {"StringEquals": {f"{HOST}:sub": SUBJECT}}},
        {"Condition": {"StringEquals": {f"{HOST}:aud": AUDIENCE}}},
        {"Condition": {"StringEquals": {**BOTH, f"{HOST}:aud": "vault"}}},
        {"Condition": {"StringEquals": {**BOTH, f"{HOST}:sub": f"{SUBJECT}2"}}},
        {"Condition": {"StringEquals": {**BOTH, "aws:RequestTag/a": "b"}}},
        {"Condition": {"StringEquals": {"other:sub": SUBJECT, "other:aud": AUDIENCE}}},
        {"Condition": {"StringLike": BOTH}},
        {"Condition": {"StringEquals": BOTH, "Bool": {"aws:SecureTransport": "true"}}},
    ],
    ids=str,
)
def test_statements_that_let_nobody_in(
    account: Store, api: AwsApi, key: SigningKey, changes: dict[str, Any]
) -> None:
    trust(account, {name: value for name, value in {**TRUST, **changes}.items() if value is not None})
    assert refusal(api, key.sign(claims())) == "AccessDenied"


@pytest.mark.parametrize(
    "changes",
    [
        {"Action": "sts:*"},
        {"Action": ["sts:TagSession", "STS:AssumeRoleWithWebIdentity"]},
        {"Principal": {"Federated": ["arn", PROVIDER]}},
        {"Condition": {"StringEquals": {f"{HOST}:SUB": ["other", SUBJECT], f"{HOST}:aud": [AUDIENCE]}}},
    ],
    ids=str,
)
def test_statements_that_let_the_worker_in(
    account: Store, api: AwsApi, key: SigningKey, changes: dict[str, Any]
) -> None:
    trust(account, {**TRUST, **changes})
    assert assume(api, key.sign(claims()))["Credentials"]


@pytest.mark.parametrize(
    ("changes", "denies"),
    [
        ({}, True),
        ({"Principal": "*", "Condition": {}}, True),
        ({"Condition": {"StringLike": {"unknown:key": "x"}}}, True),
        ({"Condition": {"StringEquals": {f"{HOST}:sub": "another"}}}, False),
        ({"Principal": {"Federated": f"{PROVIDER}2"}}, False),
    ],
    ids=str,
)
def test_a_deny_goes_before(
    account: Store, api: AwsApi, key: SigningKey, changes: dict[str, Any], denies: bool
) -> None:
    trust(account, TRUST, {**TRUST, "Effect": "Deny", **changes})
    token = key.sign(claims())
    assert refusal(api, token) == "AccessDenied" if denies else assume(api, token)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"RoleArn": f"{ROLE}2"}, "AccessDenied"),
        ({"RoleArn": "Service" * 3}, "ValidationError"),
        ({"RoleSessionName": "a b"}, "ValidationError"),
        ({"DurationSeconds": 899}, "ValidationError"),
        ({"DurationSeconds": 3601}, "ValidationError"),
    ],
    ids=str,
)
def test_bad_requests_are_refused(
    account: Store, api: AwsApi, key: SigningKey, changes: dict[str, Any], code: str
) -> None:
    assert refusal(api, key.sign(claims()), **changes) == code


def test_nothing_else_is_asked_without_a_key(api: AwsApi) -> None:
    unsigned = Config(signature_version=UNSIGNED)
    sts: Any = boto3.client("sts", region_name="us-east-1", endpoint_url=api.url, config=unsigned)
    for call in (sts.get_caller_identity, lambda: sts.assume_role(RoleArn=ROLE, RoleSessionName="pod")):
        with pytest.raises(ClientError, match="MissingAuthenticationToken"):
            call()


def test_a_session_of_a_token_is_one_like_any(account: Store, api: AwsApi, key: SigningKey) -> None:
    """It is chained when it assumes another role, so that one lasts an hour at most."""
    given = assume(api, key.sign(claims()))["Credentials"]
    sts: Any = boto3.client(
        "sts",
        region_name="us-east-1",
        endpoint_url=api.url,
        aws_access_key_id=given["AccessKeyId"],
        aws_secret_access_key=given["SecretAccessKey"],
        aws_session_token=given["SessionToken"],
    )
    assert sts.get_caller_identity()["Arn"].endswith(":assumed-role/Service/pod")
    arn = "arn:aws:iam::123456789012:role/Customer"
    policy = json.dumps(
        {"Statement": {"Effect": "Allow", "Principal": {"AWS": ROLE}, "Action": "sts:AssumeRole"}}
    )
    state = {"arn": arn, "max_session_duration": 43200, "assume_role_policy": policy}
    account.create(NewObject("123456789012", GLOBAL, "aws_iam_role", "Customer", "Customer", state))
    assert sts.assume_role(RoleArn=arn, RoleSessionName="worker")["Credentials"]
    with pytest.raises(ClientError, match="role chaining"):
        sts.assume_role(RoleArn=arn, RoleSessionName="worker", DurationSeconds=3601)
