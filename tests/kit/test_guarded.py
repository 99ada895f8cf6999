"""The client for addresses that users give, against servers and names that mean it ill."""

from __future__ import annotations

import asyncio
import gzip
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from ipaddress import ip_network
from urllib.parse import urlsplit

import pytest
from tests.support.fake_sts import FakeSts, drops, fake_sts, says, trickles
from tests.support.trust import Authority, authority
from tests.support.waiting import GUARD_SECONDS

from beta9_provisioning.kit.guarded import (
    Answer,
    AnswerRefused,
    Bounds,
    GuardedClient,
    Resolver,
    TargetRefused,
    TargetUnreachable,
)
from beta9_simulator.cluster.certificates import server_context

__all__ = ["authority"]
LOOPBACK = (ip_network("127.0.0.1/32"),)
PATIENT = Bounds(seconds=GUARD_SECONDS)


def ask(client: GuardedClient, url: str) -> Answer:
    return asyncio.run(client.request("GET", url))


def leads_to(*addresses: str) -> Resolver:
    """Resolve every name to these."""

    async def resolver(_name: str, _port: int) -> Sequence[str]:
        return addresses

    return resolver


def at(url: str, host: str) -> str:
    """Return the URL under another name, with the same port."""
    parts = urlsplit(url)
    return parts._replace(netloc=f"{host}:{parts.port}").geturl()


def client(resolver: Resolver | None = None, *, bounds: Bounds = PATIENT) -> GuardedClient:
    """A client that may reach this machine, and that finds it under any name."""
    return GuardedClient(LOOPBACK, bounds=bounds, resolver=resolver or leads_to("127.0.0.1"))


def test_an_answer_comes_whole() -> None:
    with fake_sts() as server:
        server.will(says(404, "nothing"))

        answer = ask(client(), at(server.url, "idp.example") + "/keys?a=b")

        assert (answer.status, answer.content) == (404, b"nothing")
        assert server.asked[0].target == "/keys?a=b"
        assert server.asked[0].headers["host"] == urlsplit(at(server.url, "idp.example")).netloc
        assert server.asked[0].headers["accept-encoding"] == "identity"


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f.1",
        "0x7f000001",
        "0177.0.0.1",
        "0",
        "①②⑦.⓪.⓪.①",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
    ],
)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_no_spelling_of_this_machine_reaches_it(host: str, scheme: str) -> None:
    with fake_sts() as server:
        server.will(says(200, "secret"))
        url = at(server.url, host).replace("http", scheme, 1)

        with pytest.raises(TargetRefused) as refused:
            ask(GuardedClient(bounds=PATIENT), url)

        assert server.asked == []
        assert "OUTGOING_ALLOWED_NETWORKS" in str(refused.value) or "cannot be read" in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "https://169.254.169.254/latest/meta-data/",
        "https://[fd00:ec2::254]/latest/",
        "https://[::ffff:169.254.169.254]/",
        "https://0xa9fea9fe/",
        "https://2852039166/",
    ],
)
def test_a_metadata_service_is_reached_by_no_spelling_and_no_setting(url: str) -> None:
    everything = (ip_network("0.0.0.0/0"), ip_network("::/0"))

    with pytest.raises(TargetRefused, match="metadata"):
        ask(GuardedClient(everything, bounds=PATIENT), url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "idp.example",
        "//idp.example",
        "ftp://idp.example/",
        "file:///etc/passwd",
        "gopher://127.0.0.1:6379/_SET",
        "unix:///run/docker.sock",
        "https://",
        "https:///path",
        "https://user@idp.example/",
        "https://user:password@idp.example/",
        "https://idp.example@127.0.0.1/",
        "https://@127.0.0.1/",
        "https://idp.example#@127.0.0.1/",
        "https://idp.example\\@127.0.0.1/",
        "https://idp.example/a b",
        "https://idp.example/\r\nHost: x",
        "https://idp.example/\x00",
        "https://idp.example/\udcff",
        "https://idp.example:port/",
        "https://idp.example:99999999/",
        "https://[::1/",
        f"https://idp.example/{'a' * 4000}",
    ],
)
def test_an_address_that_is_none_of_ours_is_refused_unresolved(url: str) -> None:
    asked: list[str] = []

    async def resolver(name: str, _port: int) -> Sequence[str]:
        asked.append(name)
        return ["127.0.0.1"]

    with pytest.raises(TargetRefused, match="Write https://"):
        ask(client(resolver), url)
    assert asked == []


