"""What the client sends of whom it asks for, what it sends again, and how much of an answer it reads."""

import gzip
import json
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler

import pytest
from tests.client import fake_api
from tests.client.fake_api import BASE, ENVIRONMENT_ID, FakeApi, answer_json, body, problem

from beta9_provisioning.client import ApiProblem, Client, CredentialUnfit, FixedKey, Unreachable
from beta9_provisioning.client.errors import AnswerLost
from beta9_provisioning.client.transport import Transport
from beta9_provisioning.kit.texts import ANSWER_BYTES

ONE = f"{BASE}/{ENVIRONMENT_ID}"
KEY = "b9p_0123456789abcdef_" + "s" * 43
KEYS = "/api/v1/keys"
NOTHING = answer_json({"items": [], "next_cursor": None})
BUSY = "Too many requests"


@pytest.fixture
def fake() -> Iterator[FakeApi]:
    with fake_api.serving() as running:
        yield running


def busy(seconds: str) -> fake_api.Answer:
    document = {"type": "about:blank", "title": BUSY, "status": 429, "detail": "Slow down.", "errors": []}
    return body(429, json.dumps(document), "application/problem+json", **{"Retry-After": seconds})


def test_who_is_asking_and_in_which_organization_is_sent(fake: FakeApi) -> None:
    fake.on("GET", BASE, NOTHING)
    with Client(fake.url, credential=FixedKey(KEY), organization="org_1") as client:
        assert list(client.list()) == []
    with Client(fake.url) as client:
        assert list(client.list()) == []
    known, unknown = (one.headers for one in fake.received)
    assert (known["authorization"], known["beta9-organization"]) == (f"Bearer {KEY}", "org_1")
    assert not {"authorization", "beta9-organization"} & unknown.keys()


def test_a_stream_shows_who_is_asking(fake: FakeApi) -> None:
    done = fake_api.environment(operation=fake_api.FINISHED)
    fake.on("GET", ONE, answer_json(done))
    events = answer_json({"items": [], "next_after": None})
    fake.on("GET", f"{ONE}/events", fake_api.stream(fake_api.event(1)), events)
    with Client(fake.url, credential=FixedKey(KEY)) as client:
        assert [event.id for event in client.watch(ENVIRONMENT_ID)] == [1]
    assert {one.headers["authorization"] for one in fake.received} == {f"Bearer {KEY}"}


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_told_and_not_followed(fake: FakeApi, status: int) -> None:
    with fake_api.serving() as thief:
        fake.on("GET", ONE, body(status, "", Location=f"{thief.url}/stolen"))
        with Client(fake.url, credential=FixedKey(KEY)) as client, pytest.raises(ApiProblem) as caught:
            client.get(ENVIRONMENT_ID)
    assert thief.received == []
    assert f"{thief.url}/stolen" in str(caught.value)
    assert "no redirect is followed" in str(caught.value)


@pytest.mark.parametrize(
    "url", ["http://example.com", "http://10.0.0.1:8000", "HTTP://service", "example.com"]
)
def test_a_credential_does_not_go_where_all_can_read_it(url: str) -> None:
    with pytest.raises(CredentialUnfit, match="--plain-http") as caught:
        Client(url, credential=FixedKey(KEY))
    assert KEY not in str(caught.value)
    Client(url if "://" in url else f"http://{url}", credential=FixedKey(KEY), plain_http=True)
    Client(url)


@pytest.mark.parametrize(
    "url", ["https://example.com", "http://127.0.0.2", "http://[::1]:80", "http://localhost"]
)
def test_a_credential_goes_where_nobody_else_can_read_it(url: str) -> None:
    Client(url, credential=FixedKey(KEY))


@pytest.mark.parametrize("key", ["", " ", "a b", "a\r\nX-Evil: 1", "kéy", "a" * 9000, '"quoted"'])
def test_what_no_key_can_be_is_not_sent_and_not_told(fake: FakeApi, key: str) -> None:
    with Client(fake.url, credential=FixedKey(key)) as client, pytest.raises(CredentialUnfit) as caught:
        client.get(ENVIRONMENT_ID)
    assert fake.received == []
    assert "This is no key" in str(caught.value)
    assert not key.strip() or key not in str(caught.value)


class Renewing:
    """A credential that is renewed once."""

    def token(self) -> str:
        return "old"

    def renewed(self, refused: str) -> str:
        assert refused == "old"
        return "new"


def test_a_token_that_was_refused_is_renewed_once(fake: FakeApi) -> None:
    fake.on("GET", ONE, problem(401, "Who?", ""), answer_json(fake_api.environment()))
    with Client(fake.url, credential=Renewing()) as client:
        assert client.get(ENVIRONMENT_ID).name == "demo"
    assert [one.headers["authorization"] for one in fake.received] == ["Bearer old", "Bearer new"]
    fake.scripts["GET", ONE].clear()
    fake.on("GET", ONE, problem(401, "Who?", ""))
    with Client(fake.url, credential=Renewing()) as client, pytest.raises(ApiProblem):
        client.get(ENVIRONMENT_ID)
    assert len(fake.received) == 4


