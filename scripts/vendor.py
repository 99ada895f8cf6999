"""Fetch what the worker's image holds besides Python packages, as containers/vendor.toml pins it.

    python scripts/vendor.py [--terraform opentofu] [--stand-ins]

Each part (terraform, helm, kubectl, providers, charts) becomes a folder for each platform below
.tools/vendor/parts, from which containers/Dockerfile.vendor makes an image. A part appears whole or not at
all. With --stand-ins, what cannot be had is replaced by what this machine has, and marked as
that. Nothing but the standard library is needed, but for the stand-ins of Helm and kubectl.
"""

import argparse
import base64
import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

from scripts.get_terraform import this_platform

ROOT = Path(__file__).resolve().parents[1]
LIST = ROOT / "containers" / "vendor.toml"
FOLDER = ROOT / ".tools" / "vendor"
PARTS = ("terraform", "helm", "kubectl", "providers", "charts")
PLATFORMS = ("linux_amd64", "linux_arm64")
STAND_IN = "stand-in"
_SECONDS = 30
_CHUNK = 1 << 20
_ANY = "any"


class VendorError(Exception):
    """A part cannot be had; the message says why, and what to do."""


@dataclass(frozen=True)
class Entry:
    """One pinned file of each platform; vendor.toml says what the fields mean."""

    name: str
    licence: str
    part: str
    version: str
    url: str
    sums: str
    sha256: Mapping[str, str]
    member: str = ""

    def checksum(self, platform: str) -> str:
        """Return the pinned SHA-256.

        Raises:
            VendorError: there is none.
        """
        found = self.sha256.get(platform) or self.sha256.get(_ANY)
        if not found:
            raise VendorError(
                f"No checksum is pinned for {self.name} {self.version} on {platform}, so it is not fetched. "
                f"Its publisher's: {self.fill(self.sums, platform)}. docs/images.md says how to pin it."
            )
        return found

    def fill(self, text: str, platform: str) -> str:
        """Return the text with version and platform in it."""
        system, _, architecture = platform.partition("_")
        return text.format(version=self.version, platform=platform, os=system, arch=architecture)


def pinned(path: Path = LIST, *, terraform: str = "terraform") -> list[Entry]:
    """Return the entries of the list; of Terraform and OpenTofu the one that is named."""
    entries = [Entry(**entry) for entry in tomllib.loads(path.read_text())["entry"]]
    return [entry for entry in entries if entry.part != "terraform" or entry.name == terraform]


def fetch(entry: Entry, platform: str, downloads: Path) -> Path:
    """Return the entry's file, from `downloads` if it is there. It appears there when its checksum is right.

    Raises:
        VendorError: no checksum is pinned, or the download failed, broke off or is another file.
    """
    wanted, url = entry.checksum(platform), entry.fill(entry.url, platform)
    there = downloads / wanted
    if there.exists():
        with there.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() == wanted:
                return there
    downloads.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=downloads, prefix=".download-") as aside:
        arrived = Path(aside) / "file"
        found = _download(url, arrived)
        if found != wanted:
            raise VendorError(
                f"{url} has the SHA-256 {found}, but {wanted} is pinned for {entry.name} {entry.version}. "
                "It is damaged or not the published file; do not use it before you know why."
            )
        return arrived.replace(there)


def _download(url: str, into: Path) -> str:
    """Download, and return the SHA-256."""
    digest, arrived = hashlib.sha256(), 0
    try:
        with urllib.request.urlopen(url, timeout=_SECONDS) as response, into.open("wb") as file:
            announced = response.headers["Content-Length"]
            while chunk := response.read(_CHUNK):
                file.write(chunk)
                digest.update(chunk)
                arrived += len(chunk)
    except (OSError, HTTPException) as error:
        raise VendorError(f"{url} could not be downloaded: {error}.") from error
    if announced is not None and arrived != int(announced):
        raise VendorError(f"{url} broke off after {arrived} of {announced} bytes. Try again.")
    return digest.hexdigest()


def fill(part: str, entries: Sequence[Entry], folder: Path = FOLDER) -> None:
    """Fetch a part for all platforms, unless it is there as it is pinned.

    Raises:
        VendorError: something of it cannot be had. What was there before stays.
    """
    about = {platform: _about(entries, platform) for platform in PLATFORMS}
    homes = {platform: folder / "parts" / part / platform for platform in PLATFORMS}
    if all(_read(homes[platform] / "about") == about[platform] for platform in PLATFORMS):
        return
    files = [
        (entry, {platform: fetch(entry, platform, folder / "downloads") for platform in PLATFORMS})
        for entry in entries
    ]
    for platform in PLATFORMS:
        with _aside(homes[platform]) as made:
            for entry, archives in files:
                _unpack(entry, platform, archives[platform], made)
            if part == "providers":
                (made / part / ".terraform.lock.hcl").write_text(_lock(files))
            (made / "about").write_text(about[platform])


def _about(entries: Sequence[Entry], platform: str) -> str:
    lines = [
        f"{entry.name} {entry.version} sha256:{entry.checksum(platform)} {entry.fill(entry.url, platform)}\n"
        for entry in entries
    ]
    return "".join(lines)


