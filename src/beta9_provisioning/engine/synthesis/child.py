"""One synthesis in a process that is started ahead: `python -m beta9_provisioning.engine.synthesis.child`.

It makes everything ready, waits for one request (a line of JSON) on standard input, prints one answer (a line
of JSON) and ends: `{"directory": ...}`, or `{"error": ...}`. Without a request, it ends with its input.
SIGINT ends it at any time. Its temporary files, and those of its Node.js, are gone when it has ended.
"""

import json
import os
import shutil
import signal
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from pydantic import TypeAdapter

from beta9_provisioning.engine.errors import EngineError
from beta9_provisioning.engine.synthesis.synthesize import Backend, synthesize
from beta9_provisioning.schemas.configuration import EnvironmentConfig

_ID = "env_0000000000000000"
_ACCOUNT = "000000000000"
_ROLE = f"arn:aws:iam::{_ACCOUNT}:role/Beta9Provisioner"
_INTERRUPTED = 128 + signal.SIGINT


@dataclass(frozen=True)
class Request:
    """The arguments of `synthesize`."""

    config: EnvironmentConfig
    environment_id: str
    backend: Backend
    outdir: Path

    def to_line(self) -> bytes:
        """Return the request as the child reads it."""
        return _REQUESTS.dump_json(self) + b"\n"


_REQUESTS = TypeAdapter(Request)


def main() -> NoReturn:
    """Serve one request; see the module's docstring."""
    with tempfile.TemporaryDirectory(prefix="beta9-synthesis-", ignore_cleanup_errors=True) as scratch:

        def interrupted(*_: object) -> NoReturn:
            shutil.rmtree(scratch, ignore_errors=True)
            os._exit(_INTERRUPTED)

        signal.signal(signal.SIGINT, interrupted)
        # CDK Terrain looks for a project in the working directory; jsii unpacks itself into TMPDIR.
        os.chdir(scratch)
        os.environ["TMPDIR"] = tempfile.tempdir = scratch
        answer = _answer(Path(scratch))
        sys.stdout.write(answer)
        sys.stdout.flush()
    # Not sys.exit: jsii would wait for the end of Node.js. The launcher ends what is left of the group.
    os._exit(0)


def _answer(scratch: Path) -> str:
    """Return the answer to the request, as a line; nothing when there is no request."""
    try:
        rehearse(scratch / "rehearsal")
        line = sys.stdin.buffer.readline()
        if not line:
            return ""
        request = _REQUESTS.validate_json(line)
        directory = synthesize(request.config, request.environment_id, request.backend, request.outdir)
    except EngineError as error:
        told = {"code": error.code, "message": error.message, "detail": error.detail, "remedy": error.remedy}
        return json.dumps({"error": told}) + "\n"
    return json.dumps({"directory": str(directory)}) + "\n"


def rehearse(outdir: Path) -> None:
    """Synthesize an environment that nobody wants: it starts Node.js, and the next one takes a third as long.

    Raises:
        SynthesisError: as `synthesize`.
    """
    config = EnvironmentConfig.model_validate(
        {
            "name": "rehearsal",
            "cloud": {
                "provider": "aws",
                "region": "us-east-1",
                "account_id": _ACCOUNT,
                "role_arn": _ROLE,
                "external_id": "rehearsal",
            },
            "beta9": {"domain": "rehearsal.example"},
        }
    )
    backend = Backend("rehearsal", "terraform.tfstate", "us-east-1", _ROLE, None, path_style=False)
    synthesize(config, _ID, backend, outdir)


if __name__ == "__main__":
    main()
