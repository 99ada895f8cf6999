"""The collector of traces as OpenTelemetry's variables name it, and the words of spans."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Attributes = Mapping[str, str | int]
Role = Literal["server", "consumer", "internal"]
"""What a span does: it answers a request, takes work from a queue, or is a part of such."""
Sampler = Literal[
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
]


@dataclass(frozen=True)
class Collector:
    """Where traces go, as the variables of OpenTelemetry have it.

    Attributes:
        endpoint: URL, to which `/v1/traces` is added; empty is none.
        headers: of each request, as `name=value,name=value` with percent-encoding.
        service: whose spans these are.
        ratio: share of the traces that are sampled, for the samplers named so.
    """

    endpoint: str
    headers: str = field(repr=False)
    service: str
    sampler: Sampler
    ratio: float
