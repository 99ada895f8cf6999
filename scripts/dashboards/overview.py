"""Provisioning Overview: is the service well, what is it at, what failed, how long does it take?"""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard
from scripts.dashboards.panels import Query, board, lines, number, risen, row

_API = 'job="$job"'


def overview() -> Dashboard:
    """The dashboard to look at first."""
    made = board(
        "beta9-provisioning-overview",
        "Provisioning Overview",
        "The service as a whole. Every API replica reports these figures alike; they are joined by max, never added up.",
    )
    return _objectives(_environments(_operations(_now(made))))


def _now(made: Dashboard) -> Dashboard:
    return (
        made.with_row(row("Now"))
        .with_panel(
            number(
                "Alerts that fire",
                "Alerts of this service that fire, that of backups included; their names and what to do are in the runbook.",
                'count(ALERTS{alertstate="firing", job=~"$job|$worker_job"} '
                'or ALERTS{alertstate="firing", job="", alertname="ProvisioningBackupMissing"}) or vector(0)',
                limits=(1,),
            )
        )
        .with_panel(
            number(
                "API replicas up",
                "Replicas that answer their scrape. At least 2 in production.",
                f"sum(up{{{_API}}})",
                bad_below=1,
            )
        )
        .with_panel(
            number(
                "Live workers",
                "Workers that live, as the database sees them. With none, requests are accepted and nothing is done.",
                f"max(provisioning_live_workers{{{_API}}})",
                bad_below=1,
            )
        )
        .with_panel(
            number(
                "Longest wait",
                "How long the oldest operation has been waiting for a worker. An alert fires beyond 10 minutes.",
                f"max(provisioning_operations_oldest_waiting_seconds{{{_API}}})",
                unit="s",
                limits=(120, 600),
            )
        )
        .with_panel(
            number(
                "Database",
                "1 when a replica reaches PostgreSQL. Without it nothing works.",
                f"max(provisioning_database_up{{{_API}}})",
                bad_below=1,
            )
        )
        .with_panel(
            number(
                "Queue",
                "1 when a replica reaches Redis. Without it nothing begins; nothing is lost.",
                f"max(provisioning_queue_up{{{_API}}})",
                bad_below=1,
            )
        )
    )


def _operations(made: Dashboard) -> Dashboard:
    finished = risen(f"provisioning_operations_finished_total{{{_API}}}", "kind, outcome, reason")
    took = risen(f"provisioning_duration_seconds_bucket{{{_API}}}", "kind, outcome, le")
    failed = risen(f'provisioning_operations_finished_total{{{_API}, outcome="failed"}}', "kind, reason")
    return (
        made.with_row(row("Operations"))
        .with_panel(
            lines(
                "Waiting and running",
                "Operations that a worker could take now, those that workers are at, and what the queue holds. Waiting "
                "ones beside free slots mean that workers do not take them.",
                Query(f"max(provisioning_operations_waiting{{{_API}}})", "waiting"),
                Query(f"max(provisioning_operations_running{{{_API}}})", "running"),
                Query(f"max(redis_queue_length{{{_API}}})", "in the queue"),
                Query('sum(provisioning_worker_slots{job="$worker_job"})', "slots of all workers"),
            )
        )
        .with_panel(
            lines(
                "Unfinished, by kind and phase",
                "Where operations stand. A phase that only grows is where they hang.",
                Query(f"max by (kind, phase) (provisioning_operations{{{_API}}})", "{{kind}} {{phase}}"),
                stacked=True,
            )
        )
        .with_panel(
            lines(
                "Finished within an hour, by outcome",
                "How operations ended. A failure is told to the user with its reason.",
                Query(f"sum by (kind, outcome) ({finished})", "{{kind}} {{outcome}}"),
            )
        )
        .with_panel(
            lines(
                "Failed within an hour, by reason",
                "access_refused and configuration are the customer's to mend; worker_lost, timeout and internal are ours.",
                Query(f"{failed} > 0", "{{kind}} {{reason}}"),
            )
        )
        .with_panel(
            lines(
                "From request to ready",
                "Environments that became ready within an hour: half, and 19 of 20, took at most so long, the wait for a "
                "worker included. About a quarter of an hour is normal.",
                *(_ready(share, legend) for share, legend in ((0.5, "half"), (0.95, "19 of 20"))),
                unit="s",
            )
        )
        .with_panel(
            lines(
                "Attempts within an hour, by outcome",
                "One try of one worker. worker_lost: it was killed, or was cut off from the database.",
                Query(risen(f"provisioning_attempts_total{{{_API}}}", "outcome"), "{{outcome}}"),
            )
        )
        .with_panel(
            lines(
                "From start to end, 95 %",
                "Operations that ended within an hour, without their wait for a worker: 19 of 20 took at most so long.",
                Query(f"histogram_quantile(0.95, {took})", "{{kind}} {{outcome}}"),
                unit="s",
                wide=True,
            )
        )
    )


