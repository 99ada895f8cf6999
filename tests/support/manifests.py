"""The manifests as data: which files there are, and the objects in them."""

from __future__ import annotations

import json
import subprocess
from functools import cache
from io import StringIO
from pathlib import Path
from typing import Any

import jsonschema_rs
import kubernetes_validate
from ruamel.yaml import YAML
from tests.support.clusters import ROOT

from beta9_provisioning.local.tools import ensure_tools

MANIFESTS = ROOT / "manifests"
NAMESPACE = "beta9-provisioning"
PLAIN = sorted(path.name for path in MANIFESTS.glob("*.yaml"))
"""Files that `kubectl apply -f` takes."""
EXAMPLES = sorted(f"examples/{path.name}" for path in (MANIFESTS / "examples").glob("*.yaml"))
OVERLAYS = sorted(f"overlays/{path.parent.name}" for path in MANIFESTS.glob("overlays/*/kustomization.yaml"))
SCHEMAS = Path(__file__).resolve().parents[1] / "manifests" / "schemas"
VERSIONS = ("1.34", "1.35", "1.36", "1.37")
"""The four newest minor versions of Kubernetes whose schemas kubernetes-validate has."""

Manifest = dict[str, Any]


def parse(text: str) -> list[Manifest]:
    """The objects in a YAML file."""
    return [dict(body) for body in YAML(typ="safe", pure=True).load_all(StringIO(text)) if body is not None]


@cache
def _text(name: str) -> str:
    """A file, or what kustomize makes of a directory."""
    path = MANIFESTS / name
    if path.is_file():
        return path.read_text()
    command = [str(ensure_tools(ROOT).kubectl), "kustomize", str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def objects(name: str) -> list[Manifest]:
    """The objects in a file, or in a directory that kustomize reads; the caller may change them."""
    return parse(_text(name))


def find(bodies: list[Manifest], kind: str, name: str) -> Manifest:
    """The one object of that kind and name."""
    (found,) = [b for b in bodies if (b["kind"], b["metadata"]["name"]) == (kind, name)]
    return found


def container(deployment: Manifest) -> dict[str, Any]:
    """The only container of a Deployment's pods, to look at or to change."""
    found: list[dict[str, Any]] = deployment["spec"]["template"]["spec"]["containers"]
    assert len(found) == 1
    return found[0]


def faults(body: Manifest, version: str) -> list[str]:
    """What the schema of the object's kind refuses: Kubernetes' own by kubernetes-validate, else ours."""
    own = SCHEMAS / f"{body['kind']}.json"
    if own.is_file():
        validator = jsonschema_rs.validator_for(json.loads(own.read_text()))
        return [f"{error.instance_path}: {error.message}" for error in validator.iter_errors(body)]
    try:
        kubernetes_validate.validate(body, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        return [str(error.message)]
    except kubernetes_validate.SchemaNotFoundError as error:
        return [f"there is no schema for it: {error}"]
    return []
