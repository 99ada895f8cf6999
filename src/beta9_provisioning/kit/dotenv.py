"""Reading a `.env` file as it stands: values are not interpolated, and every fault has one sentence."""

from io import StringIO
from pathlib import Path

from dotenv.parser import Original, parse_stream


class DotenvError(Exception):
    """The file cannot be used; the message is one line that names it."""


def read_dotenv(path: Path) -> dict[str, str]:
    """Return what the file sets; nothing when there is no such file.

    A `$` stands for itself: a password may hold one.

    Raises:
        DotenvError: it is no file, cannot be read, is not UTF-8, or a line of it is not NAME=VALUE.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return {}
    except IsADirectoryError:
        raise DotenvError(f"{path.absolute()} is a directory. Remove it, or put a file there.") from None
    except UnicodeDecodeError:
        raise DotenvError(f"{path.absolute()} is not UTF-8. Save it as UTF-8.") from None
    except OSError as error:
        raise DotenvError(f"{path.absolute()} cannot be read: {error.strerror}.") from None
    values: dict[str, str] = {}
    for binding in parse_stream(StringIO(text)):
        if binding.error or (binding.key is not None and binding.value is None):
            # The line itself is not told: it may hold a secret.
            raise DotenvError(f"{path.absolute()}, line {_line(binding.original)}, is not NAME=VALUE.")
        if binding.key is not None:
            values[binding.key] = binding.value or ""
    return values


def _line(original: Original) -> int:
    """Return the number of the line that says something; empty ones before it are part of the original."""
    text = original.string
    return original.line + text[: len(text) - len(text.lstrip())].count("\n")
