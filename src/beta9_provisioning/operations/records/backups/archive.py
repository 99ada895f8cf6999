"""What a backup's file looks like: a line of JSON, what pg_dump wrote, and a line with a checksum.

The last line proves that the file is whole: pg_dump ended well, and nothing was cut off or changed since.
Without this program: `tail -n +2 FILE | pg_restore --list`, and of an encrypted one
`age --decrypt --identity KEY FILE | tail -n +2 | pg_restore --list`.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from pydantic import TypeAdapter, ValidationError

_FORM = 1
_MARK = "beta9_provisioning_backup"
_SUM = b"\nsha256:"
_TRAILER_BYTES = len(_SUM) + 64 + 1
_HELD_BYTES = _TRAILER_BYTES + 1
_MOST_HEADER_BYTES = 64 * 1024
_ENCRYPTED = b"age-encryption.org/v1"


class BackupError(Exception):
    """No backup could be made, or one could not be restored; the message says why and what to do."""


class Source(Protocol):
    """Something that can be read."""

    def read(self, size: int, /) -> bytes:
        """Return at most so many bytes; none at the end."""


@dataclass(frozen=True)
class Manifest:
    """What a backup tells of itself.

    Attributes:
        created_at: the database's time of the snapshot, ISO 8601.
        program: version of the program that wrote it.
        revision: of the schema.
        oldest_program: newest revision that the oldest program knows which works with the schema.
        namespace: schema of PostgreSQL that holds the tables.
        server: version of the server, such as `18.4`.
        client_major: major version of the pg_dump that wrote it.
        rows: how many rows the tables have.
    """

    created_at: str
    program: str
    revision: str
    oldest_program: str | None
    namespace: str
    server: str
    client_major: int
    rows: dict[str, int]


_MANIFEST = TypeAdapter(Manifest)


class Packing:
    """A backup to be read: the manifest, then all of a source, then the checksum.

    `finish` is called when the source has ended, before the checksum is given; it raises if the source ended
    badly, and the file then has no checksum.
    """

    def __init__(self, manifest: Manifest, source: Source, finish: Callable[[], None]) -> None:
        self._pending = json.dumps({_MARK: _FORM, **asdict(manifest)}).encode() + b"\n"
        self._sum = hashlib.sha256(self._pending)
        self._source = source
        self._finish = finish
        self._ended = False

    def read(self, size: int = -1, /) -> bytes:
        """Return some bytes; none at the end."""
        size = size if size > 0 else 1 << 20
        if not self._pending and not self._ended:
            self._pending = self._source.read(size)
            self._sum.update(self._pending)
            if not self._pending:
                self._finish()
                self._ended = True
                self._pending = _SUM + self._sum.hexdigest().encode() + b"\n"
        piece, self._pending = self._pending[:size], self._pending[size:]
        return piece


class Unpacking:
    """Takes a backup piece by piece, and gives what pg_dump wrote to `sink`.

    Its last byte is given by `close` alone: pg_restore commits when it has all it needs, and the checksum
    comes after that.
    """

    def __init__(self, sink: Callable[[bytes], object]) -> None:
        self._sink = sink
        self._held = b""
        self._sum = hashlib.sha256()
        self._manifest: Manifest | None = None

    def write(self, piece: bytes, /) -> int:
        """Take the next piece.

        Raises:
            BackupError: it is no backup.
        """
        self._held += piece
        if self._manifest is None:
            self._read_header()
        if self._manifest is not None and len(self._held) > _HELD_BYTES:
            body, self._held = self._held[:-_HELD_BYTES], self._held[-_HELD_BYTES:]
            self._sum.update(body)
            self._sink(body)
        return len(piece)

    def flush(self) -> None:
        """Do nothing: the sink buffers nothing that we know of."""

    def check(self) -> Manifest:
        """Return the manifest of what was taken.

        Raises:
            BackupError: it is no backup, or not whole.
        """
        if self._manifest is None:
            raise BackupError(_NO_BACKUP)
        whole = self._sum.copy()
        whole.update(self._held[:-_TRAILER_BYTES])
        if self._held[-_TRAILER_BYTES:] != _SUM + whole.hexdigest().encode() + b"\n":
            raise BackupError(
                "The file is not whole: its checksum is missing or wrong, so it was cut off or changed. "
                "Take another backup; nothing was restored."
            )
        return self._manifest

    def close(self) -> None:
        """Give the last byte, too; for what `check` has found whole."""
        self._sink(self._held[:-_TRAILER_BYTES])

    def _read_header(self) -> None:
        line, end, rest = self._held.partition(b"\n")
        if not end:
            if len(self._held) > _MOST_HEADER_BYTES:
                raise BackupError(_NO_BACKUP)
            return
        self._manifest = _manifest(line)
        self._sum.update(line + end)
        self._held = rest


_NO_BACKUP = (
    "The file is no backup of this program. One that was made by `pg_dump` alone is restored by `pg_restore` "
    "or psql alone."
)


def _manifest(line: bytes) -> Manifest:
    try:
        document: Any = json.loads(line)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict) or _MARK not in document:
        raise BackupError(_NO_BACKUP)
    if document[_MARK] != _FORM:
        raise BackupError(
            f"The backup is of form {document[_MARK]}, and this program knows {_FORM}: use a newer release."
        )
    try:
        return _MANIFEST.validate_json(line, strict=True)
    except ValidationError as error:
        found = error.errors()[0]
        where = ".".join(map(str, found["loc"]))
        raise BackupError(
            f"The backup's first line was changed: {where} is wrong ({found['msg']}). Take another backup."
        ) from None


def is_encrypted(beginning: bytes) -> bool:
    """Tell whether a file that begins so is encrypted by age."""
    return beginning.startswith(_ENCRYPTED)