def test_http_is_for_allowed_networks_only() -> None:
    with pytest.raises(TargetRefused, match="Use https"):
        ask(client(leads_to("93.184.215.14")), "http://idp.example/")


@pytest.mark.parametrize("others", [["10.0.0.1"], ["127.0.0.1", "10.0.0.1"], ["10.0.0.1", "127.0.0.1"]])
def test_one_bad_address_refuses_the_name(others: list[str]) -> None:
    with fake_sts() as server:
        server.will(says(200, "secret"))

        with pytest.raises(TargetRefused) as refused:
            ask(client(leads_to(*others)), at(server.url, "mixed.example"))

        assert server.asked == []
        assert "mixed.example leads to an address that is not public (private)" in str(refused.value)
        assert "10.0.0.1" not in str(refused.value), "it would map the network for whoever asks"


def test_a_name_that_leads_elsewhere_a_moment_later_changes_nothing() -> None:
    turns = iter([["127.0.0.1"], ["169.254.169.254"], ["10.0.0.1"]])

    async def rebinding(_name: str, _port: int) -> Sequence[str]:
        return next(turns)

    with fake_sts() as server:
        server.will(says(200, "fine"))
        guarded, url = client(rebinding), at(server.url, "rebinding.example")

        assert ask(guarded, url).content == b"fine"
        for kind in ("metadata", "private"):
            with pytest.raises(TargetRefused, match=kind):
                ask(guarded, url)
        assert len(server.asked) == 1


def test_a_dead_address_gives_way_to_the_next() -> None:
    networks = (ip_network("127.0.0.0/8"),)
    with fake_sts() as server:
        server.will(says(200, "fine"))
        # Nobody listens at the first: the server is at 127.0.0.1 alone.
        guarded = GuardedClient(networks, bounds=PATIENT, resolver=leads_to("127.0.0.2", "127.0.0.1"))

        assert ask(guarded, at(server.url, "two.example")).content == b"fine"


@pytest.mark.parametrize(
    "location", ["http://169.254.169.254/", "https://127.0.0.1/", "/elsewhere", "//10.0.0.1/", "file:///etc"]
)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(status: int, location: str) -> None:
    with fake_sts() as server:
        server.will(says(status, "", Location=location))

        with pytest.raises(AnswerRefused, match="Give the final address"):
            ask(client(), server.url)
        assert len(server.asked) == 1


def test_no_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with fake_sts() as server, fake_sts() as proxy:
        server.will(says(200, "fine"))
        for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)

        assert ask(client(), server.url).content == b"fine"
        assert proxy.asked == []


