"""Write the licences of what the images hold: `make licences`.

    python scripts/licences.py PIP_LICENSES FILE

Python packages are installed as the images install them, into a folder that is thrown away, and
`pip-licenses` reads what they say of themselves; the rest is what containers/vendor.toml says. A package that
says nothing is a failure: somebody has to look.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import uv
from scripts.vendor import ROOT, pinned

REQUIREMENTS = ("requirements-api.txt", "requirements.txt", "containers/requirements-awscli.txt")
_UNKNOWN = "UNKNOWN"
# What somebody has read in the licence file of packages whose metadata says nothing, for that version only.
_READ = {("pyrage", "1.4.0"): "MIT License"}


def of_packages(program: str, requirements: Path) -> list[tuple[str, str, str]]:
    """Return name, version and licence of all that a hashed requirement file installs on this machine.

    Raises:
        subprocess.CalledProcessError: a package could not be installed or read.
    """
    with tempfile.TemporaryDirectory() as folder:
        python = str(Path(folder) / "bin" / "python")
        _uv("venv", "--python", sys.executable, folder)
        _uv("pip", "install", "--python", python, "--require-hashes", "-r", str(requirements))
        done = subprocess.run(
            [program, "--python", python, "--format", "json"], stdout=subprocess.PIPE, check=True, text=True
        )
    told = {
        (one["Name"], one["Version"]): " ".join(one["License"].split()) for one in json.loads(done.stdout)
    }
    return [
        (*package, _READ.get(package, licence) if licence in ("", _UNKNOWN) else licence)
        for package, licence in told.items()
    ]


def _uv(*arguments: str) -> None:
    subprocess.run([uv.find_uv_bin(), "--quiet", *arguments], cwd=ROOT, check=True)


def table(rows: list[tuple[str, str, str]]) -> str:
    """Return rows as a table in Markdown."""
    lines = [
        f"| {' | '.join(row)} |" for row in [("Name", "Version", "Licence"), ("---",) * 3, *sorted(rows)]
    ]
    return "\n".join(lines) + "\n"


def main(program: str, file: str, terraform: str) -> int:
    """Write the file; return the exit code."""
    parts = {name: of_packages(program, ROOT / name) for name in REQUIREMENTS}
    vendored = pinned(terraform=terraform)
    parts["containers/vendor.toml"] = [(one.name, one.version, one.licence) for one in vendored]
    into = Path(file)
    into.parent.mkdir(parents=True, exist_ok=True)
    into.write_text("\n".join(f"# {name}\n\n{table(rows)}" for name, rows in parts.items()))
    print(into)
    unknown = sorted({row[0] for rows in parts.values() for row in rows if row[2] in ("", _UNKNOWN)})
    if unknown:
        print(f"These packages do not tell their licence: {', '.join(unknown)}.", file=sys.stderr)
    return 1 if unknown else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
