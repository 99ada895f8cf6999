"""Synthesis: the engine's path beside the prebuilt bindings `cdktn-provider-aws`, for the same resources.

A *cold* synthesis is a process of its own: Python, imports, Node.js and all. The worker pays for one too, but
starts it before it is needed. A *warm* one is repeated in a process that has done it before. Peak memory is
of the whole process tree of a cold synthesis, in a run apart from the timed ones.

Of the bindings, only the modules that the stack needs are imported. They run twice: with jsii's default
settings, by which every process unpacks them anew, and with a filled package cache, which is their best case.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.engine_stack import subject
from benchmarks.figures import Figure, Row
from benchmarks.processes import SAMPLE_SECONDS, BenchmarkFailed, Finished, PeakMemory, run
from benchmarks.stacks import ROOT, example, scratch
from beta9_provisioning.clouds.aws.provider import SCHEMA_FILE
from beta9_provisioning.clouds.synthesis import new_synthesizer
from beta9_provisioning.engine.synthesis.providers import Block, load_schema
from beta9_provisioning.schemas.configuration import EnvironmentConfig

_BINDINGS = ROOT / ".tools" / "bench"
_REQUIREMENTS = ROOT / "requirements-bench.txt"
_AIM = 0.1
_WARM = 5


def measure(report: Callable[[str], None], *, quick: bool) -> list[Row]:
    """Return cold and warm seconds and peak memory; without a baseline when the bindings are not to be had.

    Raises:
        BenchmarkFailed: one side failed, or they did not make the same resources.
    """
    rounds = 2 if quick else 5
    with scratch() as directory:
        bench = _Synthesis(directory)
        prebuilt = _install(report)
        if prebuilt:
            bench.check_same_resources()
        cold: list[tuple[float, ...]] = []
        warm: list[tuple[float, ...]] = []
        sides = [bench.engine, *([bench.prebuilt, bench.prebuilt_cached] if prebuilt else [])]
        for number in range(rounds):
            report(f"cold, round {number + 1}")
            cold.append(tuple(side(1).seconds for side in sides))
        for number in range(1 if quick else 2):
            report(f"warm, round {number + 1}")
            outputs = [json.loads(side(1 + _WARM).output)["seconds"][1:] for side in sides]
            warm.extend(zip(*outputs, strict=True))
        report("memory")
        peaks = [tuple(_peak(side) for side in sides)]
    return [
        *_rows("cold", cold, "s", _AIM),
        *_rows("peak memory of a cold one", peaks, "MiB", _AIM),
        *_rows("warm", warm, "s", None),
    ]


class _Synthesis:
    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._config = directory / "config.json"
        self._config.write_text(json.dumps(example()))
        config = EnvironmentConfig.model_validate(example())
        with new_synthesizer() as synthesizer:
            written = synthesizer.synthesize(subject(config), directory / "worker", threading.Event())
        self._document = json.loads((written / "cdk.tf.json").read_text())
        self._input = directory / "document.json"
        self._input.write_text(json.dumps(for_bindings(self._document)))

    def engine(self, times: int) -> Finished:
        """Run the engine; raises `BenchmarkFailed`, as do the next two."""
        return self._run("engine_stack", self._config, times, {})

    def prebuilt(self, times: int) -> Finished:
        """Run the prebuilt bindings with jsii's default settings."""
        return self._run("prebuilt_stack", self._input, times, {})

    def prebuilt_cached(self, times: int) -> Finished:
        """Run the prebuilt bindings with jsii's package cache."""
        cache = {
            "JSII_RUNTIME_PACKAGE_CACHE": "enabled",
            "JSII_RUNTIME_PACKAGE_CACHE_ROOT": str(_BINDINGS / "cache"),
        }
        return self._run("prebuilt_stack", self._input, times, cache)

    def check_same_resources(self) -> None:
        """Fill the package cache, and compare what both sides write.

        Raises `BenchmarkFailed` when the resources differ.
        """
        theirs = json.loads(Path(json.loads(self.prebuilt_cached(1).output)["cdk_tf_json"]).read_text())
        for type_, bodies in self._document["resource"].items():
            if set(bodies) != set(theirs["resource"].get(type_, {})):
                raise BenchmarkFailed(f"the prebuilt bindings made other resources of type {type_}")

    def _run(self, module: str, given: Path, times: int, settings: Mapping[str, str]) -> Finished:
        command = [sys.executable, "-m", f"benchmarks.{module}"]
        command += [str(given), str(self._directory / module), str(times)]
        path = os.pathsep.join([str(ROOT), str(_BINDINGS / "site")])
        return run(command, cwd=self._directory, env={**os.environ, "PYTHONPATH": path, **settings})


def _peak(side: Callable[[int], Finished]) -> float:
    with PeakMemory(SAMPLE_SECONDS) as memory:
        side(1)
    return memory.mib


def _rows(measure: str, rounds: list[tuple[float, ...]], unit: str, aim: float | None) -> list[Row]:
    ours, *baselines = (Figure.median(samples, unit) for samples in zip(*rounds, strict=True))
    if not baselines:
        return [Row(measure, ours)]
    default, cached = baselines
    return [Row(measure, ours, default, aim), Row("  beside a filled package cache", ours, cached)]


def _install(report: Callable[[str], None]) -> bool:
    """Install the prebuilt bindings beside everything else; return whether they are there."""
    site = _BINDINGS / "site"
    marker = _BINDINGS / "installed.txt"
    wanted = _REQUIREMENTS.read_text()
    if marker.is_file() and marker.read_text() == wanted:
        return True
    uv = str(Path(sys.executable).with_name("uv"))
    command = [uv, "pip", "install", "--quiet", "--require-hashes", "--no-deps", "--target", str(site)]
    try:
        run([*command, "-r", str(_REQUIREMENTS)], cwd=ROOT)
    except (BenchmarkFailed, OSError) as error:
        report(f"the prebuilt bindings could not be installed, so there is no baseline: {error}")
        return False
    marker.write_text(wanted)
    return True


def for_bindings(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the document's parts as the constructors of the prebuilt classes want them."""
    schema = load_schema(SCHEMA_FILE)
    (provider,) = document["provider"]["aws"]
    return {
        "provider": _arguments(provider, schema.provider),
        "backend": {
            name: value
            for name, value in document["terraform"]["backend"]["s3"].items()
            if name != "use_lockfile"
        },
        "output": document["output"],
        "resource": {
            type_: {name: _arguments(body, schema.resources[type_]["block"]) for name, body in bodies.items()}
            for type_, bodies in document["resource"].items()
        },
    }


def _arguments(body: Mapping[str, Any], block: Block) -> dict[str, Any]:
    """Return a block's attributes; a nested block that occurs once is no list there."""
    arguments = {}
    for name, value in body.items():
        if name == "//":
            continue
        nested = block["block_types"].get(name)
        if nested is None:
            arguments[name] = value
        elif isinstance(value, list):
            made = [_arguments(one, nested["block"]) for one in value]
            arguments[name] = made[0] if nested.get("max_items") == 1 else made
        else:
            arguments[name] = _arguments(value, nested["block"])
    return arguments
