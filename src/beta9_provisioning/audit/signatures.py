"""Signed heads: Ed25519 signatures that a record of a chain had a hash, and with it all before it.

Whoever owns the database can rebuild a chain, but not sign it: the key is a file of the workers.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)
from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from beta9_provisioning.audit import chain
from beta9_provisioning.audit.chain import START, Broken, Kind, Link
from beta9_provisioning.kit.database import Sessions, transaction
from beta9_provisioning.operations.records.model import AuditSignatureRow

LOG_LINE = "audit_head_signed"
"""Event of the log line about each head that is signed, so that a copy of it is where the database is not."""
_FORM = "beta9-audit-head-1"
_PRIVATE_HELP = "`openssl genpkey -algorithm ed25519 -out FILE` makes one"
_PUBLIC_HELP = "`openssl pkey -in PRIVATE -pubout -out FILE` makes it"


class KeyUnusable(Exception):
    """A file holds no Ed25519 key in PEM; the message names it and says how one is made."""


@dataclass(frozen=True)
class Head:
    """A signed head, as the table and the log line `audit_head_signed` have it.

    Attributes:
        key: fingerprint of the public key.
        signature: of `message`, hexadecimal.
    """

    organization_id: str
    number: int
    hash: str
    signed_at: datetime
    key: str
    signature: str = ""

    @property
    def message(self) -> bytes:
        """What is signed."""
        signed = self.organization_id, str(self.number), self.hash, chain.microseconds(self.signed_at)
        return chain.form(_FORM, *signed, self.key).encode()

    @property
    def fields(self) -> dict[str, Any]:
        """What a line of log says of it; `signature` is called `ed25519` there, for logs hide signatures."""
        told = {**asdict(self), "signed_at": self.signed_at.isoformat()}
        told["ed25519"] = told.pop("signature")
        return told

    def is_signed_by(self, key: Ed25519PublicKey) -> bool:
        """Tell whether the signature is this key's."""
        try:
            key.verify(bytes.fromhex(self.signature), self.message)
        except (InvalidSignature, ValueError):
            return False
        return True


def fingerprint(key: Ed25519PublicKey) -> str:
    """Return the SHA-256 of the key's DER form (SubjectPublicKeyInfo), hexadecimal."""
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def read_private_key(path: Path) -> Ed25519PrivateKey:
    """Read the key that signs, as openssl writes it.

    Raises:
        KeyUnusable: the file is not there, or holds none.
    """
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise _unusable(path, "private", _why(error), _PRIVATE_HELP) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise _unusable(path, "private", "it holds a key of another kind", _PRIVATE_HELP)
    return key


def read_public_key(path: Path) -> Ed25519PublicKey:
    """Read a key that signatures are checked with.

    Raises:
        KeyUnusable: the file is not there, or holds none.
    """
    try:
        key = load_pem_public_key(path.read_bytes())
    except (OSError, ValueError, TypeError) as error:
        raise _unusable(path, "public", _why(error), _PUBLIC_HELP) from None
    if not isinstance(key, Ed25519PublicKey):
        raise _unusable(path, "public", "it holds a key of another kind", _PUBLIC_HELP)
    return key


def _why(error: Exception) -> str:
    # What the library says of its content is not told: it may be a secret.
    return error.strerror or "it cannot be read" if isinstance(error, OSError) else "it holds none in PEM"


def _unusable(path: Path, what: str, why: str, remedy: str) -> KeyUnusable:
    return KeyUnusable(f"{path} is no {what} Ed25519 key without a passphrase: {why}. {remedy}.")


@dataclass(frozen=True)
class Round:
    """What one round of signing did: heads that were signed, and chains that are broken and were not."""

    signed: list[Head]
    broken: list[tuple[str, Broken]]


def sign_moved(factory: Sessions, key: Ed25519PrivateKey, *, every: timedelta) -> Round:
    """Sign the head of each organization that moved since its last signature, if that is `every` old.

    What came since is followed first: only what continues a signed chain is signed. Any number of workers may
    do this at the same time: one of them signs a head, the others find it signed.

    Raises:
        SQLAlchemyError: when the database is away or busy; what was signed until then is.
    """
    done = Round([], [])
    with transaction(factory) as session:
        names = chain.organizations(session)
    for name in names:
        try:
            with transaction(factory) as session:
                head = _sign(session, name, key, every)
        except Broken as error:
            done.broken.append((name, error))
        else:
            if head is not None:
                done.signed.append(head)
    return done


def _sign(session: Session, organization_id: str, key: Ed25519PrivateKey, every: timedelta) -> Head | None:
    """Sign a chain's head; None when it is not due, or somebody else was first."""
    now = session.scalar(select(func.clock_timestamp()))
    assert now is not None
    last = next(heads(session, organization_id, newest_first=True), None)
    if last is not None and last.signed_at > now - every:
        return None
    public = key.public_key()
    if last is not None and last.key == fingerprint(public) and not last.is_signed_by(public):
        raise Broken(Kind.SIGNATURE, last.number, f"the signature of record {last.number} is not valid")
    end = start = START if last is None else Link(last.number, last.hash)
    for link in chain.follow(session, organization_id, start):
        end = link
    if end == start or end.hash is None:
        return None
    unsigned = Head(organization_id, end.number, end.hash, now, fingerprint(public))
    head = Head(**{**asdict(unsigned), "signature": key.sign(unsigned.message).hex()})
    new = insert(AuditSignatureRow).values(**asdict(head)).on_conflict_do_nothing()
    return head if session.scalar(new.returning(AuditSignatureRow.number)) is not None else None


def heads(session: Session, organization_id: str, *, newest_first: bool = False) -> Iterator[Head]:
    """Yield a chain's signed heads by their numbers."""
    number = AuditSignatureRow.number
    query = (
        select(*AuditSignatureRow.__table__.c)
        .where(AuditSignatureRow.organization_id == organization_id)
        .order_by(number.desc() if newest_first else number)
    )
    if newest_first:
        query = query.limit(1)
    for row in session.execute(query):
        yield Head(**row._mapping)
