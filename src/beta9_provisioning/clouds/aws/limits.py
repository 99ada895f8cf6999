"""What AWS's services refuse of labels, taints, tags and names, in the middle of an apply.

The limits of EKS, IAM and RDS stand in botocore's service models, those of S3 in its user guide.
"""

import unicodedata
from collections.abc import Iterator, Mapping
from ipaddress import IPv4Network
from itertools import chain

from beta9_provisioning.clouds.aws import storage
from beta9_provisioning.kit.networks import is_inside
from beta9_provisioning.schemas.configuration import EnvironmentConfig, Path

# RetentionInDays of PutRetentionPolicy.
_LOG_DAYS = (
    *(1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180),
    *(365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653),
)
_MAX_KEY = 63
_RESERVED_DOMAINS = ("kubernetes.io", "k8s.io", "eks.amazonaws.com")
# \p{L}, \p{Z} and \p{N} of the pattern of IAM, RDS and CloudWatch Logs: letters, separators, numbers.
_TAG_CATEGORIES = "LZN"
_TAG_SIGNS = "_.:/=+-@"
_RESERVED_TAGS = ("aws:", "rds:")
_BUCKET_PREFIXES = ("xn--", "sthree-", "amzn-s3-demo-")
_BUCKET_SUFFIXES = ("-s3alias", "--ol-s3", "--x-s3", "--table-s3")


def faults(config: EnvironmentConfig) -> Mapping[Path, str]:
    """Return what AWS would refuse of a configuration that is right in itself, by path."""
    found = (
        _of_labels(config),
        _of_taints(config),
        _of_tags(config.tags),
        _of_bucket(config),
        _of_logs(config),
        _of_api(config),
        _of_storage(config),
        _of_key(config),
    )
    return dict(chain.from_iterable(found))


def _of_logs(config: EnvironmentConfig) -> Iterator[tuple[Path, str]]:
    named = {
        ("network", "flow_log_days"): config.network.flow_log_days,
        ("cluster", "log_days"): config.cluster.log_days,
    }
    for path, days in named.items():
        if days not in _LOG_DAYS:
            yield path, f"is no retention that CloudWatch Logs has; it has {', '.join(map(str, _LOG_DAYS))}"


def _of_api(config: EnvironmentConfig) -> Iterator[tuple[Path, str]]:
    for number, cidr in enumerate(config.cluster.api.public_from):
        network = IPv4Network(cidr)
        if is_inside(network):
            yield (
                ("cluster", "api", "public_from", number),
                "is a private range, from which nobody comes over the internet; EKS refuses it",
            )


def _of_labels(config: EnvironmentConfig) -> Iterator[tuple[Path, str]]:
    for key, value in config.cluster.node_labels.items():
        path = ("cluster", "node_labels", key)
        if (fault := _key_fault(key)) is not None:
            yield path, fault
        elif not value:
            yield path, "has no value, and EKS takes no label without one; a value such as true will do"


def _of_taints(config: EnvironmentConfig) -> Iterator[tuple[Path, str]]:
    for number, taint in enumerate(config.cluster.node_taints):
        if (fault := _key_fault(taint.key)) is not None:
            yield ("cluster", "node_taints", number, "key"), fault


def _key_fault(key: str) -> str | None:
    """Return what EKS would say of the key of a label or taint."""
    if len(key) > _MAX_KEY:
        return f"has {len(key)} characters, its prefix included, and EKS takes {_MAX_KEY}"
    prefix = key.rpartition("/")[0]
    for domain in _RESERVED_DOMAINS:
        if prefix == domain or prefix.endswith(f".{domain}"):
            return f"has the prefix {domain}/, which EKS reserves; take one of your own, such as example.com/"
    return None


def _of_tags(tags: Mapping[str, str]) -> Iterator[tuple[Path, str]]:
    seen: dict[str, str] = {}
    for key, value in tags.items():
        path = ("tags", key)
        strange = sorted({character for character in key + value if not _may_be_in_a_tag(character)})
        twin = seen.setdefault(key.casefold(), key)
        if strange:
            shown = " ".join(map(ascii, strange[:5]))
            yield (
                path,
                f"holds {shown}; AWS takes letters, digits, spaces and {_TAG_SIGNS} in keys and values",
            )
        elif not unicodedata.is_normalized("NFC", key + value):
            yield path, "is not in Unicode's normal form NFC, which Terraform would make of it; send it so"
        elif key.lower().startswith(_RESERVED_TAGS):
            yield path, "has a key that AWS reserves; keys may not start with aws: or rds:"
        elif value.lower().startswith(_RESERVED_TAGS):
            yield path, "has a value that AWS reserves; values may not start with aws: or rds:"
        elif twin != key:
            yield (
                path,
                f"differs from the key {twin!r} in case only, and IAM tells no case: take one of the two",
            )


def _may_be_in_a_tag(character: str) -> bool:
    return character in _TAG_SIGNS or unicodedata.category(character)[0] in _TAG_CATEGORIES


def _of_bucket(config: EnvironmentConfig) -> Iterator[tuple[Path, str]]:
    prefix = config.data.object_store.bucket_prefix
    path = ("data", "object_store", "bucket_prefix")
    # The name goes on with a hyphen and the environment's suffix.
    for reserved in _BUCKET_PREFIXES:
        if f"{prefix}-".startswith(reserved):
            yield path, f"gives a name that begins with {reserved}, which S3 reserves; take another one"
    for reserved in _BUCKET_SUFFIXES:
        if prefix.endswith(reserved):
            yield path, f"ends with {reserved}, which S3 reserves; take another one"


def _of_storage(config: EnvironmentConfig) -> Iterator[tuple[Path, str]]:
    postgres = config.data.postgres
    most, path = postgres.max_storage_gb, ("data", "postgres", "max_storage_gb")
    if most is None:
        return
    least = storage.least_maximum(postgres.storage_gb)
    if least > storage.MOST_GIB:
        yield path, f"cannot be set, for storage_gb leaves no room below {storage.MOST_GIB}; leave it out"
    elif most < least:
        yield path, f"must be at least {least}: a tenth more than storage_gb, as RDS demands"


def _of_key(config: EnvironmentConfig) -> Iterator[tuple[Path, str]]:
    cloud = config.cloud
    if cloud.kms_key_arn is not None and cloud.kms_key_arn.split(":")[3] != cloud.region:
        yield ("cloud", "kms_key_arn"), f"must be a key of the region {cloud.region}"
