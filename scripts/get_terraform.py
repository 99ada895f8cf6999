"""Fetch the official Terraform release for this machine into .tools/bin, and check it twice.

    python scripts/get_terraform.py [DIRECTORY]

The release's published SHA256SUMS must name the checksum that is pinned here, and the archive must have it.
Nothing but the standard library is needed.
"""

import argparse
import hashlib
import io
import platform
import sys
import tempfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Mapping
from pathlib import Path

VERSION = "1.11.4"
SITE = "https://releases.hashicorp.com/terraform"
# SHA-256 of terraform_1.11.4_<platform>.zip, from the release's SHA256SUMS.
CHECKSUMS: Mapping[str, str] = {
    "linux_amd64": "1ce994251c00281d6845f0f268637ba50c0005657eb3cf096b92f753b42ef4dc",
    "linux_arm64": "a43d1d0da9b9bab214a8305a39db0e40869572594ccf50c416a7756499143633",
}
_MACHINES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
_SECONDS = 60


class FetchError(Exception):
    """Terraform could not be fetched; the message says why, and what to do."""


def this_platform() -> str:
    """Return this machine's platform as HashiCorp names it, such as `linux_amd64`."""
    machine = platform.machine().lower()
    return f"{platform.system().lower()}_{_MACHINES.get(machine, machine)}"


def fetch(
    directory: Path,
    *,
    name: str,
    site: str = SITE,
    version: str = VERSION,
    checksums: Mapping[str, str] = CHECKSUMS,
) -> Path:
    """Download the release for the platform `name` and put `terraform` into the directory; return its path.

    Raises:
        FetchError: there is no pinned release, the download failed, or a checksum is not the pinned one.
    """
    wanted = checksums.get(name)
    if wanted is None:
        raise FetchError(f"No Terraform release is pinned for {name}. {_BY_HAND}")
    archive_name = f"terraform_{version}_{name}.zip"
    published = _published(_get(f"{site}/{version}/terraform_{version}_SHA256SUMS"), archive_name)
    if published != wanted:
        raise FetchError(
            f"The published checksum of {archive_name} is {published}, but {wanted} is pinned. "
            "Somebody has changed the release or this script; do not use it before you know why."
        )
    archive = _get(f"{site}/{version}/{archive_name}")
    found = hashlib.sha256(archive).hexdigest()
    if found != wanted:
        raise FetchError(
            f"{archive_name} has the SHA-256 {found} instead of {wanted}: it is damaged, or not the official "
            "one. Try again; if that does not help, ask who is between you and the release site."
        )
    return _install(archive, directory)


_BY_HAND = (
    "Install Terraform 1.11 or newer (https://developer.hashicorp.com/terraform/install) or OpenTofu 1.11 or "
    "newer (https://opentofu.org/docs/intro/install/) yourself and put it on PATH."
)


def _published(sums: bytes, archive_name: str) -> str:
    """Lines of SHA256SUMS are `<checksum>  <file>`."""
    for line in sums.decode(errors="replace").splitlines():
        checksum, _, name = line.partition("  ")
        if name.strip() == archive_name:
            return checksum
    return "not there"


def _get(url: str) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=_SECONDS) as response:
            content: bytes = response.read()
    except (urllib.error.URLError, OSError) as error:
        raise FetchError(f"{url} could not be downloaded: {error}. {_BY_HAND}") from error
    return content


def _install(archive: bytes, directory: Path) -> Path:
    """Write aside and move into place, so that nobody ever runs half of it."""
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        program = opened.read("terraform")
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=directory, prefix=".terraform-", delete=False) as aside:
        aside.write(program)
    Path(aside.name).chmod(0o755)
    return Path(aside.name).replace(directory / "terraform")


def main() -> int:
    """Fetch Terraform from the command line; return the exit code."""
    parser = argparse.ArgumentParser(description=f"Fetch the official Terraform {VERSION}.")
    default = Path(__file__).resolve().parents[1] / ".tools" / "bin"
    parser.add_argument("directory", type=Path, nargs="?", default=default)
    directory = parser.parse_args().directory
    print(f"Downloading Terraform {VERSION} from {SITE}", file=sys.stderr)
    try:
        print(fetch(directory, name=this_platform()))
    except FetchError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
