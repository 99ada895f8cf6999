"""Overhead: from POST to `ready`, beside a shell script that runs the same Terraform and Helm commands.

Both work in one local stack, in turn, each in an account in which nothing else is left. Ours is taken from
just before the request to the event that says `ready`. The script (`bare.sh`) gets its inputs ready-made: it
pays neither for access, synthesis, state bucket and tokens nor for waiting until nodes are ready. It runs
Terraform, makes the Secrets that Beta9's chart needs, and installs one chart after the other.
"""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from benchmarks.bare import Bare, Rehearsal
from benchmarks.figures import Figure, Row
from benchmarks.processes import BenchmarkFailed
from benchmarks.stacks import Running, example, require_success, running_stack, wait_until_over
from beta9_provisioning.kit.ids import new_id
from beta9_provisioning.schemas.configuration import EnvironmentConfig
from beta9_provisioning.schemas.environment import Event

SCALE = 0.01
"""Creation times of the second half are a hundredth of real ones: EKS takes 6 s, RDS 7 s."""

Parts = dict[str, float]
# Our steps and the script's commands that do the same work.
_SAME = {"init": ("init",), "apply": ("apply",), "base": ("traefik", "cert-manager", "metrics-server")}
_SAME |= {"beta9": ("secrets", "beta9")}


@dataclass(frozen=True)
class _Round:
    """Seconds of one run of each side, in all and by part."""

    ours: float
    steps: Parts
    bare: float
    commands: Parts


def measure(report: Callable[[str], None], *, quick: bool) -> list[Row]:
    """Return the ratios at zero latency and with modelled creation times, and where the time goes.

    Raises:
        BenchmarkFailed: a run failed, or left something behind.
    """
    zero = _rounds(0.0, 1 if quick else 5, report)
    scaled = _rounds(SCALE, 1 if quick else 3, report)
    return [
        *_rows("zero latency", zero, aim=1.10),
        *_rows(f"creation times x {SCALE}", scaled, aim=0.85),
    ]


def _rounds(time_scale: float, count: int, report: Callable[[str], None]) -> list[_Round]:
    rounds = []
    with running_stack(time_scale) as stack:
        report(f"time scale {time_scale:g}, rehearsal")
        rehearsal, _, _ = ours(stack)
        for number in range(count):
            report(f"time scale {time_scale:g}, round {number + 1} of {count}")
            _, seconds, steps = ours(stack)
            commands = bare(stack, rehearsal)
            rounds.append(_Round(seconds, steps, sum(commands.values()), commands))
    return rounds


def ours(stack: Running) -> tuple[Rehearsal, float, Parts]:
    """Create and delete an environment; return what it tells, the seconds to `ready`, those of its steps."""
    began = time.time()
    created = stack.client.create(example())
    ready = wait_until_over(stack.client, created.environment_id)
    require_success(ready)
    events = list(stack.client.events(ready.environment_id))
    seconds = _ready_at(events).timestamp() - began
    stack.client.delete(ready.environment_id)
    require_success(wait_until_over(stack.client, ready.environment_id))
    _require_empty(stack)
    return Rehearsal(ready.environment_id, ready.outputs), seconds, _steps(events)


def bare(stack: Running, rehearsal: Rehearsal) -> Parts:
    """Let the script create an environment, delete it, and return the seconds of its commands."""
    id_ = new_id("env")
    config = EnvironmentConfig.model_validate(example())
    script = Bare(id_, config, stack.simulator, rehearsal, stack.directory / id_)
    script.prepare()
    commands = script.run()
    script.clean_up()
    _require_empty(stack)
    return commands


def _ready_at(events: list[Event]) -> datetime:
    for event in events:
        if event.type == "environment.status" and event.data["to"] == "ready":
            return event.at
    raise BenchmarkFailed("the environment never became ready")


def _steps(events: list[Event]) -> Parts:
    return {event.data["step"]: event.data["seconds"] for event in events if event.type == "step.finished"}


def _require_empty(stack: Running) -> None:
    with urllib.request.urlopen(f"{stack.simulator.control_url}/leftovers", timeout=30) as response:
        left = [name for kind in json.load(response).values() for name in kind]
    if left:
        raise BenchmarkFailed(f"{len(left)} resources are left: {', '.join(left[:10])}")


def _rows(title: str, rounds: list[_Round], aim: float) -> list[Row]:
    ours, bare = ([getattr(one, side) for one in rounds] for side in ("ours", "bare"))
    rows = [Row(title, Figure.median(ours, "s"), Figure.median(bare, "s"), aim)]
    for step in rounds[0].steps:
        seconds = Figure.median([one.steps[step] for one in rounds], "s")
        same = [sum(one.commands[name] for name in _SAME[step]) for one in rounds] if step in _SAME else None
        rows.append(Row(f"  step {step}", seconds, Figure.median(same, "s") if same else None))
    return rows
