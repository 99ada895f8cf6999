"""API Performance: how much is asked, how fast and how well is it answered, by which replica?"""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard
from scripts.dashboards.panels import Query, background_failures, board, connections, lines, number, row

_ALL = 'job="$job", instance=~"$instance"'
_USERS = f'{_ALL}, route=~"/api/.*"'
_QUICK = f'{_USERS}, route!~".*/events"'
_STREAMS = "Without event streams, which are meant to last, and without probes and scrapes."


def api() -> Dashboard:
    """The dashboard of the API's own figures; each replica counts for itself, so they are added up."""
    made = board(
        "beta9-provisioning-api",
        "API Performance",
        "Requests and their answers, and what each replica holds. Counts of replicas are added up.",
        instances_of="job",
    )
    return _replicas(_requests(_now(made)))


def _now(made: Dashboard) -> Dashboard:
    return (
        made.with_row(row("Now"))
        .with_panel(
            number(
                "Replicas up",
                "Replicas that answer their scrape.",
                f"sum(up{{{_ALL}}})",
                bad_below=1,
            )
        )
        .with_panel(
            number(
                "Requests per second",
                "Users' requests, without probes and scrapes.",
                f"sum(rate(provisioning_api_requests_total{{{_USERS}}}[$__rate_interval]))",
                unit="reqps",
            )
        )
        .with_panel(
            number(
                "Errors",
                "Share of users' requests that were answered with 5xx. An alert fires beyond 5 %.",
                _errors(),
                unit="percentunit",
                limits=(0.001, 0.05),
            )
        )
        .with_panel(
            number(
                "95 % are faster than",
                f"{_STREAMS} An alert fires beyond 1 s.",
                _latency(0.95),
                unit="s",
                limits=(0.25, 1),
            )
        )
        .with_panel(
            number(
                "Requests that wait",
                "For a thread, of all replicas. Normally 0; an alert fires when some wait for minutes on end.",
                f"sum(provisioning_api_requests_waiting{{{_ALL}}})",
                limits=(1, 16),
            )
        )
        .with_panel(
            number(
                "Slowest scrape",
                "How long Prometheus waited for /metrics, at most. Normal are some hundredths of a second.",
                f"max(scrape_duration_seconds{{{_ALL}}})",
                unit="s",
                limits=(0.5, 5),
            )
        )
    )


def _errors() -> str:
    failed = f'provisioning_api_requests_total{{{_USERS}, status=~"5.."}}'
    asked = f"provisioning_api_requests_total{{{_USERS}}}"
    # Of a status that never was there is no series: that is no error, not no data.
    return f"(sum(rate({failed}[$__rate_interval])) or vector(0)) / sum(rate({asked}[$__rate_interval]))"


def _latency(share: float, by: str = "le") -> str:
    buckets = f"provisioning_api_request_duration_seconds_bucket{{{_QUICK}}}"
    return f"histogram_quantile({share}, sum by ({by}) (rate({buckets}[$__rate_interval])))"


def _requests(made: Dashboard) -> Dashboard:
    counted = f"rate(provisioning_api_requests_total{{{_USERS}}}[$__rate_interval])"
    return (
        made.with_row(row("Requests"))
        .with_panel(
            lines(
                "Requests by status",
                "409 and 422 are answers to mistakes, 429 to too many requests, 503 to a busy or missing database.",
                Query(f"sum by (status) ({counted})", "{{status}}"),
                unit="reqps",
                stacked=True,
            )
        )
        .with_panel(
            lines(
                "Requests by route",
                "Who polls a single environment asks /api/v1/environments/{environment_id}.",
                Query(f"sum by (method, route) ({counted})", "{{method}} {{route}}"),
                unit="reqps",
            )
        )
        .with_panel(
            lines(
                "Duration",
                f"Until the answer starts: half, 95 % and 99 % were faster. {_STREAMS}",
                *(Query(_latency(share), f"{share:.0%}") for share in (0.5, 0.95, 0.99)),
                unit="s",
                limits=(1,),
            )
        )
        .with_panel(
            lines(
                "Duration by route, 95 %",
                "One slow route among quick ones is its query; all slow together are the database or too few replicas.",
                Query(_latency(0.95, "method, route, le"), "{{method}} {{route}}"),
                unit="s",
            )
        )
        .with_panel(
            lines(
                "Errors by route",
                "Answers with 5xx. Empty when there were none.",
                Query(
                    f'sum by (method, route, status) (rate(provisioning_api_requests_total{{{_ALL}, status=~"5.."}}'
                    "[$__rate_interval]))",
                    "{{status}} {{method}} {{route}}",
                ),
                unit="reqps",
                wide=True,
            )
        )
    )


def _replicas(made: Dashboard) -> Dashboard:
    return (
        made.with_row(row("Replicas"))
        .with_panel(
            lines(
                "Requests by replica",
                "About the same for all, or the balance is wrong.",
                Query(
                    f"sum by (instance) (rate(provisioning_api_requests_total{{{_USERS}}}[$__rate_interval]))",
                    "{{instance}}",
                ),
                unit="reqps",
            )
        )
        .with_panel(
            lines(
                "Threads",
                "Those in use, requests that wait for one, and how many a replica has. All in use means that the database "
                "keeps requests too long, or that replicas are too few.",
                Query(
                    f"sum by (instance) (provisioning_api_threads_in_use{{{_ALL}}})", "{{instance}} in use"
                ),
                Query(
                    f"sum by (instance) (provisioning_api_requests_waiting{{{_ALL}}})", "{{instance}} wait"
                ),
                Query(f"sum by (instance) (provisioning_api_threads_max{{{_ALL}}})", "{{instance}} at most"),
            )
        )
        .with_panel(
            connections(
                "In use, and what a replica may open: more than it has threads, for event streams.",
                _ALL,
            )
        )
        .with_panel(
            lines(
                "Scrapes",
                "How long Prometheus waited for /metrics.",
                Query(f"max by (instance) (scrape_duration_seconds{{{_ALL}}})", "{{instance}}"),
                unit="s",
            )
        )
        .with_panel(background_failures("requests", _ALL))
    )