def _ready(share: float, legend: str) -> Query:
    buckets = risen(f"provisioning_time_to_ready_seconds_bucket{{{_API}}}", "le")
    return Query(f"histogram_quantile({share}, {buckets})", legend)


def _environments(made: Dashboard) -> Dashboard:
    return (
        made.with_row(row("Environments"))
        .with_panel(
            lines(
                "Environments by status",
                "How many there are in each status. destroyed ones stay on record.",
                Query(f"max by (status) (provisioning_environments_current{{{_API}}})", "{{status}}"),
            )
        )
        .with_panel(
            lines(
                "Entered a status within an hour",
                "failed includes operations that their users cancelled. An alert fires beyond 3, if they are a tenth of "
                "what ended.",
                Query(risen(f"provisioning_environments_total{{{_API}}}", "status"), "{{status}}"),
            )
        )
        .with_panel(
            lines(
                "Oldest operation, by the environment's status",
                "How long the oldest unfinished operation has run, or waits. An alert fires beyond an hour.",
                Query(
                    f"max by (status) (time() - provisioning_environment_created_at{{{_API}}})", "{{status}}"
                ),
                unit="s",
                limits=(3600,),
                wide=True,
            )
        )
    )


def _objectives(made: Dashboard) -> Dashboard:
    finished = f"job_outcome:provisioning_operations_finished:increase3d{{{_API}}}"
    succeeded = f'job_outcome:provisioning_operations_finished:increase3d{{{_API}, outcome="succeeded"}}'
    took = f"job_le:provisioning_time_to_ready_seconds_bucket:increase3d{{{_API}, "
    spent = f"job:provisioning_api_requests:error_ratio1h{{{_API}}} / 0.001"
    return (
        made.with_row(row("Objectives, within 3 days"))
        .with_panel(
            number(
                "Requests without error",
                "Share of users' requests that were not answered with 5xx. The objective is 99.9 % in 30 days.",
                f"1 - max(job:provisioning_api_requests:error_ratio3d{{{_API}}})",
                unit="percentunit",
                bad_below=0.999,
            )
        )
        .with_panel(
            number(
                "Provisions that succeed",
                "Without those that failed for what the customer has to mend. The objective is 95 % in 30 days.",
                f"sum({succeeded}) / sum({finished})",
                unit="percentunit",
                bad_below=0.95,
            )
        )
        .with_panel(
            number(
                "Ready within 30 minutes",
                "Share of environments that became ready, counted from the request. The objective is 95 % in 30 days.",
                f'max({took}le="1800.0"}}) / max({took}le="+Inf"}})',
                unit="percentunit",
                bad_below=0.95,
            )
        )
        .with_panel(
            lines(
                "Speed at which the budget of errors is spent",
                "1 spends the budget of 30 days in 30 days. Beyond 14.4 for an hour somebody is called.",
                Query(f"max({spent})", "within 1 hour"),
                Query(
                    f"max(job:provisioning_api_requests:error_ratio6h{{{_API}}} / 0.001)", "within 6 hours"
                ),
                limits=(1, 14.4),
            )
        )
    )
