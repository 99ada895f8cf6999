"""What a page of metrics tells, in Prometheus's text format."""

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample


def samples_of(page: str) -> list[Sample]:
    """Return all samples of a page."""
    return [sample for family in text_string_to_metric_families(page) for sample in family.samples]
