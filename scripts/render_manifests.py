"""Writes the plain files in manifests/ from the kustomize sources beside them: `make manifests`.

    python scripts/render_manifests.py
    python scripts/render_manifests.py --version v0.2.0 --registry registry.example.com/beta9

With a version only the file of the second track is written, with the image of that version: the others may
have been edited for an installation. Prometheus's rules are written a second time, as the plain file that
promtool and docker-compose's Prometheus read. Tests compare all files with their sources.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import textwrap
from pathlib import Path

from beta9_provisioning.local.tools import ToolError, ensure_tools

ROOT = Path(__file__).resolve().parents[1]
MANIFESTS = ROOT / "manifests"
SOURCES = {
    "provisioning-api.yaml": "overlays/production",
    "provisioning-api-v2.yaml": "overlays/blue-green",
    "autoscaling.yaml": "autoscaling",
    "autoscaling-keda.yaml": "autoscaling/worker-keda",
    "backup.yaml": "backup",
    "network-policies.yaml": "network-policies",
    "external-secrets.yaml": "external-secrets",
    "monitoring.yaml": "monitoring",
}
"""Plain files, and the directories in manifests/ that they come from."""
RULES = ROOT / "containers" / "monitoring" / "rules.yml"
SECOND_TRACK = "provisioning-api-v2.yaml"
IMAGE = "beta9-provisioning-api:latest"

# As the OCI distribution specification has them; a registry may be followed by a path.
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_REGISTRY = re.compile(r"[A-Za-z0-9.-]+(:\d+)?(/[a-z0-9]+([._-]+[a-z0-9]+)*)*")


class RenderError(Exception):
    """The files cannot be written; the message says why and what to do."""


def render(name: str, kubectl: Path) -> str:
    """The text of a plain file, from its source.

    Raises:
        RenderError: kubectl refuses the source.
    """
    source = SOURCES[name]
    command = [str(kubectl), "kustomize", str(MANIFESTS / source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RenderError(f"manifests/{source} cannot be rendered: {done.stderr.strip()}")
    return f"# Written by `make manifests` from manifests/{source}, where the reasons stand.\n{done.stdout}"


def rules() -> str:
    """The text of the plain file of rules: what the PrometheusRule specifies, with its comments."""
    source = (MANIFESTS / "monitoring" / "rules.yaml").read_text()
    header = "# Written by `make manifests` from manifests/monitoring/rules.yaml.\n"
    return header + textwrap.dedent(source.partition("\nspec:\n")[2])


def of_version(text: str, version: str, registry: str) -> str:
    """The same text with the image that `make docker-push` pushes under that version.

    Raises:
        RenderError: version or registry has a wrong form, or is missing.
    """
    if not _TAG.fullmatch(version):
        raise RenderError(f"VERSION is {version!r}, which is no tag of an image; use one such as v0.2.0")
    if not _REGISTRY.fullmatch(registry):
        raise RenderError(
            f"DOCKER_REGISTRY is {registry!r}; set it to the registry and path the images were pushed to, "
            "such as registry.example.com/beta9"
        )
    return text.replace(f"image: {IMAGE}\n", f"image: {registry}/provisioning-api:{version}\n")


def main(arguments: list[str]) -> int:
    """Write the files; returns the exit code."""
    parser = argparse.ArgumentParser(description="Write the plain files in manifests/.")
    parser.add_argument("--version", default="")
    parser.add_argument("--registry", default="")
    chosen = parser.parse_args(arguments)
    try:
        kubectl = ensure_tools(ROOT).kubectl
        texts = {name: render(name, kubectl) for name in ([SECOND_TRACK] if chosen.version else SOURCES)}
        if chosen.version:
            texts = {name: of_version(text, chosen.version, chosen.registry) for name, text in texts.items()}
    except (RenderError, ToolError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for name, text in texts.items():
        (MANIFESTS / name).write_text(text)
        print(f"Wrote manifests/{name}")
    if not chosen.version:
        RULES.write_text(rules())
        print("Wrote containers/monitoring/rules.yml")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
