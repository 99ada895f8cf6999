"""The device flow against an issuer: every way in which it ends, and issuers that do not behave."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.client import fake_api
from tests.client.fake_api import answer_json
from tests.support.issuer import Issuer, issuing

from beta9_provisioning.client import CredentialUnfit, LoginEnded, Unreachable
from beta9_provisioning.client.device_login import DeviceLogin, Prompt
from beta9_provisioning.local.ports import free_port
from beta9_provisioning.schemas.callers import OidcLogin

Act = Callable[[Prompt], object]


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with issuing() as running:
        yield running


class Time:
    """A clock that only a program's own sleep moves."""

    def __init__(self) -> None:
        self.now = 1_000_000.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def login(issuer: Issuer, time: Time | None = None, **changes: Any) -> DeviceLogin:
    time = time or Time()
    known = OidcLogin(
        **{"issuer": issuer.url, "client_id": issuer.client_id, "audience": issuer.audience, **changes}
    )
    return DeviceLogin(known, clock=lambda: time.now, sleep=time.sleep)


def approving(issuer: Issuer) -> Act:
    return lambda prompt: issuer.approve(prompt.code)


def test_a_person_logs_in_and_the_tokens_are_renewed(issuer: Issuer) -> None:
    time = Time()
    shown: list[Prompt] = []

    def act(prompt: Prompt) -> None:
        shown.append(prompt)
        issuer.approve(prompt.code)

    tokens = login(issuer, time).run(act)
    assert shown[0].page == f"{issuer.url}/activate"
    assert shown[0].link == f"{shown[0].page}?user_code={shown[0].code}"
    assert tokens.bearer.count(".") == 2
    assert tokens.expires_at == time.now + 600
    assert not {tokens.bearer, tokens.refresh} & set(repr(tokens).split("'"))
    assert tokens.refresh
    asked = dict(issuer.asked)["/device"]
    assert (asked["client_id"], asked["audience"]) == (issuer.client_id, issuer.audience)
    newer = login(issuer).renew(tokens.refresh)
    assert newer.refresh not in (None, tokens.refresh)
    with pytest.raises(LoginEnded, match=r"is over\. Log in again: beta9-provisioning auth login"):
        login(issuer).renew(tokens.refresh)


def test_an_issuer_that_asks_for_slowness_gets_it(issuer: Issuer) -> None:
    issuer.interval = 5
    issuer.polls.extend(["authorization_pending", "slow_down", "authorization_pending", "slow_down"])
    time = Time()
    login(issuer, time).run(approving(issuer))
    assert time.slept == [5, 5, 10, 10, 15]


@pytest.mark.parametrize(
    ("end", "told"), [("deny", "The login was refused."), ("expire", "The time for logging in is over.")]
)
def test_a_login_that_comes_to_nothing_ends(issuer: Issuer, end: str, told: str) -> None:
    with pytest.raises(LoginEnded, match=told):
        login(issuer).run(lambda prompt: getattr(issuer, end)(prompt.code))


def test_a_login_ends_although_the_issuer_never_says_so(issuer: Issuer) -> None:
    time = Time()
    with pytest.raises(LoginEnded, match="The time for logging in is over"):
        login(issuer, time).run(lambda _: None)
    assert 600 <= sum(time.slept) < 601


def test_an_issuer_that_is_away_for_a_moment_is_asked_again(issuer: Issuer) -> None:
    time = Time()

    def act(prompt: Prompt) -> None:
        issuer.approve(prompt.code)
        issuer.broken = 503

    real = time.sleep

    def sleep(seconds: float) -> None:
        real(seconds)
        if len(time.slept) == 3:
            issuer.broken = 0

    time.sleep = sleep  # type: ignore[method-assign]
    assert login(issuer, time).run(act).bearer
    assert len(time.slept) == 3


def test_no_issuer_is_told_as_one() -> None:
    nowhere = Issuer(url=f"http://127.0.0.1:{free_port()}")
    with pytest.raises(Unreachable, match="The OIDC issuer") as caught:
        login(nowhere).run(lambda _: None)
    assert "make up" not in str(caught.value)
    with pytest.raises(Unreachable):
        login(nowhere).renew("r")


@pytest.mark.parametrize(
    "changed",
    [
        {"issuer": "https://other.example.com"},
        {"token_endpoint": None},
        {"device_authorization_endpoint": None},
        {"token_endpoint": "http://example.com/token"},
        {"device_authorization_endpoint": "http://169.254.169.254/latest"},
        {"device_authorization_endpoint": "nonsense"},
    ],
    ids=str,
)
def test_a_discovery_document_that_leads_astray_is_not_followed(
    issuer: Issuer, changed: dict[str, Any]
) -> None:
    issuer.changed = changed
    with pytest.raises((Unreachable, LoginEnded, CredentialUnfit)):
        login(issuer).run(lambda _: None)
    assert [path for path, _ in issuer.asked] == ["/.well-known/openid-configuration"]


def test_an_issuer_in_plain_http_is_not_spoken_to() -> None:
    with pytest.raises(CredentialUnfit):
        login(Issuer(url="http://example.com"))


@pytest.mark.parametrize(
    "given",
    [
        {},
        [],
        {"device_code": 7, "user_code": "A", "verification_uri": "https://x"},
        {"device_code": "d", "user_code": None, "verification_uri": "https://x"},
        {"device_code": "d", "user_code": "A", "verification_uri": "javascript:alert(1)"},
        {"device_code": "d", "user_code": "A", "verification_uri": "http://["},
        {"device_code": "d", "user_code": "A", "verification_uri": "file:///etc/passwd"},
    ],
    ids=str,
)
def test_an_answer_that_is_none_of_the_flow_is_told(given: object) -> None:
    with fake_api.serving() as fake:
        places = {"token_endpoint": f"{fake.url}/t", "device_authorization_endpoint": f"{fake.url}/d"}
        fake.on("GET", "/.well-known/openid-configuration", answer_json({"issuer": fake.url, **places}))
        fake.on("POST", "/d", answer_json(given))
        with pytest.raises(Unreachable, match="none of the device flow"):
            login(Issuer(url=fake.url)).run(lambda _: None)


@pytest.mark.parametrize(
    ("given", "bearer"),
    [
        ({"access_token": "opaque", "id_token": "a.b.c"}, "a.b.c"),
        ({"access_token": "a.b.c", "id_token": "d.e.f"}, "a.b.c"),
        ({"access_token": "opaque"}, None),
        ({"access_token": 7}, None),
    ],
    ids=str,
)
def test_what_the_service_can_read_is_taken(given: dict[str, object], bearer: str | None) -> None:
    with fake_api.serving() as fake:
        document = {"issuer": fake.url, "token_endpoint": f"{fake.url}/t"}
        fake.on("GET", "/.well-known/openid-configuration", answer_json(document))
        fake.on("POST", "/t", answer_json(given))
        if bearer is None:
            with pytest.raises(LoginEnded, match="a JWT") as caught:
                login(Issuer(url=fake.url)).renew("r")
            assert "opaque" not in str(caught.value)
        else:
            tokens = login(Issuer(url=fake.url)).renew("old")
            assert (tokens.bearer, tokens.refresh) == (bearer, "old")
