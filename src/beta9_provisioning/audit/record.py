"""Records are written here, and nowhere else: in the transaction of the change that they tell of.

The record comes last in its transaction: the database locks the organization's chain for it until the commit,
so that nobody who waits for the chain holds anything that its holder waits for (docs/audit.md). A transaction
that writes to several chains takes them in the order of their names.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import insert
from sqlalchemy.orm import Session

from beta9_provisioning.kit.masking import mask
from beta9_provisioning.kit.texts import clean_document, clean_text
from beta9_provisioning.operations.records.model import AuditRecordRow

PLATFORM = "platform"
"""The chain of what belongs to no organization: bootstraps, unknown keys, organizations themselves."""
ANONYMOUS = "anonymous"
"""The actor when nobody knows who it was."""

_NAME_BYTES = 256
_INSERT = insert(AuditRecordRow.__table__).returning(AuditRecordRow.__table__.c.number)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Author:
    """Who asks, as records tell it.

    Attributes:
        id: of the member; `default` without authentication, ANONYMOUS when nobody knows.
        name: of the member at this time.
        key_id: of the API key, `key_...`; never its secret.
        address: of the client.
        request_id: as the caller sent it, or as the answer has it.
    """

    id: str = ANONYMOUS
    name: str = ANONYMOUS
    key_id: str | None = None
    address: str | None = None
    request_id: str | None = None


def write(
    session: Session,
    author: Author,
    action: str,
    *,
    organization_id: str,
    object_type: str,
    object_id: str | None = None,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    refused: str | None = None,
) -> int:
    """Write one record as the last thing of the session's transaction, and return its number in the chain.

    Args:
        session: with the change; it is flushed first, and left to the caller to commit.
        author: who did it, or was refused.
        action: noun and verb, such as `environment.create`.
        organization_id: whose chain it belongs to; PLATFORM for that of the installation.
        object_type: noun of the object, such as `environment`.
        object_id: its id; None when there is none, as of a create that was refused.
        before: what a change replaced, as JSON has it; secrets in it are masked here.
        after: what it is now, likewise.
        refused: the problem's slug (docs/api.md) when it was refused; None when it was allowed.
    """
    session.flush()
    number: int = session.execute(
        _INSERT,
        {
            "organization_id": organization_id,
            "actor": clean_text(author.id, _NAME_BYTES),
            "actor_name": clean_text(author.name, _NAME_BYTES),
            "key_id": _short(author.key_id),
            "address": _short(author.address),
            "action": action,
            "object_type": object_type,
            "object_id": _short(object_id),
            "decision": "allowed" if refused is None else "refused",
            "reason": refused,
            "request_id": _short(author.request_id),
            "before": _canonical(before),
            "after": _canonical(after),
        },
    ).scalar_one()
    return number


def _short(text: str | None) -> str | None:
    return None if text is None else clean_text(text, _NAME_BYTES)


def _canonical(document: Mapping[str, Any] | None) -> str | None:
    """Return the document as the text that is hashed: masked, bounded, its names sorted."""
    if document is None:
        return None
    # In this order: a secret that is cut is not recognized any more.
    kept = clean_document(mask(dict(document)))
    return json.dumps(kept, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
