"""One synthesis in a process that is started ahead: the body of a module that a `Synthesizer` starts.

It makes everything ready, waits for one request (a line of JSON) on standard input, prints one answer (a line
of JSON) and ends: `{"directory": ...}`, or `{"error": ...}`. Without a request, it ends with its input.
SIGINT ends it at any time. Its argument names the directory that it makes for its temporary files, and those
of its Node.js. It removes it at its end, and so does the `Synthesizer`, when Node.js has ended as well.
"""

import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from pydantic import TypeAdapter

from beta9_provisioning.engine.errors import EngineError
from beta9_provisioning.engine.synthesis.subject import Subject

_INTERRUPTED = 128 + signal.SIGINT


@dataclass(frozen=True)
class Request:
    """What to synthesize, and where to."""

    subject: Subject
    outdir: Path

    def to_line(self) -> bytes:
        """Return the request as the child reads it."""
        return _REQUESTS.dump_json(self) + b"\n"


_REQUESTS = TypeAdapter(Request)


def main(synthesize: Callable[[Request], Path], rehearse: Callable[[Path], None]) -> NoReturn:
    """Serve one request; see the module's docstring.

    Args:
        synthesize: does what the request asks for, and returns the directory.
        rehearse: makes everything ready by a synthesis into a directory, which is thrown away.
    """
    scratch = sys.argv[1]

    def interrupted(*_: object) -> NoReturn:
        shutil.rmtree(scratch, ignore_errors=True)
        os._exit(_INTERRUPTED)

    signal.signal(signal.SIGINT, interrupted)
    Path(scratch).mkdir(mode=0o700)  # nobody else's: its name is drawn at random, and must be new
    try:
        # CDK Terrain looks for a project in the working directory; jsii unpacks itself into TMPDIR.
        os.chdir(scratch)
        os.environ["TMPDIR"] = tempfile.tempdir = scratch
        answer = _answer(synthesize, rehearse, Path(scratch))
        sys.stdout.write(answer)
        sys.stdout.flush()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    # Not sys.exit: jsii would wait for the end of Node.js. The launcher ends what is left of the group.
    os._exit(0)


def _answer(synthesize: Callable[[Request], Path], rehearse: Callable[[Path], None], scratch: Path) -> str:
    """Return the answer to the request, as a line; nothing when there is no request."""
    try:
        rehearse(scratch / "rehearsal")
        line = sys.stdin.buffer.readline()
        if not line:
            return ""
        directory = synthesize(_REQUESTS.validate_json(line))
    except EngineError as error:
        told = {"code": error.code, "message": error.message, "detail": error.detail, "remedy": error.remedy}
        return json.dumps({"error": told}) + "\n"
    return json.dumps({"directory": str(directory)}) + "\n"
