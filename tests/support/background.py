"""What background work of this process has counted."""

from beta9_provisioning.kit.background import FAILURES


def failures(work: str) -> int:
    """Return how often a piece of background work of this process has failed."""
    (family,) = FAILURES.collect()
    return int(
        sum(
            sample.value
            for sample in family.samples
            if sample.name.endswith("_total") and sample.labels["work"] == work
        )
    )
