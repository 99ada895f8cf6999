"""A release: which chart, where, with what values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Release:
    """A chart and the values to install it with, under a name, in a namespace.

    Attributes:
        timeout: seconds until all its objects must be ready; less than the 14 minutes for which a cluster's
            token may be used.
        registry_name: the chart's name in registries, where it is another one.
        has_crds: whether the types in the chart's directory `crds` are installed, too.
    """

    name: str
    namespace: str
    chart: str
    version: str
    values: Mapping[str, Any]
    timeout: float
    registry_name: str = ""
    has_crds: bool = True

    def __repr__(self) -> str:
        return (
            f"Release({self.name!r}, {self.namespace!r}, {self.chart!r}, {self.version!r}, values=<secret>)"
        )


def chart_ref(source: str, release: Release) -> list[str]:
    """Return Helm's arguments that name the release's chart.

    `source` is `oci://...`, a registry prefix to which the chart's own name is added, or a directory that
    holds one directory per chart.
    """
    if source.startswith("oci://"):
        name = release.registry_name or release.chart
        return [f"{source.rstrip('/')}/{name}", "--version", release.version]
    return [f"{source.rstrip('/')}/{release.chart}"]