def _unpack(entry: Entry, platform: str, file: Path, into: Path) -> None:
    try:
        if entry.part == "providers":
            home = into / "providers" / entry.name / entry.version / platform
            _write(home, _members(file), mode=0o755)
        elif entry.part == "charts":
            _write(into / "charts", _members(file))
        else:
            _write(into, [(entry.part, _program(entry, platform, file))], mode=0o755)
    except (tarfile.TarError, zipfile.BadZipFile) as error:
        raise VendorError(f"{entry.fill(entry.url, platform)} is no archive: {error}.") from error


def _program(entry: Entry, platform: str, file: Path) -> bytes:
    if not entry.member:
        return file.read_bytes()
    member = entry.fill(entry.member, platform)
    for name, content in _members(file):
        if name == member:
            return content
    raise VendorError(f"{entry.fill(entry.url, platform)} holds no {member}. Correct containers/vendor.toml.")


def _members(archive: Path) -> Iterator[tuple[str, bytes]]:
    """Yield names and contents of the plain files in a zip or tar file."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as opened:
            yield from ((name, opened.read(name)) for name in opened.namelist() if not name.endswith("/"))
    else:
        with tarfile.open(archive) as tar:
            yield from (
                (one.name, file.read()) for one in tar if (file := tar.extractfile(one)) and one.isfile()
            )


def _write(folder: Path, members: Iterable[tuple[str, bytes]], mode: int = 0o644) -> None:
    for name, content in members:
        path = folder / name
        if not path.resolve().is_relative_to(folder.resolve()):
            raise VendorError(f"An archive holds {name}, which would be written outside of its folder.")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(mode)


def _lock(files: Iterable[tuple[Entry, Mapping[str, Path]]]) -> str:
    """Return Terraform's dependency lock file: the hashes of the archives, and of what is in them."""
    blocks = []
    for entry, archives in files:
        hashes = {f"zh:{entry.checksum(name)}" for name in archives} | {_h1(one) for one in archives.values()}
        lines = "".join(f'    "{one}",\n' for one in sorted(hashes))
        blocks.append(
            f'provider "{entry.name}" {{\n  version = "{entry.version}"\n  hashes = [\n{lines}  ]\n}}\n'
        )
    return "\n".join(blocks)


def _h1(archive: Path) -> str:
    """Return Go's `dirhash.Hash1` of an archive: it is how Terraform checks what is unpacked."""
    sums = sorted((name, hashlib.sha256(data).hexdigest()) for name, data in _members(archive))
    listing = "".join(f"{digest}  {name}\n" for name, digest in sums)
    return "h1:" + base64.b64encode(hashlib.sha256(listing.encode()).digest()).decode()


def stand_in(part: str, folder: Path = FOLDER) -> str:
    """Make a marked stand-in of a part for this machine's platform, and return what it is.

    Raises:
        VendorError: this machine has nothing that could stand in.
    """
    programs = _own_programs() if part in ("terraform", "helm", "kubectl") else {}
    with _aside(folder / "parts" / part / this_platform()) as made:
        if part in programs:
            shutil.copy(programs[part], made / part)
            (made / part).chmod(0o755)
            what = f"{part} of the machine that built it"
        else:
            (made / part).mkdir()
            what = f"no {part}"
        (made / "about").write_text(f"{STAND_IN}: {what}\n")
    return what


def _own_programs() -> dict[str, Path]:
    command = [sys.executable, "-m", "beta9_provisioning.local.tools"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise VendorError(done.stderr.strip())
    helm, kubectl, terraform = map(Path, done.stdout.splitlines())
    return {"helm": helm, "kubectl": kubectl, "terraform": terraform}


@contextmanager
def _aside(place: Path) -> Iterator[Path]:
    """Yield a new folder that takes the place of another one when it was filled without an exception."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent, prefix=".aside-") as scratch:
        made = Path(scratch) / "made"
        made.mkdir()
        yield made
        for folder in (made, *(path for path in made.rglob("*") if path.is_dir())):
            folder.chmod(0o755)  # whatever the umask: the image's user must get in
        if place.exists():
            place.replace(Path(scratch) / "old")
        made.replace(place)


def _read(path: Path) -> str:
    return path.read_text() if path.is_file() else ""


def main(arguments: Sequence[str] | None = None) -> int:
    """Fetch all parts; return the exit code."""
    parser = argparse.ArgumentParser(
        description="Fetch what the worker's image holds besides Python packages."
    )
    parser.add_argument("--terraform", choices=("terraform", "opentofu"), default="terraform")
    parser.add_argument(
        "--stand-ins", action="store_true", help="mark and take what this machine has instead"
    )
    options = parser.parse_args(arguments)
    entries = pinned(terraform=options.terraform)
    missing = 0
    for part in PARTS:
        try:
            fill(part, [entry for entry in entries if entry.part == part])
            print(f"{part}: as pinned")
        except VendorError as error:
            print(f"{part}: {error}", file=sys.stderr)
            if options.stand_ins:
                try:
                    print(f"{part}: {STAND_IN}, {stand_in(part)}", file=sys.stderr)
                    continue
                except VendorError as reason:
                    print(f"{part}: {reason}", file=sys.stderr)
            missing += 1
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
