"""A request to stop ends what is asked of AWS, however often it would be asked again."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from tests.support.http_servers import QuietHandler, answering_with

from beta9_provisioning.clouds.aws.account import AwsAccount
from beta9_provisioning.engine.errors import Stopped

if TYPE_CHECKING:
    from tests.clouds.aws.conftest import Customer


@contextmanager
def stopping_at(request: int, stop: threading.Event) -> Iterator[tuple[str, list[str]]]:
    """Run a server that answers 503, and sets `stop` at the given request; give its URL and what came."""
    came: list[str] = []

    class Handler(QuietHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            came.append(self.path)
            if len(came) == request:
                stop.set()
            self.send_response(503)
            self.send_header("Content-Length", "0")
            self.end_headers()

    with answering_with(Handler) as url:
        yield url, came


def test_a_call_that_aws_has_not_answered_is_not_made_again(
    customer: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = threading.Event()
    with stopping_at(1, stop) as (url, came):
        monkeypatch.setenv("AWS_ENDPOINT_URL_EKS", url)
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", url)
        with pytest.raises(Stopped):
            AwsAccount(customer.target, stop).check_access((), None)
    assert len(came) == 1


def test_after_a_stop_a_role_that_expires_can_be_taken_on_again(
    customer: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Secret with the database's master password stayed in the cluster when its removal needed a token."""
    stop = threading.Event()
    session = AwsAccount(customer.target, stop)._session
    stop.set()
    with pytest.raises(Stopped), session.explained("list the clusters"):
        session.client("eks").list_clusters()
    assert session.credentials().get_frozen_credentials().token


def test_a_search_of_many_requests_ends(customer: Customer) -> None:
    stop = threading.Event()
    account = AwsAccount(customer.target, stop)
    account.check_access((), None)
    stop.set()
    with pytest.raises(Stopped):
        account.leftovers()
    with pytest.raises(Stopped):
        account.purge_state()
