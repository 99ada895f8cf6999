"""Encryption of backups by age (age-encryption.org), for public keys: a server holds none to read them with.

Both ways stream: memory does not grow with the size of a backup.
"""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import pyrage

from beta9_provisioning.operations.records.backups.archive import (
    BackupError,
    Packing,
    Unpacking,
    is_encrypted,
)

_CHUNK = 1 << 16
_MOST_IDENTITY_BYTES = 64 * 1024
_SECRET = "AGE-SECRET-KEY-"  # noqa: S105  how such a line begins


def recipients(keys: Sequence[str]) -> list[pyrage.x25519.Recipient]:
    """Return the recipients of BACKUP_RECIPIENTS.

    Raises:
        BackupError: one of them is no public key of age.
    """
    if any(key.upper().startswith(_SECRET) for key in keys):
        raise BackupError(
            "BACKUP_RECIPIENTS holds a secret key. Name the public one, which begins with age1 "
            "(`age-keygen -y KEY`), and keep the secret one elsewhere."
        )
    result = []
    for number, key in enumerate(keys, 1):
        try:
            result.append(pyrage.x25519.Recipient.from_str(key))
        except pyrage.RecipientError as error:
            raise BackupError(
                f"Key {number} in BACKUP_RECIPIENTS is no public key of age ({error}): one begins with age1, "
                "and `age-keygen` makes it."
            ) from None
    return result


def write(packing: Packing, target: BinaryIO, keys: Sequence[pyrage.x25519.Recipient]) -> None:
    """Write a backup, encrypted for whoever has one of the keys; plainly without keys.

    Raises:
        BackupError: it could not be read to its end.
        OSError: it could not be written.
    """
    if not keys:
        shutil.copyfileobj(packing, target, _CHUNK)
        return
    source, kept = _Kept(packing), _Kept(target)
    try:
        pyrage.encrypt_io(source, kept, list(keys))
    except (pyrage.EncryptError, OSError) as error:
        raise source.error or kept.error or BackupError(f"The encryption failed: {error}.") from None


def pour(file: BinaryIO, identity_file: Path | None, unpacking: Unpacking) -> None:
    """Give all of a backup's file to `unpacking`, decrypted if it is encrypted.

    Raises:
        BackupError: it cannot be decrypted, or is no backup.
        OSError: it cannot be read, or the sink took no more.
    """
    file.seek(0)
    beginning = file.read(_CHUNK)
    file.seek(0)
    if not is_encrypted(beginning):
        shutil.copyfileobj(file, unpacking, _CHUNK)
        return
    identities = _identities(identity_file)
    source, kept = _Kept(file), _Kept(unpacking)
    try:
        pyrage.decrypt_io(source, kept, identities)
    except (pyrage.DecryptError, OSError) as error:
        own = kept.error or source.error
        if own is not None:
            raise own from None
        if "No matching keys" in str(error):
            raise BackupError(
                f"The key in {identity_file} is not the one that the backup was encrypted for. "
                "Let BACKUP_IDENTITY_FILE name another."
            ) from None
        raise BackupError(
            f"The backup cannot be decrypted ({error}): it was cut off or changed. Take another backup."
        ) from None


def _identities(path: Path | None) -> list[pyrage.x25519.Identity]:
    if path is None:
        raise BackupError(
            "The backup is encrypted. Let BACKUP_IDENTITY_FILE name the file with the secret key, as "
            "`age-keygen` wrote it."
        )
    try:
        with path.open("rb") as file:
            text = file.read(_MOST_IDENTITY_BYTES + 1)
    except OSError as error:
        raise BackupError(f"BACKUP_IDENTITY_FILE cannot be read: {error.strerror} ({path}).") from None
    lines = [line.strip() for line in text.decode(errors="replace").splitlines()]
    secrets = [line for line in lines if line and not line.startswith("#")]
    if not secrets or len(text) > _MOST_IDENTITY_BYTES:
        raise BackupError(f"{path} holds no secret key of age: a line that begins with {_SECRET}.")
    try:
        return [pyrage.x25519.Identity.from_str(line) for line in secrets]
    except pyrage.IdentityError:
        raise BackupError(
            f"{path} holds a line that is no secret key of age: it begins with {_SECRET}. A key that is "
            "encrypted itself has to be decrypted first."
        ) from None


class _Kept:
    """A stream whose error is kept: pyrage tells it as words."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.error: BaseException | None = None

    def read(self, size: int = -1) -> bytes:
        return bytes(self._keep(self._stream.read, size))

    def write(self, piece: bytes) -> int:
        return int(self._keep(self._stream.write, piece))

    def flush(self) -> None:
        self._keep(self._stream.flush)

    def _keep(self, call: Callable[..., Any], *arguments: object) -> Any:
        try:
            return call(*arguments)
        except BaseException as error:
            self.error = error
            raise
