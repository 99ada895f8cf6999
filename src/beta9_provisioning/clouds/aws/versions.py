"""Versions that AWS offers, until when each is supported, and which ones a new environment gets.

These tables choose for new environments only: what an environment was made with is kept with it.
`make check-support` fails 60 days before the standard support of a default ends. A version whose end nobody
has announced is not in them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

_EKS = "https://docs.aws.amazon.com/eks/latest/userguide/kubernetes-versions.html"
_RDS = "https://docs.aws.amazon.com/AmazonRDS/latest/PostgreSQLReleaseNotes/postgresql-release-calendar.html"
_VALKEY = "https://valkey.io/topics/releases/"


@dataclass(frozen=True)
class Support:
    """Until when a version is supported; both days still are.

    Attributes:
        standard_until: last day of standard support, without a surcharge.
        extended_until: last day of extended support; AWS then moves to a later version by itself.
        source: page that says so.
    """

    standard_until: date
    extended_until: date
    source: str


@dataclass(frozen=True)
class Defaults:
    """What new environments get."""

    kubernetes: str
    postgres: str
    valkey: str


# As of 2026-11-27. An hour of a cluster costs $0.10 in standard support, $0.60 in extended support.
KUBERNETES: Mapping[str, Support] = {
    "1.34": Support(date(2026, 12, 2), date(2027, 12, 2), _EKS),
    "1.35": Support(date(2027, 3, 27), date(2028, 3, 27), _EKS),
    "1.36": Support(date(2027, 8, 2), date(2028, 8, 2), _EKS),
}
# Major versions; RDS picks the minor one. As endoflife.date had AWS's calendar on 2026-08-22.
POSTGRES: Mapping[str, Support] = {
    "16": Support(date(2029, 2, 28), date(2032, 2, 29), _RDS),
    "17": Support(date(2030, 2, 28), date(2033, 2, 28), _RDS),
    "18": Support(date(2031, 2, 28), date(2034, 2, 28), _RDS),
}
# ElastiCache has announced no end for any Valkey: these are the project's, of maintenance and of security
# fixes. It also offers 8.2, which the project never released, and 9.1, whose end the project has not told.
VALKEY: Mapping[str, Support] = {
    "7.2": Support(date(2027, 4, 16), date(2029, 4, 16), _VALKEY),
    "8.0": Support(date(2027, 9, 15), date(2027, 9, 15), _VALKEY),
    "8.1": Support(date(2028, 3, 31), date(2030, 3, 31), _VALKEY),
    "9.0": Support(date(2028, 10, 21), date(2028, 10, 21), _VALKEY),
}

# Kubernetes: kubectl 1.34 talks to 1.35 at most (https://kubernetes.io/releases/version-skew-policy), Helm
# 4.1 to 1.32 to 1.35 (https://helm.sh/docs/topics/version_skew), cert-manager 1.21 runs on 1.33 to 1.36.
DEFAULTS = Defaults(kubernetes="1.35", postgres="18", valkey="9.0")
