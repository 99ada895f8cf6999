"""Where the charts of an environment come from. Stand-ins of the simulator get into no genuine cluster."""

from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from beta9_provisioning.clouds.cloud import Cloud
from beta9_provisioning.engine.errors import EngineError
from beta9_provisioning.settings import Settings

# In Chart.yaml of the stand-ins.
_MARK = "beta9-simulator/stand-in"


class ChartsNotConfigured(EngineError):
    """The worker has no charts for this environment: its operator's affair, and nobody's configuration."""

    code = "charts_not_configured"

    def __init__(self, detail: str) -> None:
        super().__init__(
            "The worker has no charts to install.",
            detail=detail,
            remedy=(
                "The operator of this service sets CHART_SOURCE to the directory or oci:// prefix that holds "
                "the pinned charts, and starts the workers again."
            ),
        )


def chart_source(settings: Settings, cloud: Cloud, region: str) -> str:
    """Return the directory or `oci://` prefix of the charts for an environment in this region.

    Without CHART_SOURCE these are the stand-ins that the simulator names, if the cloud's endpoint is one on
    this machine. Stand-ins in CHART_SOURCE are taken if the endpoint is the simulator, here or in the same
    network. Those that an `oci://` prefix holds are not known here: they refuse a genuine cluster themselves.

    Raises:
        ChartsNotConfigured: there are none, or stand-ins would get into a genuine cluster.
    """
    source = settings.chart_source
    if source and not _holds_stand_ins(source):
        return source
    found = cloud.simulation(region)
    endpoint = found.endpoint or "the endpoint"
    if not found.answers:
        what = f"CHART_SOURCE is {source}, which holds stand-ins" if source else "CHART_SOURCE is not set"
        raise ChartsNotConfigured(f"{what}, and {endpoint} is not the simulator.")
    if source:
        return source
    if found.charts is None:
        raise ChartsNotConfigured(f"CHART_SOURCE is not set, and the simulator at {endpoint} has none here.")
    return str(found.charts)


def _holds_stand_ins(source: str) -> bool:
    return not source.startswith("oci://") and any(map(_is_stand_in, Path(source).glob("*/Chart.yaml")))


def _is_stand_in(chart: Path) -> bool:
    try:
        about = YAML(typ="safe", pure=True).load(chart.read_text(encoding="utf-8"))
        return _MARK in about.get("annotations", {})
    except (OSError, ValueError, AttributeError, TypeError, YAMLError):
        return False  # Helm will say what is wrong with it
