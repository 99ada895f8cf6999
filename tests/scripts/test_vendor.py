"""Fetching what the worker's image holds, from a local server that stands for the publishers' sites."""

import hashlib
import io
import json
import re
import subprocess
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from functools import partial
from http.server import SimpleHTTPRequestHandler
from pathlib import Path

import pytest
from scripts.get_terraform import CHECKSUMS, VERSION, this_platform
from scripts.vendor import PLATFORMS, ROOT, Entry, VendorError, fetch, fill, pinned, stand_in
from tests.support.configs import config
from tests.support.http_servers import QuietHandler, answering_with

from beta9_provisioning.clouds.aws.provider import SCHEMA_FILE
from beta9_provisioning.clouds.registry import cloud_of
from beta9_provisioning.engine.beta9.releases import base_releases
from beta9_provisioning.engine.kubernetes.access import ClusterAccess
from beta9_provisioning.local.ports import free_port
from beta9_provisioning.local.tools import find_terraform

PROGRAM = b"#!/bin/sh\necho hello\n"
PROVIDER = "registry.terraform.io/hashicorp/aws"


class _Quiet(QuietHandler, SimpleHTTPRequestHandler):
    """Serves the files of a directory."""


class _BreaksOff(QuietHandler):
    """Announces more than it sends."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(PROGRAM)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """The folder of a server, and its URL."""
    folder = tmp_path / "site"
    folder.mkdir()
    with answering_with(partial(_Quiet, directory=str(folder))) as url:
        yield folder, url


def _zip(members: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def _tar(members: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in members.items():
            about = tarfile.TarInfo(name)
            about.size = len(content)
            archive.addfile(about, io.BytesIO(content))
    return buffer.getvalue()


def _entry(
    site: tuple[Path, str], part: str, content: Mapping[str, bytes], *, name: str = "", member: str = ""
) -> Entry:
    """Publish a file for each platform, and return an entry that pins them."""
    folder, url = site
    for platform, data in content.items():
        (folder / f"{part}_{platform}").write_bytes(data)
    sums = {platform: hashlib.sha256(data).hexdigest() for platform, data in content.items()}
    where = f"{url}/{part}_{{platform}}"
    return Entry(name or part, "MIT", part, "1.2.3", where, f"{url}/SUMS", sums, member)


def _files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("part", "pack", "member"),
    [("terraform", _zip, "terraform"), ("helm", _tar, "{os}-{arch}/helm"), ("kubectl", None, "")],
)
def test_a_program_is_fetched_for_every_platform(
    site: tuple[Path, str], tmp_path: Path, part: str, pack: object, member: str
) -> None:
    content = {}
    for platform in PLATFORMS:
        inside = member.format(os="linux", arch=platform.partition("_")[2])
        program = PROGRAM + platform.encode()
        content[platform] = pack({"LICENSE": b"text", inside: program}) if callable(pack) else program
    entry = _entry(site, part, content, member=member)
    fill(part, [entry], tmp_path / "vendor")
    for platform in PLATFORMS:
        home = tmp_path / "vendor" / "parts" / part / platform
        assert _files(home) == {part, "about"}
        assert (home / part).read_bytes() == PROGRAM + platform.encode()
        assert (home / part).stat().st_mode & 0o777 == 0o755
        assert f"{part} 1.2.3 sha256:{entry.sha256[platform]} {site[1]}" in (home / "about").read_text()


def test_what_is_there_is_not_fetched_again_and_a_new_pin_is(site: tuple[Path, str], tmp_path: Path) -> None:
    old = _entry(site, "kubectl", dict.fromkeys(PLATFORMS, b"old"))
    fill("kubectl", [old], tmp_path / "vendor")
    for file in site[0].iterdir():
        file.unlink()
    fill("kubectl", [old], tmp_path / "vendor")
    new = _entry(site, "kubectl", dict.fromkeys(PLATFORMS, b"new"))
    fill("kubectl", [new], tmp_path / "vendor")
    assert (tmp_path / "vendor/parts/kubectl/linux_amd64/kubectl").read_bytes() == b"new"


def test_charts_are_unpacked_side_by_side(site: tuple[Path, str], tmp_path: Path) -> None:
    entries = []
    for name in ("traefik", "cert-manager"):
        data = _tar({f"{name}/Chart.yaml": b"name", f"{name}/templates/all.yaml": b"all"})
        (site[0] / f"{name}.tgz").write_bytes(data)
        digest = hashlib.sha256(data).hexdigest()
        entries.append(Entry(name, "MIT", "charts", "1", f"{site[1]}/{name}.tgz", "", {"any": digest}))
    fill("charts", entries, tmp_path)
    for platform in PLATFORMS:
        found = _files(tmp_path / "parts" / "charts" / platform / "charts")
        assert {"traefik/Chart.yaml", "cert-manager/Chart.yaml", "traefik/templates/all.yaml"} < found


def test_another_file_than_the_pinned_one_is_refused_and_what_was_there_stays(
    site: tuple[Path, str], tmp_path: Path
) -> None:
    fill("kubectl", [_entry(site, "kubectl", dict.fromkeys(PLATFORMS, b"old"))], tmp_path / "vendor")
    before = _files(tmp_path / "vendor")
    entry = _entry(site, "kubectl", {platform: platform.encode() for platform in PLATFORMS})
    (site[0] / "kubectl_linux_arm64").write_bytes(b"other")
    with pytest.raises(VendorError, match="is pinned for kubectl") as caught:
        fill("kubectl", [entry], tmp_path / "vendor")
    assert hashlib.sha256(b"other").hexdigest() in str(caught.value)
    assert _files(tmp_path / "vendor") - before == {f"downloads/{entry.sha256['linux_amd64']}"}
    assert (tmp_path / "vendor/parts/kubectl/linux_arm64/kubectl").read_bytes() == b"old"


def test_a_damaged_download_of_before_is_replaced(site: tuple[Path, str], tmp_path: Path) -> None:
    entry = _entry(site, "kubectl", dict.fromkeys(PLATFORMS, PROGRAM))
    (tmp_path / entry.sha256["linux_amd64"]).write_bytes(b"half")
    assert fetch(entry, "linux_amd64", tmp_path).read_bytes() == PROGRAM


def test_without_a_pinned_checksum_nothing_is_fetched(site: tuple[Path, str], tmp_path: Path) -> None:
    entry = _entry(site, "kubectl", {"linux_amd64": PROGRAM})
    with pytest.raises(VendorError, match=r"No checksum is pinned for kubectl 1\.2\.3 on linux_arm64"):
        fill("kubectl", [entry], tmp_path / "vendor")
    assert not (tmp_path / "vendor").exists()


def test_a_download_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    with answering_with(_BreaksOff) as url:
        sums = dict.fromkeys(PLATFORMS, hashlib.sha256(PROGRAM).hexdigest())
        entry = Entry("kubectl", "MIT", "kubectl", "1", url, "", sums)
        with pytest.raises(VendorError, match=rf"broke off after {len(PROGRAM)} of 1000 bytes"):
            fill("kubectl", [entry], tmp_path)
    assert not _files(tmp_path)


def test_an_unreachable_site_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    entry = Entry("kubectl", "MIT", "kubectl", "1", url, "", {"any": "0" * 64})
    with pytest.raises(VendorError, match="could not be downloaded"):
        fill("kubectl", [entry], tmp_path)
    assert not _files(tmp_path)


def test_an_archive_without_the_program_is_refused(site: tuple[Path, str], tmp_path: Path) -> None:
    entry = _entry(site, "helm", dict.fromkeys(PLATFORMS, _tar({"README": b""})), member="helm")
    with pytest.raises(VendorError, match="holds no helm"):
        fill("helm", [entry], tmp_path)
    assert not _files(tmp_path / "parts")
    entry = _entry(site, "helm", dict.fromkeys(PLATFORMS, b"text"), member="helm")
    with pytest.raises(VendorError, match="is no archive"):
        fill("helm", [entry], tmp_path)


def test_an_archive_writes_nothing_outside_of_its_folder(site: tuple[Path, str], tmp_path: Path) -> None:
    entry = _entry(site, "charts", dict.fromkeys(PLATFORMS, _tar({"../../../away": b"x"})))
    with pytest.raises(VendorError, match="outside of its folder"):
        fill("charts", [entry], tmp_path / "vendor")
    assert not list(tmp_path.rglob("away"))


@pytest.fixture
def mirror(site: tuple[Path, str], tmp_path: Path) -> Path:
    """A mirror with one provider, which Terraform installs but does not start."""
    content = {
        platform: _zip({"terraform-provider-aws_v1.2.3_x5": platform.encode(), "LICENSE.txt": b"text"})
        for platform in PLATFORMS
    }
    fill("providers", [_entry(site, "providers", content, name=PROVIDER)], tmp_path / "vendor")
    return tmp_path / "vendor" / "parts" / "providers" / this_platform() / "providers"


def _init(mirror: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Have genuine Terraform install from the mirror what its lock file says."""
    folder.mkdir()
    source = {"aws": {"source": PROVIDER, "version": "1.2.3"}}
    (folder / "main.tf.json").write_text(json.dumps({"terraform": {"required_providers": source}}))
    (folder / ".terraform.lock.hcl").write_text((mirror / ".terraform.lock.hcl").read_text())
    rc = folder / "terraform.rc"
    rc.write_text(
        (ROOT / "containers" / "terraform.rc").read_text().replace("/opt/beta9/providers", str(mirror))
    )
    return subprocess.run(
        [find_terraform(), "init", "-no-color", "-lockfile=readonly"],
        cwd=folder,
        env={"TF_CLI_CONFIG_FILE": str(rc), "HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_terraform_takes_the_mirror_with_its_lock_file(mirror: Path, tmp_path: Path) -> None:
    done = _init(mirror, tmp_path / "work")
    assert done.returncode == 0, done.stderr
    lock = (mirror / ".terraform.lock.hcl").read_text()
    assert len(re.findall(r'"zh:[0-9a-f]{64}"', lock)) == len(re.findall(r'"h1:[^"]{44}"', lock)) == 2


def test_terraform_refuses_a_provider_that_the_lock_file_does_not_name(mirror: Path, tmp_path: Path) -> None:
    (program,) = mirror.rglob("terraform-provider-aws*")
    program.write_bytes(b"other")
    done = _init(mirror, tmp_path / "work")
    assert done.returncode == 1
    assert "checksums" in done.stderr


def test_a_stand_in_calls_itself_one(tmp_path: Path) -> None:
    for part in ("kubectl", "charts"):
        what = stand_in(part, tmp_path)
        home = tmp_path / "parts" / part / this_platform()
        assert (home / "about").read_text() == f"stand-in: {what}\n"
    assert (tmp_path / "parts/kubectl" / this_platform() / "kubectl").stat().st_mode & 0o111


def test_the_list_is_what_the_product_installs() -> None:
    entries = {entry.name: entry for entry in pinned()}
    charts = {name: entry.version for name, entry in entries.items() if entry.part == "charts"}
    platform = cloud_of(config().cloud).platform(config())
    access = ClusterAccess("c", "https://c", "", lambda: pytest.fail("nobody asks"), "vpc-1")
    first = cloud_of(config().cloud).first_releases(config(), "env_a1b2c3d4e5f6g7h8", access)
    installed = {one.chart: one.version for one in (*first, *base_releases(config(), platform))}
    assert charts.pop("beta9") == "0.1.0"
    assert charts == installed
    assert entries[PROVIDER].version == json.loads(SCHEMA_FILE.read_text())["version"]
    assert entries["terraform"].version == VERSION
    assert entries["terraform"].sha256 == CHECKSUMS


def test_every_checksum_of_the_list_is_one() -> None:
    for entry in [*pinned(), *pinned(terraform="opentofu")]:
        assert all(re.fullmatch("[0-9a-f]{64}", one) for one in entry.sha256.values()), entry.name
        assert entry.sha256.keys() <= {*PLATFORMS, "any"}, entry.name
        assert entry.fill(entry.url, "linux_amd64").startswith("https://")


def test_the_pinned_kubectl_is_the_one_that_the_set_up_takes_out_of_its_wheel() -> None:
    (entry,) = (entry for entry in pinned() if entry.name == "kubectl")
    found = hashlib.sha256((ROOT / ".tools" / "bin" / "kubectl").read_bytes()).hexdigest()
    assert found == entry.sha256["linux_amd64"]
