"""What the dashboards are made of: variables, and panels of which each says what it shows and what is normal.

The names of metrics stand in the queries in full, so that a search for a metric finds where it is shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.builders import prometheus, stat, timeseries
from grafana_foundation_sdk.models import common, dashboard

TAG = "beta9-provisioning"
"""Each of the dashboards links to all that have this tag."""
_SOURCE = dashboard.DataSourceRef(type_val="prometheus", uid="${datasource}")
_HEIGHT = 8
_COLORS = ("green", "orange", "red")


@dataclass(frozen=True)
class Query:
    """What a panel asks Prometheus, and how each answer is called; `{{label}}` stands for a label's value."""

    expr: str
    legend: str


Limits = Sequence[float]
"""From the first on a value is orange, from the second red; with one alone it is red from there on."""


def _thresholds(limits: Limits, below: str = "green") -> builders.ThresholdsConfig:
    colors = (below, *_COLORS[-len(limits) :]) if limits else (below,)
    values = (None, *limits)
    steps = [dashboard.Threshold(value=v, color=c) for v, c in zip(values, colors, strict=True)]
    return builders.ThresholdsConfig().mode(dashboard.ThresholdsMode.ABSOLUTE).steps(steps)


def risen(series: str, by: str) -> str:
    """How far counters of the database rose within an hour, whichever replicas told (manifests/monitoring/rules.yaml)."""
    return f"(max by ({by}) (max_over_time({series}[5m])) - min by ({by}) (min_over_time({series}[1h])))"


def lines(
    title: str,
    description: str,
    *queries: Query,
    unit: str = "short",
    limits: Limits = (),
    wide: bool = False,
    stacked: bool = False,
) -> timeseries.Panel:
    """Lines over time, with a table of their latest and highest values; two fit beside each other.

    Args:
        unit: Grafana's name of the unit, such as `s`, `reqps` or `percentunit`.
        limits: drawn as dashed lines.
        wide: takes the whole width.
        stacked: areas upon each other, for what adds up to a whole.
    """
    legend = common_builders.VizLegendOptions().display_mode(common.LegendDisplayMode.TABLE)
    legend = legend.placement(common.LegendPlacement.BOTTOM).show_legend(True).calcs(["lastNotNull", "max"])
    drawn = common.GraphThresholdsStyleMode.DASHED if limits else common.GraphThresholdsStyleMode.OFF
    panel = (
        timeseries.Panel()
        .title(title)
        .description(description)
        .datasource(_SOURCE)
        .unit(unit)
        .min(0)
        .height(_HEIGHT)
        .span(24 if wide else 12)
        .legend(legend)
        .tooltip(common_builders.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI))
        .thresholds(_thresholds(limits))
        .thresholds_style(common_builders.GraphThresholdsStyleConfig().mode(drawn))
        .fill_opacity(30 if stacked else 0)
    )
    if stacked:
        panel = panel.stacking(common_builders.StackingConfig().mode(common.StackingMode.NORMAL))
    for letter, query in zip("ABCDEF", queries, strict=False):
        panel = panel.with_target(_target(query).ref_id(letter).range())
    return panel


def number(
    title: str,
    description: str,
    query: str,
    *,
    unit: str = "short",
    limits: Limits = (),
    bad_below: float | None = None,
) -> stat.Panel:
    """One number, the latest; six fit beside each other.

    Args:
        bad_below: it is red below this, instead of limits.
    """
    thresholds = _thresholds(limits)
    if bad_below is not None:
        steps = [dashboard.Threshold(None, "red"), dashboard.Threshold(bad_below, "green")]
        thresholds = builders.ThresholdsConfig().mode(dashboard.ThresholdsMode.ABSOLUTE).steps(steps)
    return (
        stat.Panel()
        .title(title)
        .description(description)
        .datasource(_SOURCE)
        .unit(unit)
        .height(4)
        .span(4)
        .thresholds(thresholds)
        .color_mode(common.BigValueColorMode.BACKGROUND)
        .graph_mode(common.BigValueGraphMode.NONE)
        .reduce_options(common_builders.ReduceDataOptions().calcs(["lastNotNull"]))
        .no_value("no data")
        .with_target(_target(Query(query, title)).ref_id("A").instant())
    )


def connections(description: str, selected: str) -> timeseries.Panel:
    """Connections to the database of each process that `selected`, a list of matchers, means."""
    return lines(
        "Database connections",
        description,
        Query(
            f"max by (instance) (provisioning_database_connections_in_use{{{selected}}})",
            "{{instance}} in use",
        ),
        Query(
            f"max by (instance) (provisioning_database_connections_max{{{selected}}})",
            "{{instance}} at most",
        ),
    )


def background_failures(beside: str, selected: str) -> timeseries.Panel:
    """What failed in the background of each process that `selected`, a list of matchers, means."""
    return lines(
        f"Failed work beside {beside}",
        "By what it was for. It is tried again; what goes on failing is told by an alert.",
        Query(
            f"sum by (instance, work) (increase(provisioning_background_failures_total{{{selected}}}[10m]))",
            "{{instance}} {{work}}",
        ),
    )


def row(title: str) -> builders.Row:
    """A heading over the panels that follow."""
    return builders.Row(title)


def board(uid: str, title: str, description: str, *, instances_of: str = "") -> builders.Dashboard:
    """An empty dashboard with its variables.

    Args:
        instances_of: the variable with the job whose instances can be chosen; without it none can.
    """
    made = (
        builders.Dashboard(title)
        .uid(uid)
        .description(description)
        .tags([TAG])
        .readonly()
        .time("now-6h", "now")
        .refresh("30s")
        .timezone("browser")
        .tooltip(dashboard.DashboardCursorSync.CROSSHAIR)
        .link(_others())
        .with_variable(builders.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
        .with_variable(_job("job", "API", "provisioning_database_up", "provisioning-api"))
        .with_variable(_job("worker_job", "Workers", "provisioning_worker_slots", "provisioning-worker"))
    )
    if not instances_of:
        return made
    return made.with_variable(
        _variable("instance", "Instance", f'label_values(up{{job="${instances_of}"}}, instance)')
        .multi(True)
        .include_all(True)
        .current(dashboard.VariableOption(selected=True, text=["All"], value=["$__all"]))
    )


def _others() -> builders.DashboardLink:
    link = builders.DashboardLink("Beta9 Provisioning").type(dashboard.DashboardLinkType.DASHBOARDS)
    return link.tags([TAG]).keep_time(True).include_vars(True)


def _job(name: str, label: str, metric: str, usual: str) -> builders.QueryVariable:
    variable = _variable(name, label, f"label_values({metric}, job)")
    return variable.current(dashboard.VariableOption(selected=True, text=usual, value=usual))


def _variable(name: str, label: str, query: str) -> builders.QueryVariable:
    return (
        builders.QueryVariable(name)
        .label(label)
        .datasource(_SOURCE)
        .query({"query": query, "refId": name})
        .refresh(dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(dashboard.VariableSort.ALPHABETICAL_ASC)
    )


def _target(query: Query) -> prometheus.Dataquery:
    return prometheus.Dataquery().datasource(_SOURCE).expr(query.expr).legend_format(query.legend)
