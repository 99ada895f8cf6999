"""Fetching Terraform, from a local server that stands for HashiCorp's release site."""

import hashlib
import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler
from pathlib import Path

import pytest
from scripts.get_terraform import CHECKSUMS, FetchError, fetch, this_platform
from tests.support.http_servers import QuietHandler, answering_with

from beta9_provisioning.local.ports import free_port

PLATFORM = "linux_amd64"
PROGRAM = b"#!/bin/sh\necho terraform\n"


class _Quiet(QuietHandler, SimpleHTTPRequestHandler):
    """Serves the files of a directory."""


@contextmanager
def _site(directory: Path) -> Iterator[str]:
    with answering_with(partial(_Quiet, directory=str(directory))) as url:
        yield url


def _release(site: Path, *, member: str = "terraform") -> str:
    """Put release 1.2.3 into the site; return its archive's checksum."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("LICENSE.txt", "text")
        archive.writestr(member, PROGRAM)
    folder = site / "1.2.3"
    folder.mkdir()
    (folder / f"terraform_1.2.3_{PLATFORM}.zip").write_bytes(buffer.getvalue())
    checksum = hashlib.sha256(buffer.getvalue()).hexdigest()
    (folder / "terraform_1.2.3_SHA256SUMS").write_text(
        f"{'0' * 64}  terraform_1.2.3_linux_arm64.zip\n{checksum}  terraform_1.2.3_{PLATFORM}.zip\n"
    )
    return checksum


def _fetch(url: str, into: Path, checksum: str) -> Path:
    return fetch(into, name=PLATFORM, site=url, version="1.2.3", checksums={PLATFORM: checksum})


def test_the_program_is_put_where_it_belongs(tmp_path: Path) -> None:
    checksum = _release(tmp_path)
    with _site(tmp_path) as url:
        path = _fetch(url, tmp_path / "bin", checksum)
    assert path == tmp_path / "bin" / "terraform"
    assert path.read_bytes() == PROGRAM
    assert path.stat().st_mode & 0o777 == 0o755
    assert [item.name for item in path.parent.iterdir()] == ["terraform"]


def test_a_damaged_archive_is_refused(tmp_path: Path) -> None:
    checksum = _release(tmp_path)
    with (tmp_path / "1.2.3" / f"terraform_1.2.3_{PLATFORM}.zip").open("ab") as archive:
        archive.write(b"x")
    with _site(tmp_path) as url, pytest.raises(FetchError, match="not the official"):
        _fetch(url, tmp_path / "bin", checksum)
    assert not (tmp_path / "bin").exists()


def test_a_published_checksum_other_than_the_pinned_one_is_refused(tmp_path: Path) -> None:
    published = _release(tmp_path)
    with _site(tmp_path) as url, pytest.raises(FetchError, match="is pinned") as caught:
        _fetch(url, tmp_path / "bin", "f" * 64)
    assert published in str(caught.value)
    assert not (tmp_path / "bin").exists()


def test_a_release_that_is_not_listed_is_refused(tmp_path: Path) -> None:
    checksum = _release(tmp_path)
    (tmp_path / "1.2.3" / "terraform_1.2.3_SHA256SUMS").write_text("")
    with _site(tmp_path) as url, pytest.raises(FetchError, match="not there"):
        _fetch(url, tmp_path / "bin", checksum)


def test_no_connection_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(FetchError, match="could not be downloaded") as caught:
        _fetch(f"http://127.0.0.1:{free_port()}", tmp_path, "0" * 64)
    assert "put it on PATH" in str(caught.value)


def test_a_platform_without_a_release_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(FetchError, match=r"plan9_mips.*put it on PATH"):
        fetch(tmp_path, name="plan9_mips")


def test_this_machine_has_a_pinned_release() -> None:
    assert this_platform() in CHECKSUMS
