"""The client against a fake service: what it sends, what it repeats, and which errors it raises."""

import json
from collections.abc import Iterator

import pytest
from tests.client import fake_api
from tests.client.fake_api import BASE, ENVIRONMENT_ID, FakeApi, answer_json, body, problem

from beta9_provisioning.client import ApiProblem, Client, Unreachable
from beta9_provisioning.local.ports import free_port

ONE = f"{BASE}/{ENVIRONMENT_ID}"


@pytest.fixture
def fake() -> Iterator[FakeApi]:
    with fake_api.serving() as running:
        yield running


@pytest.fixture
def client(fake: FakeApi) -> Iterator[Client]:
    with Client(fake.url) as made:
        yield made


def test_create_sends_text_as_it_is(fake: FakeApi, client: Client) -> None:
    fake.on("POST", BASE, answer_json(fake_api.environment(), 202))
    made = client.create("name: demo\n", idempotency_key="mine")
    assert made.environment_id == ENVIRONMENT_ID
    (sent,) = fake.received
    assert sent.body == b"name: demo\n"
    assert sent.headers["content-type"] == "application/yaml"
    assert sent.headers["idempotency-key"] == "mine"


def test_create_sends_a_mapping_as_json(fake: FakeApi, client: Client) -> None:
    fake.on("POST", BASE, answer_json(fake_api.environment(), 202))
    client.create({"name": "demo"})
    (sent,) = fake.received
    assert json.loads(sent.body) == {"name": "demo"}
    assert sent.headers["content-type"] == "application/json"


def test_create_is_repeated_with_the_same_key(fake: FakeApi, client: Client) -> None:
    fake.on("POST", BASE, fake_api.drop, fake_api.drop, answer_json(fake_api.environment(), 202))
    client.create("name: demo")
    keys = [item.headers["idempotency-key"] for item in fake.received]
    assert len(keys) == 3
    assert len(set(keys)) == 1
    assert len(keys[0]) >= 32


def test_two_creates_have_two_keys(fake: FakeApi, client: Client) -> None:
    fake.on("POST", BASE, answer_json(fake_api.environment(), 202))
    client.create("name: demo")
    client.create("name: demo")
    assert len({item.headers["idempotency-key"] for item in fake.received}) == 2


def test_a_connection_that_always_breaks_is_given_up(fake: FakeApi, client: Client) -> None:
    fake.on("POST", BASE, fake_api.drop)
    with pytest.raises(Unreachable, match=fake.url):
        client.create("name: demo")


def test_list_reads_page_after_page(fake: FakeApi, client: Client) -> None:
    first = {"items": [fake_api.summary(name="a"), fake_api.summary(name="b")], "next_cursor": "next+1"}
    second = {"items": [fake_api.summary(name="c")], "next_cursor": None}
    fake.on("GET", BASE, answer_json(first), answer_json(second))
    assert [item.name for item in client.list(status="ready")] == ["a", "b", "c"]
    assert [item.query for item in fake.received] == [
        "status=ready&limit=100",
        "status=ready&limit=100&cursor=next%2B1",
    ]


def test_list_asks_for_no_more_than_the_limit(fake: FakeApi, client: Client) -> None:
    page = {"items": [fake_api.summary(), fake_api.summary()], "next_cursor": "more"}
    fake.on("GET", BASE, answer_json(page))
    assert len(list(client.list(limit=2))) == 2
    assert [item.query for item in fake.received] == ["limit=2"]


def test_events_reads_page_after_page(fake: FakeApi, client: Client) -> None:
    first = {"items": [fake_api.event(1), fake_api.event(2)], "next_after": 2}
    fake.on("GET", f"{ONE}/events", answer_json(first), answer_json({"items": [], "next_after": None}))
    assert [item.id for item in client.events(ENVIRONMENT_ID)] == [1, 2]
    assert fake.received[1].query.startswith("after=2&")


def test_a_problem_is_raised_with_its_fields(fake: FakeApi, client: Client) -> None:
    errors = [{"field": "cloud.region", "message": "is not allowed", "allowed": ["us-east-1"]}]
    fake.on("POST", BASE, problem(422, "Invalid", "The region is not allowed.", errors))
    with pytest.raises(ApiProblem, match=r"Invalid: The region is not allowed\.") as caught:
        client.create("name: demo")
    assert (caught.value.status, caught.value.request_id) == (422, fake_api.REQUEST_ID)
    assert caught.value.problem.errors[0].allowed == ["us-east-1"]


def test_a_proxys_error_page_is_a_problem_too(fake: FakeApi, client: Client) -> None:
    fake.on("GET", ONE, body(502, "<html>bad gateway</html>", "text/html"))
    with pytest.raises(ApiProblem, match="502 Bad Gateway") as caught:
        client.get(ENVIRONMENT_ID)
    assert (caught.value.status, caught.value.request_id) == (502, None)


def test_no_service_says_what_to_do() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with Client(url) as client, pytest.raises(Unreachable, match="make up") as caught:
        client.get(ENVIRONMENT_ID)
    assert url in str(caught.value)


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://x", "http://[", "nonsense"])
def test_no_url_is_unreachable(url: str) -> None:
    with pytest.raises(Unreachable), Client(url) as client:
        client.get(ENVIRONMENT_ID)


def test_something_else_that_answers_is_not_taken_for_the_service(fake: FakeApi, client: Client) -> None:
    fake.on("GET", ONE, body(200, "<html>hello</html>", "text/html"))
    with pytest.raises(Unreachable, match="not this API's"):
        client.get(ENVIRONMENT_ID)


def test_an_id_cannot_change_the_path(fake: FakeApi, client: Client) -> None:
    with pytest.raises(ApiProblem):
        client.get("../health?x=1")
    assert fake.received[0].path == f"{BASE}/..%2Fhealth%3Fx%3D1"


def test_delete_and_kubeconfig(fake: FakeApi, client: Client) -> None:
    fake.on("DELETE", ONE, answer_json(fake_api.environment(status="destroying"), 202))
    fake.on("GET", f"{ONE}/kubeconfig", body(200, "kind: Config\n", "text/yaml"))
    assert client.delete(ENVIRONMENT_ID).status == "destroying"
    assert client.kubeconfig(ENVIRONMENT_ID) == "kind: Config\n"


def test_health_tells_what_is_wrong(fake: FakeApi, client: Client) -> None:
    fake.on("GET", "/health/ready", answer_json({"status": "unhealthy"}, 503))
    assert client.health() == {"status_code": 503, "status": "unhealthy"}


def test_a_proxy_of_the_environment_is_not_asked(fake: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("ALL_PROXY", f"http://127.0.0.1:{free_port()}")
    fake.on("GET", ONE, answer_json(fake_api.environment()))
    with Client(fake.url) as client:
        assert client.get(ENVIRONMENT_ID).name == "demo"
