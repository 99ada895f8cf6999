"""What RDS refuses of PostgreSQL: classes, versions, storage, parameter groups, windows, snapshots.

Classes and versions are those of cfn-lint's data of 2026-10-20 (`aws_rds_dbinstance`). The messages are
AWS's, as people met them: storage in terraform-provider-aws#28160, #28382 and convox/rack#2846, its maximum
in ministryofjustice/cloud-platform-environments#24422 and #7483.
"""

import re

from beta9_simulator.cloud.demand import Demand, Rule, State, overlap
from beta9_simulator.cloud.rules import CloudError

MINORS = {"16": range(9, 16), "17": range(4, 12), "18": range(1, 7)}
"""Minor versions of PostgreSQL by major one, as new instances get them."""
_LARGE = ("large", "xlarge", "2xlarge", "4xlarge", "8xlarge", "12xlarge", "16xlarge")
_BURSTABLE = ("micro", "small", "medium", "large", "xlarge", "2xlarge")
FAMILIES = {
    "t3": _BURSTABLE,
    "t4g": _BURSTABLE,
    "m5": (*_LARGE, "24xlarge"),
    "m6g": _LARGE,
    "m6i": (*_LARGE, "24xlarge", "32xlarge"),
    "m7g": _LARGE,
    "r6g": _LARGE,
    "r7g": _LARGE,
}
"""Sizes by family of instance classes."""
_LEAST_GIB, _MOST_GIB = 20, 65536
STRIPED_GIB = 400
"""From here on PostgreSQL's gp3 volumes are striped, with other figures:
https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/CHAP_Storage.html#gp3-storage"""
STRIPED_IOPS, STRIPED_THROUGHPUT = 12000, 500
PLAIN_IOPS, PLAIN_THROUGHPUT = 3000, 125
STOPPED = "stopped"
"""In the state of an instance that somebody has stopped."""


def orderable(instance_class: str) -> bool:
    """Whether there are instances of a class."""
    _, _, rest = instance_class.partition(".")
    family, _, size = rest.partition(".")
    return size in FAMILIES.get(family, ())


def full_version(version: str) -> str | None:
    """Return the minor version that RDS takes for `17` or `17.6`; None when it has none."""
    major, _, minor = version.partition(".")
    known = MINORS.get(major)
    if known is None or (minor and (not minor.isdigit() or int(minor) not in known)):
        return None
    return version if minor else f"{major}.{known[-1]}"


def figures(state: State) -> tuple[int, int]:
    """The operations and megabytes a second of a gp3 volume when nobody asks for others."""
    striped = int(state["allocated_storage"]) >= STRIPED_GIB
    return (STRIPED_IOPS, STRIPED_THROUGHPUT) if striped else (PLAIN_IOPS, PLAIN_THROUGHPUT)


def create_seconds(state: State) -> float:
    """Return how long an instance takes to become available: 6 to 8 minutes, with a standby 10 to 15."""
    return 750 if state["multi_az"] else 420


def _refused(message: str, code: str = "InvalidParameterCombination") -> CloudError:
    return CloudError(code, message)


def _instance(demand: Demand) -> None:
    if demand.state["engine"] != "postgres":
        return
    version = _version(demand)
    _class(demand.state, version)
    _storage(demand)
    _parameters(demand, version)
    if overlap(demand.state["backup_window"], demand.state["maintenance_window"]):
        raise _refused(
            "The backup window and maintenance window must not overlap.", code="InvalidParameterValue"
        )


def _version(demand: Demand) -> str:
    wanted = str(demand.state["engine_version"])
    version = full_version(wanted)
    if version is None:
        raise _refused(f"Cannot find version {wanted} for postgres")
    before = str((demand.prior or demand.state)["engine_version"])
    major, old = int(version.split(".")[0]), int(before.split(".", maxsplit=1)[0])
    if major < old:
        raise _refused(f"Cannot upgrade postgres from {before} to {wanted}")
    if major > old and not demand.state["allow_major_version_upgrade"]:
        raise _refused(
            "The AllowMajorVersionUpgrade flag must be present when upgrading to a new major version."
        )
    return version


def _class(state: State, version: str) -> None:
    if not orderable(state["instance_class"]):
        raise _refused(
            "RDS does not support creating a DB instance with the following combination: "
            f"DBInstanceClass={state['instance_class']}, Engine=postgres, EngineVersion={version}, "
            "LicenseModel=postgresql-license. For supported combinations of instance class and database "
            "engine version, see the documentation."
        )


def _storage(demand: Demand) -> None:
    state, kind = demand.state, demand.state["storage_type"]
    size = int(state["allocated_storage"])
    of_engine = f"engine name postgres and storage type {kind}"
    before = int(demand.prior["allocated_storage"]) if demand.prior else 0
    if not max(before, _LEAST_GIB) <= size <= _MOST_GIB:
        raise _refused(f"Invalid storage size for {of_engine}: {size}")
    if kind == "gp3":
        _gp3(demand, size, of_engine)
    most = state["max_allocated_storage"]
    if not most:
        return
    if most <= size:
        raise _refused("Max storage size must be greater than storage size")
    if most * 10 < size * 11:
        raise _refused("The maximum allocated storage must be increased by at least 10 percent.")
    if most > _MOST_GIB:
        raise _refused(f"Invalid max storage size for {of_engine}: {most}")


def _gp3(demand: Demand, size: int, of_engine: str) -> None:
    """Below the threshold nothing may be asked for. Above it, the provider sends what was there before."""
    iops = demand.config.get("iops")
    throughput = demand.config.get("storage_throughput")
    if size < STRIPED_GIB:
        if iops or throughput:
            raise _refused(
                "You can't specify IOPS or storage throughput for engine postgres and a storage size less "
                f"than {STRIPED_GIB}."
            )
        return
    if demand.prior is not None and not iops:
        iops = demand.prior["iops"]
    if iops and iops < STRIPED_IOPS:
        raise _refused(f"Invalid iops value for {of_engine}: {iops}")


def _parameters(demand: Demand, version: str) -> None:
    name = demand.state["parameter_group_name"]
    group = demand.named("aws_db_parameter_group", name)
    wanted = f"postgres{version.split('.', maxsplit=1)[0]}"
    if group is not None and group.state["family"] != wanted:
        raise _refused(
            f"The parameter group {name} with DBParameterGroupFamily {group.state['family']} can't be used "
            f"for this instance. Use a parameter group with DBParameterGroupFamily {wanted}."
        )


def check_delete(current: State, prior: State) -> None:
    """Raise ``CloudError`` for a protected instance, and for a wrong word, or none, on the last snapshot.

    ``prior`` is Terraform's state, which alone knows that word.
    """
    if current["deletion_protection"]:
        raise _refused(
            "Cannot delete protected DB Instance, please disable deletion protection and try again."
        )
    name = prior.get("final_snapshot_identifier")
    if prior.get("skip_final_snapshot"):
        return
    if not name:
        raise _refused("final_snapshot_identifier is required when skip_final_snapshot is false")
    if not re.fullmatch(r"[A-Za-z](?!.*--)[A-Za-z0-9-]{0,254}(?<!-)", name):
        raise _refused(
            "The parameter FinalDBSnapshotIdentifier is not a valid identifier. Identifiers must begin with "
            "a letter; must contain only ASCII letters, digits, and hyphens; and must not end with a hyphen "
            "or contain two consecutive hyphens.",
            code="InvalidParameterValue",
        )


RULES: dict[str, Rule] = {"aws_db_instance": _instance}