@pytest.mark.parametrize(
    "answer", [fake_api.drop, problem(504, "Gateway Timeout", "")], ids=["broken", "504"]
)
def test_a_key_is_never_made_twice(fake: FakeApi, answer: fake_api.Answer) -> None:
    fake.on("POST", KEYS, answer)
    fake.on("POST", f"{KEYS}/key_1/rotate", answer)
    with Client(fake.url) as client:
        asks: list[Callable[[], object]] = [
            lambda: client.access.create_key("ci"),
            lambda: client.access.rotate_key("key_1"),
        ]
        for ask in asks:
            with pytest.raises(AnswerLost, match="key list") as caught:
                ask()
            assert "key revoke" in str(caught.value)
    assert len(fake.received) == 2


@pytest.mark.parametrize("noun", ["org", "member"])
def test_nothing_else_is_made_twice(fake: FakeApi, noun: str) -> None:
    for collection in ("organizations", "members"):
        fake.on("POST", f"/api/v1/{collection}", fake_api.drop)
    with Client(fake.url) as client:
        asks: dict[str, Callable[[], object]] = {
            "org": lambda: client.access.create_organization("acme"),
            "member": lambda: client.access.add_member("a", kind="user", role="viewer"),
        }
        with pytest.raises(AnswerLost, match=f"beta9-provisioning {noun} list"):
            asks[noun]()
    assert len(fake.received) == 1


def transport(fake: FakeApi, slept: list[float], patience: float = 30.0) -> Transport:
    return Transport(
        fake.url,
        timeout=15,
        attempts=3,
        patience=patience,
        credential=None,
        organization=None,
        plain_http=False,
        sleep=slept.append,
    )


def test_a_busy_service_is_waited_for(fake: FakeApi) -> None:
    fake.on("GET", KEYS, busy("2"), busy("0"), NOTHING)
    fake.on("POST", BASE, busy("3"), answer_json({}, 202))
    slept: list[float] = []
    speaking = transport(fake, slept)
    assert speaking.send("GET", KEYS).is_success
    assert speaking.send("POST", BASE, headers={"Idempotency-Key": "k"}).is_success
    assert slept == [2.0, 1.0, 3.0]  # never in a busy loop, whatever it says
    speaking.http.close()


@pytest.mark.parametrize("seconds", ["31", "999999999", "-1", "1.5", "soon", "Wed, 21 Oct 2026 07:28:00 GMT"])
def test_more_patience_than_there_is_is_not_taken(fake: FakeApi, seconds: str) -> None:
    fake.on("GET", KEYS, busy(seconds))
    slept: list[float] = []
    speaking = transport(fake, slept)
    with pytest.raises(ApiProblem, match=BUSY) as caught:
        speaking.send("GET", KEYS)
    assert slept == []
    assert caught.value.retry_after == (31.0 if seconds == "31" else None)
    speaking.http.close()


def test_patience_ends(fake: FakeApi) -> None:
    fake.on("GET", KEYS, busy("10"))
    slept: list[float] = []
    speaking = transport(fake, slept)
    with pytest.raises(ApiProblem):
        speaking.send("GET", KEYS)
    assert sum(slept) == 30
    speaking.http.close()


def test_what_makes_something_is_not_sent_again_to_a_busy_service(fake: FakeApi) -> None:
    fake.on("POST", KEYS, busy("1"))
    slept: list[float] = []
    speaking = transport(fake, slept)
    with pytest.raises(ApiProblem):
        speaking.send("POST", KEYS, lost="Look.")
    assert (slept, len(fake.received)) == ([], 1)
    speaking.http.close()


def endless(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.end_headers()
    try:
        while True:
            handler.wfile.write(b" " * 65536)
    except OSError:  # it has had enough
        return


@pytest.mark.parametrize("kind", ["endless", "packed"])
def test_an_answer_without_end_is_given_up(fake: FakeApi, kind: str) -> None:
    packed = body(200, gzip.compress(b" " * (ANSWER_BYTES + 1)), **{"Content-Encoding": "gzip"})
    fake.on("GET", ONE, endless if kind == "endless" else packed)
    with Client(fake.url, attempts=1) as client, pytest.raises(Unreachable, match="longer than 16 MiB"):
        client.get(ENVIRONMENT_ID)


def test_a_line_without_end_is_given_up(fake: FakeApi) -> None:
    fake.on("GET", "/api/v1/audit", endless)
    with Client(fake.url) as client, pytest.raises(Unreachable, match="a line of the answer"):
        list(client.access.export_audit({}))


def test_an_export_comes_whole_or_says_that_it_did_not(fake: FakeApi) -> None:
    fake.on("GET", "/api/v1/audit", body(200, '{"a": 1}\n{"b": 2}\n', "application/x-ndjson"))
    with Client(fake.url) as client:
        assert list(client.access.export_audit({"actor": "mem_1", "since": None})) == ['{"a": 1}', '{"b": 2}']
    assert (fake.received[0].query, fake.received[0].headers["accept"]) == (
        "actor=mem_1",
        "application/x-ndjson",
    )

    def cut(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        handler.wfile.write(b'{"a": 1}\n')

    fake.scripts["GET", "/api/v1/audit"].clear()
    fake.on("GET", "/api/v1/audit", cut)
    with Client(fake.url) as client, pytest.raises(Unreachable):
        list(client.access.export_audit({}))


def test_a_secret_in_a_wrong_answer_is_not_told(fake: FakeApi) -> None:
    fake.on("POST", KEYS, answer_json({"key": {"id": 7}, "secret": KEY}, 201))
    with Client(fake.url) as client, pytest.raises(Unreachable, match="not this API's") as caught:
        client.access.create_key("ci")
    assert KEY not in str(caught.value)
    assert caught.value.__cause__ is None
