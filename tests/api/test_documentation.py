import re
from pathlib import Path

import httpx
import pytest

from beta9_provisioning.api import problems

BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


def test_the_root_sends_a_browser_to_the_documentation(client: httpx.Client) -> None:
    page = client.get("/", headers=BROWSER, follow_redirects=True)
    assert (page.status_code, page.url.path) == (200, "/docs")


def test_the_root_tells_others_where_the_documentation_is(client: httpx.Client) -> None:
    found = client.get("/").json()
    assert found.pop("service") == "beta9-provisioning"
    assert found["documentation"] == "/docs"
    assert {client.get(path).status_code for path in found.values()} == {200}


def test_the_documentation_takes_nothing_from_elsewhere(client: httpx.Client) -> None:
    page = client.get("/docs").text
    links = re.findall(r"""(?:src|href|url)\s*[=:]\s*["']([^"']+)["']""", page)
    assert "/api/v1/openapi.json" in links
    assert any(link.endswith(".js") for link in links)
    for link in links:
        assert link.startswith("/"), link
        assert client.get(link).status_code == 200, link
    assert '"validatorUrl": null' in page  # its badge would ask a service of others


@pytest.mark.parametrize(
    "path", ["/docs/assets", "/docs/assets/", "/docs/assets/x.js", "/docs/assets/..%2fcore.py"]
)
def test_what_is_no_asset_is_a_problem(client: httpx.Client, path: str) -> None:
    response = client.get(path)
    assert response.status_code == 404
    assert response.headers["content-type"] == "application/problem+json"


def test_assets_have_the_methods_of_files(client: httpx.Client) -> None:
    path = "/docs/assets/swagger-ui.css"
    assert client.post(path).headers["allow"] == "GET, HEAD"
    assert client.head(path).headers["content-length"] == client.get(path).headers["content-length"]


def test_every_refusal_is_in_the_documentation() -> None:
    page = (Path(__file__).parents[2] / "docs" / "api.md").read_text()
    refusals = re.findall(r': \((\d{3}), "([a-z-]+)"\)', Path(problems.__file__).read_text())
    told = {
        (status, type_)
        for types, statuses in re.findall(r"^\| (`.+?`) \| ([\d, ]+) \|", page, re.M)
        for type_ in re.findall(r"`([a-z-]+)`", types)
        for status in statuses.split(", ")
    }
    assert len(set(refusals)) > 20
    assert set(refusals) - told == set()
