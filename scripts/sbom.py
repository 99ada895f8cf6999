"""Write bills of materials (CycloneDX JSON) of both images and of the wheel: `make sbom`.

    python scripts/sbom.py CYCLONEDX_PY DIRECTORY TERRAFORM

Python packages come from the hashed requirement files by `cyclonedx-py`; the rest of the worker's image is
added from containers/vendor.toml. What the base image holds is its publisher's to list, and not in here.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from scripts.vendor import PLATFORMS, ROOT, Entry, pinned

# Name of the document, and the requirement files of what it lists.
DOCUMENTS = {
    "api": ("requirements-api.txt", "containers/requirements-awscli.txt"),
    "worker": ("requirements.txt",),
    "wheel": ("requirements-api.txt",),
}


def write(program: str, into: Path, terraform: str) -> list[Path]:
    """Write the documents, and return where they are; `terraform` is that or `opentofu`.

    Raises:
        subprocess.CalledProcessError: `cyclonedx-py` failed; what it said is on standard error.
    """
    into.mkdir(parents=True, exist_ok=True)
    written = []
    for name, files in DOCUMENTS.items():
        document = _of_requirements(program, [ROOT / file for file in files])
        if name == "worker":
            document["components"] += [_component(entry) for entry in pinned(terraform=terraform)]
        path = into / f"{name}.cdx.json"
        path.write_text(json.dumps(document, indent=2) + "\n")
        written.append(path)
    return written


def _of_requirements(program: str, files: list[Path]) -> Any:
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as together:
        together.write("\n".join(file.read_text() for file in files))
        together.flush()
        command = [
            program,
            "requirements",
            "--output-reproducible",
            "--pyproject",
            "pyproject.toml",
            together.name,
        ]
        # It warns that a list of requirements is no graph.
        quiet = os.environ | {"PYTHONWARNINGS": "ignore"}
        done = subprocess.run(command, cwd=ROOT, env=quiet, stdout=subprocess.PIPE, check=True, text=True)
    return json.loads(done.stdout)


def _component(entry: Entry) -> dict[str, Any]:
    return {
        "type": "application",
        "bom-ref": f"vendor:{entry.name}@{entry.version}",
        "name": entry.name,
        "version": entry.version,
        "licenses": [{"license": {"id": entry.licence}}],
        "purl": f"pkg:generic/{entry.name.rpartition('/')[2]}@{entry.version}",
        "externalReferences": [_reference(entry, platform) for platform in PLATFORMS],
    }


def _reference(entry: Entry, platform: str) -> dict[str, Any]:
    found = entry.sha256.get(platform) or entry.sha256.get("any")
    hashes = [{"alg": "SHA-256", "content": found}] if found else []
    return {"type": "distribution", "url": entry.fill(entry.url, platform), "hashes": hashes}


if __name__ == "__main__":
    for one in write(sys.argv[1], Path(sys.argv[2]), sys.argv[3]):
        print(one)