def _endless(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.end_headers()
    with suppress(OSError):
        while True:
            handler.wfile.write(b"x" * 65536)


def _endless_chunks(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    with suppress(OSError):
        while True:
            handler.wfile.write(b"1\r\nx\r\n" * 1000)


@pytest.mark.parametrize("answer", [_endless, _endless_chunks, says(200, "x" * 2_000_000)])
def test_too_much_is_not_read(answer: Callable[[BaseHTTPRequestHandler], None]) -> None:
    with fake_sts() as server:
        server.will(answer)

        with pytest.raises(AnswerRefused, match="more than 100000 bytes"):
            ask(client(bounds=Bounds(GUARD_SECONDS, size=100_000)), server.url)


def test_compressed_content_is_not_taken() -> None:
    with fake_sts() as server:
        server.will(says(200, gzip.compress(b"0" * 50_000_000), Content_Encoding="gzip"))

        with pytest.raises(AnswerRefused, match="compressed"):
            ask(client(), server.url)


def _endless_head(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    with suppress(OSError):
        while True:
            handler.wfile.write(b"x-more: " + b"y" * 1000 + b"\r\n")


def _greets(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"220 mail.example ESMTP\r\n")


@pytest.mark.parametrize("answer", [_endless_head, _greets])
def test_what_is_no_http_is_refused(answer: Callable[[BaseHTTPRequestHandler], None]) -> None:
    with fake_sts() as server:
        server.will(answer)

        with pytest.raises(AnswerRefused, match="does not answer as HTTP"):
            ask(client(), server.url)


@pytest.mark.parametrize(
    "answer",
    [
        trickles(b"", b""),
        trickles(b"HTTP/1.1 200 OK\r\n", b"x"),
        trickles(b"HTTP/1.1 200 OK\r\n\r\n", b"x"),
        trickles(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
    ],
    ids=["silent", "headers", "content", "interim"],
)
def test_a_trickle_ends(answer: Callable[[BaseHTTPRequestHandler], None]) -> None:
    with fake_sts() as server:
        server.will(answer)

        with pytest.raises(TargetUnreachable, match=r"not answered completely within 0\.3 s"):
            ask(client(bounds=Bounds(seconds=0.3)), server.url)


def test_a_resolver_that_hangs_ends_in_time() -> None:
    async def hangs(_name: str, _port: int) -> Sequence[str]:
        await asyncio.Event().wait()
        raise AssertionError

    with pytest.raises(TargetUnreachable, match="within"):
        ask(client(hangs, bounds=Bounds(seconds=0.05)), "https://slow.example/")


def test_an_unknown_name_is_told() -> None:
    with pytest.raises(TargetUnreachable, match=r"The name nowhere\.invalid cannot be resolved"):
        ask(GuardedClient(bounds=PATIENT), "https://nowhere.invalid/")


@pytest.mark.parametrize("addresses", [(), ("127.0.0.2",)])
def test_nobody_there_is_told(addresses: tuple[str, ...]) -> None:
    with fake_sts() as server:
        guarded = GuardedClient((ip_network("127.0.0.0/8"),), bounds=PATIENT, resolver=leads_to(*addresses))

        with pytest.raises(TargetUnreachable, match="cannot be connected to"):
            ask(guarded, at(server.url, "gone.example"))


def test_a_dropped_connection_is_told() -> None:
    with fake_sts() as server:
        server.will(drops)

        with pytest.raises((TargetUnreachable, AnswerRefused)):
            ask(client(), server.url)


@pytest.fixture
def named() -> tuple[str, ssl.SSLContext]:
    """An authority, and the server that it vouches for under a name."""
    return server_context("idp.example")


def over_tls(server: FakeSts, pem: str, host: str) -> Answer:
    context = ssl.create_default_context(cadata=pem)
    guarded = GuardedClient(LOOPBACK, bounds=PATIENT, resolver=leads_to("127.0.0.1"), context=context)
    return ask(guarded, at(server.url, host))


def test_the_certificate_is_the_names_and_not_the_addresses(named: tuple[str, ssl.SSLContext]) -> None:
    pem, context = named
    with fake_sts(context) as server:
        server.will(says(200, "fine"))

        assert over_tls(server, pem, "idp.example").content == b"fine"
        with pytest.raises(TargetUnreachable, match=r"certificate of other\.example is not trusted"):
            over_tls(server, pem, "other.example")


def test_an_authority_of_ones_own_is_named_by_the_system(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    with fake_sts(authority.context) as server:
        server.will(says(200, "fine"))

        with pytest.raises(TargetUnreachable, match="SSL_CERT_FILE"):
            ask(client(), server.url)
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
        assert ask(client(), server.url).content == b"fine"
