"""Terraform's genuine S3 backend against moto, and an STS that refuses: what their errors become."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from moto.server import ThreadedMotoServer
from tests.support.http_servers import QuietHandler, answering_with

from beta9_provisioning.clouds.aws.terraform_rules import RULES
from beta9_provisioning.engine.terraform.errors import TerraformFailed
from beta9_provisioning.engine.terraform.terraform import READ_TRIES, Terraform

BUCKET = "beta9-state"
KEY = "environments/env_1/terraform.tfstate"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": "example"}
ROLE = "arn:aws:iam::123456789012:role/Beta9Provisioner"


@pytest.fixture(scope="module")
def aws() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


class RefusingSts(QuietHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        message = f"User: arn:aws:iam::1:user/x is not authorized to perform: sts:AssumeRole on {ROLE}"
        error = f"<Error><Type>Sender</Type><Code>AccessDenied</Code><Message>{message}</Message></Error>"
        body = f"<ErrorResponse>{error}<RequestId>1</RequestId></ErrorResponse>".encode()
        self.send_response(403)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class CuttingSts(QuietHandler):
    """Breaks as many connections in the middle of its answer as it is told to."""

    cuts = 0
    asked = 0

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        expiration = "<Expiration>2999-01-01T00:00:00Z</Expiration>"
        keys = "<AccessKeyId>ASIAEXAMPLE</AccessKeyId><SecretAccessKey>e</SecretAccessKey>"
        credentials = f"<Credentials>{keys}<SessionToken>t</SessionToken>{expiration}</Credentials>"
        result = f"<AssumeRoleResult>{credentials}</AssumeRoleResult>"
        body = f"<AssumeRoleResponse>{result}</AssumeRoleResponse>".encode()
        type(self).asked += 1
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:40] if self.asked <= self.cuts else body)
        self.close_connection = True


@pytest.fixture
def refusing_sts() -> Iterator[str]:
    with answering_with(RefusingSts) as url:
        yield url


def terraform(
    directory: Path, aws: str, *, sts: str | None = None, credentials: dict[str, str], **backend: Any
) -> Terraform:
    settings = {
        "bucket": BUCKET,
        "key": KEY,
        "region": "us-east-1",
        "use_lockfile": True,
        "use_path_style": True,
        "endpoints": {"s3": aws, "iam": aws, "sts": sts or aws},
        "max_retries": 0,
        **backend,
    }
    document = {"terraform": {"backend": {"s3": settings}}, "resource": {"terraform_data": {"a": {}}}}
    (directory / "cdk.tf.json").write_text(json.dumps(document))
    (directory / "terraformrc").touch()
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(directory),
        "TF_CLI_CONFIG_FILE": str(directory / "terraformrc"),
        "AWS_EC2_METADATA_DISABLED": "true",
        **credentials,
    }
    return Terraform(
        binary="terraform",
        directory=directory,
        env=env,
        stop=threading.Event(),
        on_event=lambda _: None,
        rules=RULES,
        lock_timeout=0.2,
    )


def test_a_missing_bucket(tmp_path: Path, aws: str) -> None:
    with pytest.raises(TerraformFailed, match='S3 bucket "beta9-absent" does not exist') as caught:
        terraform(tmp_path, aws, credentials=CREDENTIALS, bucket="beta9-absent").init()
    assert caught.value.code == "state_unavailable"


def test_no_credentials(tmp_path: Path, aws: str) -> None:
    with pytest.raises(TerraformFailed, match="No valid credential sources found") as caught:
        terraform(tmp_path, aws, credentials={}).init()
    assert caught.value.code == "credentials_refused"


@pytest.mark.parametrize(("reachable", "code"), [(True, "role_refused"), (False, "cloud_unreachable")])
def test_the_role_is_not_to_be_had(
    tmp_path: Path, aws: str, refusing_sts: str, reachable: bool, code: str
) -> None:
    with pytest.raises(TerraformFailed, match="Cannot assume IAM Role") as caught:
        terraform(
            tmp_path,
            aws,
            sts=refusing_sts if reachable else "http://127.0.0.1:1",
            credentials=CREDENTIALS,
            assume_role={"role_arn": ROLE, "external_id": "wrong"},
        ).init()
    assert caught.value.code == code
    assert ROLE in caught.value.detail


@pytest.mark.parametrize("cuts", [READ_TRIES - 1, READ_TRIES])
def test_a_broken_connection_is_no_refused_role(tmp_path: Path, aws: str, cuts: int) -> None:
    class Sts(CuttingSts): ...

    Sts.cuts = cuts
    httpx.put(f"{aws}/{BUCKET}").raise_for_status()
    with answering_with(Sts) as url:
        role = {"role_arn": ROLE, "external_id": "right"}
        asks_no_more = {"skip_credentials_validation": True, "skip_requesting_account_id": True}
        one = terraform(tmp_path, aws, sts=url, credentials=CREDENTIALS, assume_role=role, **asks_no_more)
        if cuts < READ_TRIES:
            one.init()
            return
        with pytest.raises(TerraformFailed, match="Cannot assume IAM Role") as caught:
            one.init()
    assert caught.value.code == "cloud_unreachable"
    assert "unexpected EOF" in caught.value.detail
    assert Sts.asked == READ_TRIES
