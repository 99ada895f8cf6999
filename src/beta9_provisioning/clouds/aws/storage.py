"""What RDS takes as storage of a database, in GiB, on gp3 volumes:
https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/CHAP_Storage.html#gp3-storage
"""

from beta9_provisioning.schemas.configuration import Postgres

MOST_GIB = 65536
# PostgreSQL's volumes are striped from here on. Their operations and throughput have to be named then: the
# provider would send those of a smaller volume (hashicorp/terraform-provider-aws#28382).
_STRIPED_GIB, _STRIPED_IOPS, _STRIPED_THROUGHPUT = 400, 12000, 500


def least_maximum(storage_gib: int) -> int:
    """Return the least storage that autoscaling may be allowed: a tenth more, rounded up."""
    return -(-storage_gib * 11 // 10)


def maximum(postgres: Postgres) -> int | None:
    """Return up to what the storage grows by itself, usually twice its size; None where it cannot grow."""
    if postgres.max_storage_gb is not None:
        return postgres.max_storage_gb
    usual = min(2 * postgres.storage_gb, MOST_GIB)
    return usual if usual >= least_maximum(postgres.storage_gb) else None


def performance(storage_gib: int) -> tuple[int | None, int | None]:
    """Return the operations and the MiB per second to ask for; below the threshold RDS refuses both."""
    return (_STRIPED_IOPS, _STRIPED_THROUGHPUT) if storage_gib >= _STRIPED_GIB else (None, None)
