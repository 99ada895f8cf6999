"""A service of the company's own authority: the command line trusts whom it is told to trust."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.test_main import PROGRAM
from tests.client import fake_api
from tests.client.fake_api import BASE, ENVIRONMENT_ID, FakeApi, answer_json
from tests.support.fake_sts import fake_sts, gives
from tests.support.trust import NAMES, Authority, authority

from beta9_provisioning.client import CertificateUntrusted, Client

__all__ = ["authority"]


@pytest.fixture
def fake(authority: Authority) -> Iterator[FakeApi]:
    with fake_api.serving(context=authority.context) as running:
        running.on("GET", BASE, answer_json({"items": [], "next_cursor": None}))
        yield running


def call(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **variables, "COLUMNS": "200"}
    return subprocess.run(
        [*PROGRAM, *arguments], env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def test_a_service_of_an_untrusted_authority_was_told_as_none(fake: FakeApi) -> None:
    ended = call("env", "list", "--server", fake.url, "-o", "json")
    assert ended.returncode == 5
    error = json.loads(ended.stderr)["error"]
    assert error["code"] == "certificate_untrusted"
    assert error["message"].startswith(f"The certificate of {fake.url} was not accepted (")
    assert "SSL_CERT_FILE" in error["message"]
    assert "--ca-file" in error["message"]
    assert "make up" not in error["message"]


@pytest.mark.parametrize("name", NAMES)
def test_one_variable_is_enough(
    fake: FakeApi, authority: Authority, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """There was no way: the client heeded none of them."""
    monkeypatch.setenv(name, str(authority.file))
    with Client(fake.url) as client:
        assert list(client.list()) == []


def test_a_stream_of_an_untrusted_authority_does_not_wait_for_its_return(fake: FakeApi) -> None:
    with Client(fake.url) as client, pytest.raises(CertificateUntrusted):
        next(client.watch(ENVIRONMENT_ID, patience=float("inf")))


def test_ca_file_goes_before_the_variables(fake: FakeApi, authority: Authority) -> None:
    ended = call(
        "env",
        "list",
        "--server",
        fake.url,
        "--ca-file",
        str(authority.file),
        "-q",
        SSL_CERT_FILE="/no/ca.pem",
    )
    assert (ended.returncode, ended.stderr) == (0, "")


def test_the_token_command_takes_a_ca_file(authority: Authority) -> None:
    arguments = ["token", "--cluster", "c", "--region", "us-east-1", "--role-arn", "arn:aws:iam::1:role/x"]
    with fake_sts(authority.context) as sts:
        sts.will(gives("ASIAROLE"))
        keys = {"AWS_ENDPOINT_URL": sts.url, "AWS_ACCESS_KEY_ID": "AKIAOWN", "AWS_SECRET_ACCESS_KEY": "s"}
        refused = call(*arguments, **keys)
        assert refused.returncode == 1
        assert "the certificate of its endpoint in us-east-1 was not accepted." in refused.stderr
        assert "Traceback" not in refused.stderr
        given = call(*arguments, "--ca-file", str(authority.file), **keys)
    assert json.loads(given.stdout)["kind"] == "ExecCredential"


@pytest.mark.parametrize("is_option", [True, False])
def test_a_file_that_is_not_there_is_one_sentence(fake: FakeApi, tmp_path: Path, is_option: bool) -> None:
    file = str(tmp_path / "absent.pem")
    option = ["--ca-file", file] if is_option else []
    ended = call(
        "env", "list", "--server", fake.url, *option, **({} if is_option else {"SSL_CERT_FILE": file})
    )
    name = "--ca-file" if is_option else "SSL_CERT_FILE"
    assert ended.returncode == 2
    assert ended.stderr == (
        f"{name} is {file}, which cannot be read: No such file or directory. "
        "Name a file with the certificates of authorities, or leave it out.\n"
    )
