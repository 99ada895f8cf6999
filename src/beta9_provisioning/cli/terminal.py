"""All that this program writes: what servers say steers no terminal; no terminal or disk is a traceback."""

from __future__ import annotations

import codecs
import json
import os
import re
import sys
from typing import TYPE_CHECKING, TextIO

from beta9_provisioning.cli.steering import STEERING, fit

if TYPE_CHECKING:
    from rich.console import Console

_WIDTH_OF_A_FILE = 160
# For encodings that lack our marks, such as ASCII.
_PLAIN = {"✓": "+", "✗": "x", "●": "*", "…": "...", "━": "-", "╸": "-", "╺": "-", "–": "-", "’": "'"}
_ERRORS = "beta9_plain"


def prepare() -> None:
    """Let standard output and error take every character, whatever the terminal's encoding."""
    codecs.register_error(_ERRORS, _plain)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=_ERRORS)


def stdout() -> Console:
    """Return the console of results."""
    return _console(stderr=False)


def stderr() -> Console:
    """Return the console of everything that is not a result."""
    return _console(stderr=True)


def write_text(text: str) -> None:
    """Write a bare result; to a file or pipe every byte of it, to a terminal what fits there."""
    print(fit(text) if sys.stdout.isatty() else text, flush=True)


def write_json(value: object, *, indent: int | None = None, stream: TextIO | None = None) -> None:
    """Write JSON at once, to stdout unless another stream is given, unchanged by colours or wrapping."""
    stream = sys.stdout if stream is None else stream
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    try:
        text.encode(stream.encoding or "utf-8")
    except UnicodeEncodeError:  # readers of JSON must get it whole
        text = json.dumps(value, indent=indent)
    text = STEERING.sub(_escape, text)
    print(text, file=stream, flush=True)


def cannot_write(error: OSError) -> str:
    """Return the sentence for a file, or a standard stream, that cannot be used; and give the stream up.

    What could not be written would be tried again when the program ends.
    """
    try:
        sys.stdout.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
    where = error.filename or "The output"
    return f"{where} cannot be written or read: {os.strerror(error.errno) if error.errno else error}."


def _console(*, stderr: bool) -> Console:
    # Help texts and completion do without.
    from rich.console import Console  # noqa: PLC0415

    from beta9_provisioning.cli.fitting import Fitting  # noqa: PLC0415

    console = Console(stderr=stderr, highlight=False)
    console.push_render_hook(Fitting())
    # Rich takes 80 columns for a pipe, which would break long values for no reader.
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _WIDTH_OF_A_FILE
    return console


def _escape(found: re.Match[str]) -> str:
    # Newlines between JSON's tokens are no match, and within its strings none is left.
    return f"\\u{ord(found[0]):04x}"


def _plain(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    return "".join(_PLAIN.get(one, "?") for one in error.object[error.start : error.end]), error.end
