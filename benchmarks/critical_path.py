"""Path: from POST to `ready`, beside the longest chain of creations that wait for each other.

The chain is computed from the stack's graph and the creation times that cloud and cluster are modelled by. It
ends with what Beta9's chart makes, which needs all of the stack: a Job, then the gateway. Nobody who creates
the same things can be faster. The shell script of `overhead` runs beside it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Any

from benchmarks.engine_stack import subject
from benchmarks.figures import Figure, Row
from benchmarks.overhead import bare, ours
from benchmarks.stacks import example, running_stack, scratch
from beta9_provisioning.clouds.synthesis import synthesize
from beta9_provisioning.schemas.configuration import EnvironmentConfig
from beta9_simulator.cloud.catalog import catalog
from beta9_simulator.cloud.checks import create_seconds
from beta9_simulator.cluster.behaviour import READY_SECONDS

SCALE = 0.1
"""Creation times are a tenth of real ones: EKS takes 60 s."""
AIM = 1.05
_BETA9_SECONDS = READY_SECONDS["Job"] + READY_SECONDS["Deployment"]
_ADDRESS = re.compile(r"\b(aws_\w+\.[\w-]+)")


@dataclass(frozen=True)
class Chain:
    """Resources each of which waits for the one before, and the modelled seconds of their creations."""

    addresses: tuple[str, ...] = ()
    seconds: float = 0.0


def longest_chain(document: Mapping[str, Any], seconds: Callable[[str], float]) -> Chain:
    """Return the chain that takes longest; `seconds` tells how long an address takes to create."""
    bodies = {
        f"{kind}.{name}": json.dumps({key: value for key, value in body.items() if key != "//"})
        for kind, named in document["resource"].items()
        for name, body in named.items()
    }
    needs = {address: set(_ADDRESS.findall(text)) & bodies.keys() for address, text in bodies.items()}
    chains: dict[str, Chain] = {}
    for address in TopologicalSorter(needs).static_order():
        before = max(
            (chains[needed] for needed in needs[address]), key=lambda one: one.seconds, default=Chain()
        )
        chains[address] = Chain((*before.addresses, address), before.seconds + seconds(address))
    return max(chains.values(), key=lambda one: one.seconds)


def measure(report: Callable[[str], None], *, quick: bool) -> list[Row]:
    """Return the ratios to the chain and to the script, our steps, and the parts of the chain.

    Raises:
        BenchmarkFailed: a run failed, or left something behind.
    """
    with scratch() as directory:
        config = EnvironmentConfig.model_validate(example())
        document = json.loads((synthesize(subject(config), directory) / "cdk.tf.json").read_text())
    seconds_of = _modelled(document)
    chain = longest_chain(document, seconds_of)
    modelled = (chain.seconds + _BETA9_SECONDS) * SCALE
    times: list[float] = []
    scripts: list[float] = []
    with running_stack(SCALE) as stack:
        for number in range(1 if quick else 2):
            report(f"round {number + 1}")
            rehearsal, seconds, steps = ours(stack)
            times.append(seconds)
            scripts.append(sum(bare(stack, rehearsal).values()))
    taken = Figure.median(times, "s")
    parts = [address for address in chain.addresses if seconds_of(address) * SCALE >= 1]
    return [
        Row(
            f"POST to ready, creation times x {SCALE}",
            taken,
            Figure.median([modelled] * len(times), "s"),
            AIM,
        ),
        Row("  beside the script", taken, Figure.median(scripts, "s")),
        *(
            Row(f"  step {step} of the last round", Figure.median([took], "s"))
            for step, took in steps.items()
        ),
        *(
            Row(f"  of the chain: {address}", Figure.median([seconds_of(address) * SCALE], "s"))
            for address in parts
        ),
        Row("  of the chain: Beta9", Figure.median([_BETA9_SECONDS * SCALE], "s")),
    ]


def _modelled(document: Mapping[str, Any]) -> Callable[[str], float]:
    """Return what tells how many seconds the simulated cloud takes to create what is at an address."""

    def seconds(address: str) -> float:
        type_, name = address.split(".", 1)
        told = create_seconds(type_, document["resource"][type_][name])
        return catalog()[type_].latency[0] if told is None else told

    return seconds
