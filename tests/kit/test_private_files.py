"""Files that hold secrets: whose they are, who may read them, and what a crash leaves of them."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from beta9_provisioning.kit.private_files import NotPrivate, alone, read_private, write_private


@pytest.fixture
def open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def test_a_file_is_private_from_its_first_byte(tmp_path: Path, open_umask: None) -> None:
    changed = []
    sys.addaudithook(lambda event, _: changed.append(event) if event in ("os.chmod", "os.fchmod") else None)
    with alone(tmp_path / "below" / "lock"):
        write_private(tmp_path / "below" / "file", b"one")
        write_private(tmp_path / "below" / "file", b"two")
    modes = {path.name: path.stat().st_mode & 0o777 for path in [tmp_path / "below", *tmp_path.rglob("*")]}
    # Nobody made it so afterwards: it never was anything else.
    assert not changed
    assert modes == {"below": 0o700, "lock": 0o600, "file": 0o600}
    assert read_private(tmp_path / "below" / "file") == b"two"


def test_what_a_killed_writer_left_is_in_nobodys_way(tmp_path: Path) -> None:
    (tmp_path / "file.new").write_bytes(b"half")
    write_private(tmp_path / "file", b"whole")
    assert read_private(tmp_path / "file") == b"whole"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_link_in_the_new_files_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "victim").write_bytes(b"before")
    (tmp_path / "file.new").symlink_to(tmp_path / "victim")
    write_private(tmp_path / "file", b"secret")
    assert (tmp_path / "victim").read_bytes() == b"before"


def test_a_full_disk_leaves_what_was_there(tmp_path: Path) -> None:
    write_private(tmp_path / "file", b"before")
    (tmp_path / "file.new").mkdir()
    with pytest.raises(OSError, match=r"file\.new"):
        write_private(tmp_path / "file", b"after")
    assert read_private(tmp_path / "file") == b"before"


@pytest.mark.parametrize("place", ["absent", "file/below"])
def test_no_file_is_none(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    assert read_private(tmp_path / place) is None


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o602, 0o660])
def test_a_file_that_others_reach_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "file"
    path.touch()
    path.chmod(mode)
    with pytest.raises(NotPrivate, match=f"chmod 600 {path}"):
        read_private(path)


def test_somebody_elses_file_is_refused(tmp_path: Path) -> None:
    path = Path("/etc/hostname")
    if os.geteuid() == 0:
        path = tmp_path / "file"
        path.touch(mode=0o600)
        os.chown(path, 12345, 12345)
    with pytest.raises(NotPrivate, match="belongs to another user"):
        read_private(path)


def test_what_is_no_plain_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    (tmp_path / "directory").mkdir(mode=0o700)
    for name in ("pipe", "directory"):
        with pytest.raises((NotPrivate, IsADirectoryError)):
            read_private(tmp_path / name)
    (tmp_path / "large").touch(mode=0o600)
    os.truncate(tmp_path / "large", 2**40)
    with pytest.raises(NotPrivate, match="larger than 1 MiB"):
        read_private(tmp_path / "large")


@pytest.mark.parametrize("mode", [0o777, 0o770])
def test_a_directory_that_others_write_into_is_refused(tmp_path: Path, mode: int) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(mode)
    with pytest.raises(NotPrivate, match="chmod 700"), alone(tmp_path / "shared" / "lock"):
        pass
