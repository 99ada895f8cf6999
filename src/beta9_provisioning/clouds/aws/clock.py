"""A clock that differs from AWS's: every spelling of that refusal, and by how much it differs.

AWS takes a signature for 5 or 15 minutes before and after the time in it. STS and the services that speak
JSON say so in words and name both times; S3 has a code of its own and names both times, too; EC2 says
`RequestExpired` or merely `AuthFailure`; the answer to a HEAD has no words at all. There the Date tells it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

CODE = "clock_skewed"
REMEDY = (
    "Set the clock right, by NTP for example, and try again. If it is right, temporary credentials have "
    "expired: renew them."
)
_CERTAIN = r"RequestTimeTooSkewed|RequestInTheFuture|Signature\s+expired|Signature\s+not\s+yet\s+current"
PATTERN = rf"{_CERTAIN}|RequestExpired"
"""What tools print of AWS's refusals; a line may be broken anywhere."""

# They may mean something else, which the Date of the answer tells: `RequestExpired` is also EC2's word for
# temporary credentials that have expired. S3, whose HEAD has only a status, takes 15 minutes; others take 5.
_PERHAPS = {
    "403": timedelta(minutes=15),
    "AuthFailure": timedelta(minutes=5),
    "InvalidSignatureException": timedelta(minutes=5),
    "RequestExpired": timedelta(minutes=5),
    "SignatureDoesNotMatch": timedelta(minutes=5),
}
_TIMES = re.compile(
    r"Signature\s+(?:expired|not\s+yet\s+current):\s+(?P<own>\d{8}T\d{6}Z)\s+is\s+(?:now\s+earlier|still\s+later)\s+"
    r"than\s+\d{8}T\d{6}Z\s+\((?P<theirs>\d{8}T\d{6}Z)"
)


@dataclass(frozen=True)
class Skew:
    """A clock was refused; `ahead` is by how much it is ahead of AWS's, or None when nobody tells."""

    ahead: timedelta | None

    @property
    def words(self) -> str:
        """What completes "The clock is ...": `25 minutes behind AWS's`."""
        if self.ahead is None:
            return "too far from AWS's"
        return f"{_length(abs(self.ahead))} {'behind' if self.ahead < timedelta() else 'ahead of'} AWS's"


def skew_in_text(text: str) -> Skew:
    """Return what the output of a tool, in which `PATTERN` is, says of the clock."""
    found = _TIMES.search(text)
    return Skew(_stamp(found["own"]) - _stamp(found["theirs"]) if found else None)


def skew_of(
    code: str, message: str, *, now: datetime, date: str = "", times: Mapping[str, object] | None = None
) -> Skew | None:
    """Return what an answer of AWS says of the clock; None if it is about something else.

    Args:
        code: AWS's error code; of a HEAD it is the HTTP status.
        message: AWS's words.
        now: this machine's time (UTC) when the answer came.
        date: the answer's header `Date`; empty when there is none.
        times: S3's error, which holds `RequestTime` and `ServerTime`.
    """
    ahead = skew_in_text(message).ahead or _by_times(times or {}) or _by_date(date, now)
    if re.search(_CERTAIN, f"{code}: {message}"):
        return Skew(ahead)
    if code not in _PERHAPS:
        return None
    if ahead is None:
        return Skew(None) if code == "RequestExpired" else None
    return Skew(ahead) if abs(ahead) > _PERHAPS[code] else None


def _by_times(times: Mapping[str, object]) -> timedelta | None:
    try:
        theirs = datetime.fromisoformat(str(times.get("ServerTime", "")))
        return _stamp(str(times.get("RequestTime", ""))) - theirs
    except (ValueError, TypeError):  # TypeError: a time without its zone
        return None


def _by_date(date: str, now: datetime) -> timedelta | None:
    try:
        return now - parsedate_to_datetime(date)
    except (ValueError, TypeError):
        return None


def _stamp(text: str) -> datetime:
    return datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)


def _length(time: timedelta) -> str:
    minutes = round(time.total_seconds() / 60)
    for size, name in ((24 * 60, "days"), (60, "hours")):
        if minutes >= 2 * size:
            return f"{round(minutes / size)} {name}"
    return "1 minute" if minutes == 1 else f"{minutes} minutes"
