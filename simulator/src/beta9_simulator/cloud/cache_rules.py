"""What ElastiCache refuses of Redis and Valkey: versions, parameter groups, users, windows.

Versions are those of cfn-lint's data of 2026-10-20 (`aws_elasticache_cachecluster`). The messages are AWS's,
as people met them: families in aws-samples/dify-self-hosted-on-aws#24, token and group in
terraform-provider-aws#39546, versions and passwords in the guides.
"""

from beta9_simulator.cloud.demand import Demand, Rule, overlap
from beta9_simulator.cloud.rules import CloudError

VERSIONS = {
    "redis": ("6.0", "6.2", "7.0", "7.1"),
    "valkey": ("7.2", "8.0", "8.1", "8.2", "9.0", "9.1"),
}
_LEAST_PASSWORD, _MOST_PASSWORD = 16, 128


def _refused(message: str, code: str = "InvalidParameterCombination") -> CloudError:
    return CloudError(code, message)


def family(engine: str, version: str) -> str:
    """Return the family of parameter groups for a version."""
    major = version.split(".", maxsplit=1)[0]
    return f"{engine}{major}.x" if (engine, major) == ("redis", "6") else f"{engine}{major}"


def _replication_group(demand: Demand) -> None:
    state = demand.state
    engine, version = str(state["engine"]), str(state["engine_version"])
    if ".".join(version.split(".")[:2]) not in VERSIONS.get(engine, ()):
        raise _refused(f"Cannot find version {version} for {engine}")
    group = demand.named("aws_elasticache_parameter_group", state["parameter_group_name"])
    wanted = family(engine, version)
    if group is not None and group.state["family"] != wanted:
        raise _refused(
            f"Expected a parameter group of family {wanted} but found one of family {group.state['family']}"
        )
    _access(demand)
    _replicas(demand)
    if state["snapshot_retention_limit"] and overlap(state["snapshot_window"], state["maintenance_window"]):
        raise _refused(
            "The snapshot window and maintenance window must not overlap.", code="InvalidParameterValue"
        )


def _access(demand: Demand) -> None:
    state = demand.state
    token = demand.config.get("auth_token") or demand.config.get("auth_token_wo")
    if not state["user_group_ids"]:
        return
    if token:
        raise _refused(
            "User group can't be associated with auth token enabled. Pass AuthStrategy delete to proceed."
        )
    if not state["transit_encryption_enabled"]:
        raise _refused(
            "User group based access control requires encryption-in-transit to be enabled on the "
            "replication group."
        )
    for name in state["user_group_ids"]:
        if demand.named("aws_elasticache_user_group", name) is None:
            raise _refused(f"UserGroup {name} not found.", code="UserGroupNotFound")


def _replicas(demand: Demand) -> None:
    state = demand.state
    if state["automatic_failover_enabled"] and state["num_cache_clusters"] == 1:
        raise _refused("Automatic failover needs at least one read replica in the replication group.")
    if state["multi_az_enabled"] and not state["automatic_failover_enabled"]:
        raise _refused("Multi-AZ requires automatic failover to be enabled.")


def _user(demand: Demand) -> None:
    given = demand.config
    mode = (given.get("authentication_mode") or [{}])[0]
    passwords = [*(given.get("passwords") or ()), *(mode.get("passwords") or ())]
    if given.get("passwords_wo"):
        passwords.append(given["passwords_wo"])
    if any(not _LEAST_PASSWORD <= len(password) <= _MOST_PASSWORD for password in passwords):
        raise _refused(
            f"Passwords length must be between {_LEAST_PASSWORD}-{_MOST_PASSWORD} characters.",
            code="InvalidParameterValue",
        )
    without = given.get("no_password_required") or mode.get("type") in ("iam", "no-password-required")
    if demand.prior is None and not passwords and not without:
        raise _refused(
            "No password was provided. If you want to create/update the user without password, please use "
            "the NoPasswordRequired flag."
        )


RULES: dict[str, Rule] = {
    "aws_elasticache_replication_group": _replication_group,
    "aws_elasticache_user": _user,
}
