"""Worker Health: are there enough workers, what do they do, and what do their tools say?"""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard
from scripts.dashboards.panels import (
    Query,
    background_failures,
    board,
    connections,
    lines,
    number,
    risen,
    row,
)

_ALL = 'job="$worker_job", instance=~"$instance"'


def worker() -> Dashboard:
    """The dashboard of workers and of the tools that they run."""
    made = board(
        "beta9-provisioning-worker",
        "Worker Health",
        "Capacity of workers, what they are at, and how their steps and tools end. Counts of workers are added up.",
        instances_of="worker_job",
    )
    return _tools(_work(_now(made)))


def _now(made: Dashboard) -> Dashboard:
    running = f"provisioning_worker_operations_running{{{_ALL}}}"
    slots = f"provisioning_worker_slots{{{_ALL}}}"
    return (
        made.with_row(row("Now"))
        .with_panel(
            number(
                "Live workers",
                "As the database sees them: those that hold their lock of liveness.",
                'max(provisioning_live_workers{job="$job"})',
                bad_below=1,
            )
        )
        .with_panel(
            number(
                "Workers up",
                "Workers that answer their scrape. Fewer than live ones: Prometheus does not reach some.",
                f"sum(up{{{_ALL}}})",
                bad_below=1,
            )
        )
        .with_panel(number("Slots", "Operations that all workers can run at the same time.", f"sum({slots})"))
        .with_panel(
            number(
                "Slots in use",
                "At 100 % operations wait. An autoscaler adds workers before that.",
                f"sum({running}) / sum({slots})",
                unit="percentunit",
                limits=(0.8, 1),
            )
        )
        .with_panel(
            number(
                "Longest wait",
                "How long the oldest operation has been waiting for a worker.",
                'max(provisioning_operations_oldest_waiting_seconds{job="$job"})',
                unit="s",
                limits=(120, 600),
            )
        )
        .with_panel(
            number(
                "Leases lost in an hour",
                "Operations whose worker was killed, or cut off from the database; they failed.",
                risen('provisioning_attempts_total{job="$job", outcome="worker_lost"}', "job"),
                limits=(1,),
            )
        )
    )


def _work(made: Dashboard) -> Dashboard:
    dispatch = f"provisioning_worker_dispatch_seconds_bucket{{{_ALL}}}"
    attempt = f"provisioning_worker_operation_seconds_bucket{{{_ALL}}}"
    return (
        made.with_row(row("Work"))
        .with_panel(
            lines(
                "Operations that run, by worker",
                "What each worker is at, and how many it could run.",
                Query(
                    f"sum by (instance) (provisioning_worker_operations_running{{{_ALL}}})", "{{instance}}"
                ),
                Query(f"sum by (instance) (provisioning_worker_slots{{{_ALL}}})", "{{instance}} slots"),
            )
        )
        .with_panel(
            lines(
                "From request to claim",
                "Normal is below a second. Seconds mean that hints are lost (Redis), minutes that workers are missing.",
                *(
                    Query(f"histogram_quantile({share}, sum by (le) (rate({dispatch}[1h])))", f"{share:.0%}")
                    for share in (0.5, 0.95)
                ),
                unit="s",
            )
        )
        .with_panel(
            lines(
                "Attempts, 95 %",
                "How long a worker is at an operation, by how it ended.",
                Query(
                    f"histogram_quantile(0.95, sum by (kind, outcome, le) (rate({attempt}[1h])))",
                    "{{kind}} {{outcome}}",
                ),
                unit="s",
            )
        )
        .with_panel(
            lines(
                "Leases that workers lost themselves",
                "A worker that could not renew its lease in time has stopped its own tools. Look at the database.",
                Query(
                    f"sum by (instance) (increase(provisioning_worker_leases_lost_total{{{_ALL}}}[1h]))",
                    "{{instance}}",
                ),
            )
        )
        .with_panel(
            connections("In use, and what a worker may open. An alert fires from three quarters on.", _ALL)
        )
        .with_panel(background_failures("operations", _ALL))
    )


def _tools(made: Dashboard) -> Dashboard:
    step = f"provisioning_worker_step_seconds_bucket{{{_ALL}}}"
    return (
        made.with_row(row("Steps and tools"))
        .with_panel(
            lines(
                "Steps, 95 %",
                "How long each step of an operation takes. Most of the time goes into creating infrastructure.",
                Query(
                    f"histogram_quantile(0.95, sum by (phase, step, le) (rate({step}[1h])))",
                    "{{phase}}: {{step}}",
                ),
                unit="s",
            )
        )
        .with_panel(
            lines(
                "Failed steps within an hour",
                "Where operations fail. Empty when none did.",
                Query(
                    "sum by (phase, step) (increase(provisioning_worker_step_seconds_count"
                    f'{{{_ALL}, outcome="failed"}}[1h]))',
                    "{{phase}}: {{step}}",
                ),
            )
        )
        .with_panel(
            lines(
                "Commands of Terraform and Helm within an hour",
                "By exit code: 0 is success, 1 a failure that the operation tells, 143 a command that was told to stop.",
                Query(
                    f"sum by (command, exit_code) (increase(provisioning_worker_commands_total{{{_ALL}}}[1h]))",
                    "{{command}}: {{exit_code}}",
                ),
                wide=True,
            )
        )
    )
