"""Which zones offer which instance types: a zone may lack some, and a test may take more from an account."""

import json

from beta9_simulator.cloud.store import Store

# use1-az3 is old, and has no newer types: "Amazon EC2 instance types by Region", and many a
# "Your requested instance type (t3.large) is not supported in your requested Availability Zone (us-east-1e)".
_LACKING = {"use1-az3": ("t3.", "m6i.", "c6i.", "r6i.", "t4g.", "m6g.")}
TYPES = ("t3.medium", "t3.large", "m6i.large", "m6i.xlarge", "m6i.2xlarge", "m6i.4xlarge")
"""The types of which DescribeInstanceTypeOfferings tells where they are."""


def without(store: Store, account: str, type_: str, zones: list[str]) -> None:
    """Let an account have no instances of a type in zones (ids)."""
    store.set_setting(f"without:{account}:{type_}", json.dumps(zones))


def offered(store: Store, account: str, zone: str, type_: str) -> bool:
    """Whether a zone, by id, offers an instance type to an account."""
    lacking = _LACKING.get(zone, ())
    told = json.loads(store.setting(f"without:{account}:{type_}", "[]"))
    return not type_.startswith(lacking) and zone not in told
