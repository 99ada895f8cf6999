"""Cursors of a list: the last row's place as base64url JSON, opaque to clients, checked on return."""

import base64
import binascii
import json
from datetime import datetime

from beta9_provisioning.environments import ids
from beta9_provisioning.environments.errors import BadCursor

_LONGEST = 256


def encode(created_at: datetime, environment_id: str) -> str:
    """Return the cursor that continues after this row."""
    return base64.urlsafe_b64encode(json.dumps([created_at.isoformat(), environment_id]).encode()).decode()


def decode(cursor: str) -> tuple[datetime, str]:
    """Return the place that a cursor names.

    Raises:
        BadCursor: it is not one of ours.
    """
    try:
        if len(cursor) > _LONGEST:
            raise BadCursor
        created_at, environment_id = json.loads(base64.b64decode(cursor, altchars=b"-_", validate=True))
        place = datetime.fromisoformat(created_at)
        if place.tzinfo is None or not ids.is_id(environment_id):
            raise BadCursor
    except (binascii.Error, ValueError, TypeError, RecursionError) as error:
        raise BadCursor from error
    return place, environment_id
