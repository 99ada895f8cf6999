"""Path: from POST to `ready`, beside the longest chain of creations that wait for each other.

The chain is computed from the stack's graph and the creation times that the simulated cloud is modelled by:
nobody who creates the same resources can be faster, even if charts cost nothing. The shell script of
`overhead` runs beside it.
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

SCALE = 0.1
"""Creation times are a tenth of real ones: EKS takes 60 s."""
AIM = 1.05
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
    """Return the ratios to the chain and to the script, and the chain's parts.

    Raises:
        BenchmarkFailed: a run failed, or left something behind.
    """
    with scratch() as directory:
        config = EnvironmentConfig.model_validate(example())
        document = json.loads((synthesize(subject(config), directory) / "cdk.tf.json").read_text())
    chain = longest_chain(document, _seconds)
    times: list[float] = []
    scripts: list[float] = []
    with running_stack(SCALE) as stack:
        for number in range(1 if quick else 2):
            report(f"round {number + 1}")
            rehearsal, seconds, _ = ours(stack)
            times.append(seconds)
            scripts.append(sum(bare(stack, rehearsal).values()))
    taken = Figure.median(times, "s")
    parts = [address for address in chain.addresses if _seconds(address) * SCALE >= 1]
    return [
        Row(
            f"POST to ready, creation times x {SCALE}",
            taken,
            Figure.median([chain.seconds * SCALE] * len(times), "s"),
            AIM,
        ),
        Row("  beside the script", taken, Figure.median(scripts, "s")),
        *(Row(f"  {address}", Figure.median([_seconds(address) * SCALE], "s")) for address in parts),
    ]


def _seconds(address: str) -> float:
    return catalog()[address.partition(".")[0]].latency[0]
