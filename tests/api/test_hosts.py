import httpx
import pytest
from tests.support.serving import serving

from beta9_provisioning.api.app import create_app
from beta9_provisioning.settings import Settings

ALWAYS = ("/health", "/health/ready", "/metrics")


def status(client: httpx.Client, host: str, path: str = "/api/v1/schema") -> int:
    return client.get(path, headers={"Host": host}).status_code


def test_a_name_that_was_made_to_resolve_to_us_is_refused_and_the_remedy_told(client: httpx.Client) -> None:
    response = client.get("/api/v1/environments", headers={"Host": "evil.example:8000"})
    assert response.status_code == 421
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["type"].endswith(":host-not-allowed")
    assert "evil.example:8000" in response.json()["detail"]
    assert "ALLOWED_HOSTS" in response.json()["detail"]


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:1", "127.0.0.1:8000", "127.9.9.9", "[::1]:8000", "a.localhost."]
)
def test_on_loopback_loopback_names_will_do(client: httpx.Client, host: str) -> None:
    assert status(client, host) == 200


@pytest.mark.parametrize(
    "host", ["localhost.evil.example", "10.0.0.1", "", "a b", "[::1", "localhost:x", "x@localhost@y"]
)
def test_what_only_looks_like_a_loopback_name_is_refused(client: httpx.Client, host: str) -> None:
    assert status(client, host) == 421


@pytest.mark.parametrize("path", ALWAYS)
def test_probes_come_by_the_pods_address(client: httpx.Client, path: str) -> None:
    assert status(client, "10.1.2.3:8000", path) == 200


def test_on_other_addresses_every_name_will_do(settings: Settings) -> None:
    with (
        serving(create_app(settings.model_copy(update={"api_host": "0.0.0.0"}))) as server,
        server.client() as client,
    ):
        assert status(client, "provisioning.example.com") == 200


def test_names_are_those_of_the_setting(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLOWED_HOSTS", "API.example.com, *.svc.cluster.local")
    allowed = {"allowed_hosts": Settings().allowed_hosts, "api_host": "0.0.0.0"}
    with serving(create_app(settings.model_copy(update=allowed))) as server, server.client() as client:
        answers = {
            host: status(client, host)
            for host in (
                "api.example.com:443",
                "a.b.svc.cluster.local",
                "localhost:8001",  # kubectl port-forward
                "svc.cluster.local",
                "example.com",
                "x.api.example.com",
            )
        }
    assert list(answers.values()) == [200, 200, 200, 421, 421, 421]


@pytest.mark.parametrize("value", ["http://a.example", "a.example:80", "a.example/x", "a*.example", "[::1]"])
def test_a_setting_that_names_no_host_is_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("ALLOWED_HOSTS", value)
    with pytest.raises(ValueError, match="without scheme, port and path"):
        Settings()


def test_a_setting_of_any_name_is_any(settings: Settings) -> None:
    with (
        serving(create_app(settings.model_copy(update={"allowed_hosts": ("*",)}))) as server,
        server.client() as client,
    ):
        assert status(client, "whatever.example") == 200


@pytest.mark.parametrize(
    "host", ["x@localhost", "localhost/x", "localhost?x", "localhost#x", "a\\@localhost"]
)
def test_a_host_that_only_ends_like_a_loopback_name_is_foreign(settings: Settings, host: str) -> None:
    with serving(create_app(settings)) as server, server.client() as client:
        assert client.get("/api/v1/environments", headers={"Host": host}).status_code == 421
