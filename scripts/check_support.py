"""Tells when a version that new environments get is about to leave standard support: `make check-support`.

What is out of standard support costs more, and is moved to a later version by AWS on a day of its choice.
There has to be time for another default, hence the sixty days.
"""

import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

from beta9_provisioning.clouds.aws.versions import DEFAULTS, KUBERNETES, POSTGRES, VALKEY

NOTICE = timedelta(days=60)
CHOSEN = (
    ("Kubernetes", KUBERNETES, DEFAULTS.kubernetes),
    ("PostgreSQL", POSTGRES, DEFAULTS.postgres),
    ("Valkey", VALKEY, DEFAULTS.valkey),
)
"""Names, tables and the versions in them that new environments get."""


def faults(today: date) -> Iterator[str]:
    """Yield what is wrong with the defaults on a day."""
    for name, table, version in CHOSEN:
        until = table[version].standard_until
        if until - today < NOTICE:
            yield (
                f"{name} {version}, which new environments get, is in standard support until {until} "
                f"({table[version].source}). Choose a later one in clouds/aws/versions.py."
            )


def main() -> int:
    """Check; returns the exit code."""
    found = list(faults(datetime.now(UTC).date()))
    for fault in found:
        print(f"error: {fault}", file=sys.stderr)
    if not found:
        print(
            ", ".join(
                f"{name} {version}: until {table[version].standard_until}" for name, table, version in CHOSEN
            )
        )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
