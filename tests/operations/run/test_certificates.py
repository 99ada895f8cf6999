"""Behind a proxy that opens TLS, one variable is enough for everything that a worker does and starts.

It was not: Terraform and Helm heard of SSL_CERT_FILE only, botocore of the two others.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.fake_sts import FakeSts, fake_sts, refuses
from tests.support.trust import NAMES, Authority, authority

from beta9_provisioning.clouds.aws.session import AwsSession
from beta9_provisioning.clouds.aws.signing import Credentials
from beta9_provisioning.clouds.aws.sts import sts_of
from beta9_provisioning.clouds.registry import CLOUDS
from beta9_provisioning.engine.errors import EngineError
from beta9_provisioning.engine.processes.child_variables import HELM, chosen
from beta9_provisioning.engine.terraform.terraform import Terraform
from beta9_provisioning.local.tools import find_terraform
from beta9_provisioning.operations.run.context import child_environment
from beta9_provisioning.schemas.configuration import Provider
from beta9_provisioning.settings import Settings
from beta9_simulator.cluster.certificates import server_context

__all__ = ["authority"]

ROLE = "arn:aws:iam::123456789012:role/Beta9Provisioner"
CLOUD = CLOUDS[Provider.AWS]


@pytest.fixture
def server(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeSts]:
    """An AWS of which the private authority vouches, and which refuses everything."""
    with fake_sts(authority.context) as fake:
        fake.will(refuses(403, "AccessDenied"))
        monkeypatch.setenv("AWS_ENDPOINT_URL", fake.url)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAOWN")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "own-secret")
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        yield fake


def by_botocore(_: Path) -> None:
    session = AwsSession(region="us-east-1", role_arn=ROLE, external_id=None, session_name="test")
    with session.explained("ask who it is"):
        session.client("sts").get_caller_identity()


def by_the_token_command(_: Path) -> None:
    own = Credentials("AKIAOWN", "own-secret")
    sts_of("us-east-1").assume_role(own, ROLE, external_id=None, session_name="test")


def by_terraform(directory: Path) -> None:
    """Its backend and its provider are the same SDK; both are programs in Go."""
    backend = {
        "bucket": "b",
        "key": "k",
        "region": "us-east-1",
        "use_path_style": True,
        "max_retries": 0,
        "assume_role": {"role_arn": ROLE},
    }
    (directory / "cdk.tf.json").write_text(json.dumps({"terraform": {"backend": {"s3": backend}}}))
    (directory / "terraformrc").touch()
    settings = Settings(workdir_base=directory, terraform_cli_config=directory / "terraformrc")
    Terraform(
        binary=find_terraform(),
        directory=directory,
        env=child_environment(os.environ, settings, CLOUD.child_variables),
        stop=threading.Event(),
        on_event=lambda _: None,
        rules=CLOUD.terraform_rules,
    ).init()


USERS = [by_botocore, by_the_token_command, by_terraform]


def failure(user: Callable[[Path], None], directory: Path) -> EngineError:
    with pytest.raises(EngineError) as caught:
        user(directory)
    return caught.value


@pytest.mark.parametrize("user", USERS)
def test_an_untrusted_certificate_looked_like_a_network_that_is_down(
    server: FakeSts, tmp_path: Path, user: Callable[[Path], None]
) -> None:
    error = failure(user, tmp_path)
    assert error.code == "certificate_untrusted"
    assert "certificate" in error.message
    assert "SSL_CERT_FILE" in error.remedy
    assert not server.asked


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("user", USERS)
def test_one_variable_is_enough(
    *,
    server: FakeSts,
    authority: Authority,
    tmp_path: Path,
    user: Callable[[Path], None],
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its path may be relative, though tools run elsewhere, and the others may be set to nothing."""
    for other in NAMES:
        monkeypatch.setenv(other, "")
    monkeypatch.setenv(name, os.path.relpath(authority.file))
    assert failure(user, tmp_path).code == "role_refused"
    assert server.asked


def test_a_file_for_aws_goes_before_the_general_one_and_before_a_profiles(
    server: FakeSts, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other.pem"
    other.write_text(server_context("127.0.0.1")[0])
    config = tmp_path / "config"
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("SSL_CERT_FILE", str(other))
    config.write_text(f"[default]\nca_bundle = {authority.file}\n")
    assert failure(by_botocore, tmp_path).code == "role_refused"
    assert failure(by_terraform, tmp_path).code == "role_refused"
    config.write_text(f"[default]\nca_bundle = {other}\n")
    monkeypatch.setenv("AWS_CA_BUNDLE", str(authority.file))
    for user in USERS:
        assert failure(user, tmp_path).code == "role_refused"


def test_helm_gets_what_terraform_gets(authority: Authority, tmp_path: Path) -> None:
    source = {"AWS_CA_BUNDLE": str(authority.file)}
    env = child_environment(source, Settings(workdir_base=tmp_path), CLOUD.child_variables)
    assert chosen(env, HELM) == {"SSL_CERT_FILE": str(authority.file)}
