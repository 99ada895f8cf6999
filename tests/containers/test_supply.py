"""Bills of materials, licences and the audit, beside what is truly in the images."""

import json

import pytest
from packaging.utils import canonicalize_name
from tests.support.containers import API, ROOT, WORKER, command, installed


@pytest.mark.parametrize(("image", "name"), [(API, "api"), (WORKER, "worker")])
def test_a_bill_of_materials_names_all_that_is_installed(images: str, image: str, name: str) -> None:
    command("make", "sbom")
    document = json.loads((ROOT / "dist" / "sbom" / f"{name}.cdx.json").read_text())
    assert document["bomFormat"] == "CycloneDX"
    assert document["metadata"]["component"]["name"] == "beta9-provisioning"
    named = {(canonicalize_name(one["name"]), one.get("version")) for one in document["components"]}
    pythons = ["python", "/opt/awscli/bin/python"] if image == API else ["python"]
    found = [one for python in pythons for one in installed(image, python).items()]
    assert [package for package in found if package not in named] == [
        ("beta9-provisioning", document["metadata"]["component"]["version"])
    ]


def test_the_workers_names_its_tools_with_their_checksums() -> None:
    command("make", "sbom")
    document = json.loads((ROOT / "dist" / "sbom" / "worker.cdx.json").read_text())
    tools = {one["name"]: one for one in document["components"] if one["bom-ref"].startswith("vendor:")}
    assert tools.keys() > {"terraform", "helm", "kubectl", "traefik"}
    assert [one["hashes"][0]["alg"] for one in tools["helm"]["externalReferences"]] == ["SHA-256"] * 2
    assert tools["terraform"]["licenses"] == [{"license": {"id": "BUSL-1.1"}}]


def test_every_package_tells_its_licence() -> None:
    command("make", "licences")
    text = (ROOT / "dist" / "licences.md").read_text()
    for row in ("| psycopg | ", "| awscli | ", "| boto3 | ", "| terraform | 1.11.4 | BUSL-1.1 |"):
        assert row in text


def test_the_audit_fails_where_advisories_cannot_be_reached() -> None:
    nowhere = "http://127.0.0.1:1"
    done = command(
        "make",
        "audit",
        check=False,
        variables={"HTTPS_PROXY": nowhere, "https_proxy": nowhere, "no_proxy": ""},
    )
    assert done.returncode != 0
    assert "requirements-api.txt" in done.stdout
    assert "no known vulnerabilities" not in done.stdout


def test_the_audit_is_content_only_when_it_looked_at_everything() -> None:
    done = command("make", "audit", check=False)
    assert (done.returncode == 0) == ("no known vulnerabilities" in done.stdout)
    assert (done.returncode != 0) == any(
        word in done.stdout for word in ("were not audited", "it is fixed in", "gave no report", "looked at")
    )
