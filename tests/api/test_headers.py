"""What every answer says to browsers and proxies, and that pages of other sites are permitted nothing."""

from pathlib import Path

import httpx
import pytest
from tests.support.configs import document
from tests.support.serving import Serving

from beta9_provisioning.api.app import create_app
from beta9_provisioning.settings import Settings

STRANGER = {"Origin": "https://evil.example"}
LIST = "/api/v1/environments"


def check(response: httpx.Response) -> None:
    assert response.headers.get_list("cache-control") == ["no-store"]
    assert response.headers.get_list("x-content-type-options") == ["nosniff"]
    assert not [name for name in response.headers if name.startswith("access-control-")]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/health", 200),
        ("GET", "/health/ready", 200),
        ("GET", "/metrics", 200),
        ("GET", "/", 200),
        ("GET", "/docs", 200),
        ("GET", "/api/v1/openapi.json", 200),
        ("GET", "/api/v1/schema", 200),
        ("GET", LIST, 200),
        ("HEAD", LIST, 200),
        ("GET", f"{LIST}/nobody", 404),
        ("GET", "/made/up", 404),
        ("GET", "/docs/assets/made-up.js", 404),
        ("POST", LIST, 400),
        ("PUT", LIST, 405),
        ("BREW", LIST, 405),
        ("GET", f"{LIST}?limit=x", 422),
    ],
)
def test_every_answer_has_them(client: httpx.Client, method: str, path: str, status: int) -> None:
    response = client.request(method, path)
    assert response.status_code == status
    check(response)


def test_a_foreign_host_and_a_change_get_them(client: httpx.Client) -> None:
    refused = client.get(LIST, headers={"Host": "evil.example"})
    assert refused.status_code == 421
    made = client.post(LIST, json=document())
    assert made.status_code == 202
    check(refused)
    check(made)


def test_a_stream_has_them(client: httpx.Client) -> None:
    made = client.post(LIST, json=document()).json()["environment_id"]
    with client.stream("GET", f"{LIST}/{made}/events", headers={"Accept": "text/event-stream"}) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        check(response)


def test_a_fault_of_the_service_has_them(settings: Settings) -> None:
    app = create_app(settings)

    @app.get("/broken")
    def broken() -> None:
        raise RuntimeError

    server = Serving(app)
    with server.client() as client:
        response = client.get("/broken")
    server.stop()
    assert response.status_code == 500
    check(response)


def test_only_files_of_the_documentation_may_be_kept(client: httpx.Client) -> None:
    response = client.get("/docs/assets/swagger-ui.css")
    assert response.status_code == 200
    assert response.headers["x-content-type-options"] == "nosniff"
    assert "cache-control" not in response.headers
    again = client.get("/docs/assets/swagger-ui.css", headers={"If-None-Match": response.headers["etag"]})
    assert again.status_code == 304


@pytest.mark.parametrize("path", [LIST, f"{LIST}/x", "/health", "/metrics", "/docs", "/made/up"])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_a_page_of_another_site_is_not_permitted_anything(
    client: httpx.Client, path: str, method: str
) -> None:
    asked = {"Access-Control-Request-Method": method, "Access-Control-Request-Headers": "authorization"}
    preflight = client.options(path, headers=STRANGER | asked)
    assert preflight.status_code in (404, 405)
    check(preflight)
    check(client.request(method, path, headers=STRANGER))


def test_no_answer_is_made_beside_these_headers() -> None:
    """There is one place that names them."""
    room = Path(__file__).parents[2] / "src/beta9_provisioning/api"
    naming = {path.name for path in room.glob("*.py") if b"no-store" in path.read_bytes()}
    assert naming == {"headers.py"}
