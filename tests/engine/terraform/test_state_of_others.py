"""A state that this Terraform cannot use, on the genuine Terraform with a local backend."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from beta9_provisioning.clouds.aws.terraform_rules import RULES
from beta9_provisioning.engine.terraform.errors import Diagnostic, TerraformFailed, failure
from beta9_provisioning.engine.terraform.terraform import Terraform

STATE = "terraform.tfstate"


@pytest.fixture
def terraform(tmp_path: Path) -> Terraform:
    """A Terraform that has built one resource."""
    document = {
        "terraform": {"backend": {"local": {"path": STATE}}},
        "resource": {"terraform_data": {"one": {"input": "x"}}},
    }
    (tmp_path / "cdk.tf.json").write_text(json.dumps(document))
    (tmp_path / "terraformrc").touch()
    subject = Terraform(
        binary="terraform",
        directory=tmp_path,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "TF_CLI_CONFIG_FILE": str(tmp_path / "terraformrc"),
        },
        stop=threading.Event(),
        on_event=lambda _: None,
        rules=RULES,
        lock_timeout=0.2,
    )
    subject.init()
    subject.apply(60)
    return subject


def change(directory: Path, **fields: Any) -> None:
    path = directory / STATE
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def _of_a_newer_format(directory: Path) -> None:
    change(directory, version=5, terraform_version="9.0.0")


def _of_a_newer_provider(directory: Path) -> None:
    state = json.loads((directory / STATE).read_text())
    state["resources"][0]["instances"][0]["schema_version"] = 9
    change(directory, resources=state["resources"])


def _cut_off(directory: Path) -> None:
    path = directory / STATE
    path.write_bytes(path.read_bytes()[:100])


def _garbage(directory: Path) -> None:
    (directory / STATE).write_text("<html>")


def _empty_document(directory: Path) -> None:
    (directory / STATE).write_text("{}")


@pytest.mark.parametrize(
    ("spoil", "code", "words"),
    [
        (_of_a_newer_format, "state_newer", "written by a newer Terraform"),
        (_of_a_newer_provider, "state_newer", "written by a newer Terraform or a newer provider"),
        (_cut_off, "state_damaged", "the state is damaged"),
        (_garbage, "state_damaged", "the state is damaged"),
        (_empty_document, "state_damaged", "the state is damaged"),
    ],
)
def test_it_is_named_whatever_the_command(
    terraform: Terraform, tmp_path: Path, spoil: Callable[[Path], None], code: str, words: str
) -> None:
    spoil(tmp_path)
    commands: list[Callable[[], object]] = [lambda: terraform.apply(60), lambda: terraform.destroy(60)]
    if spoil is not _of_a_newer_provider:  # these two need no provider
        commands += [terraform.resources, terraform.outputs]
    for command in commands:
        with pytest.raises(TerraformFailed) as caught:
            command()
        assert caught.value.code == code
        assert words in caught.value.message
        assert caught.value.remedy


@pytest.mark.parametrize(
    "detail",
    [
        # Terraform before 1.0, and OpenTofu
        "state snapshot was created by Terraform v1.99.0, which is newer than current v1.11.4; upgrade to "
        "Terraform v1.99.0 or greater to work with this state",
    ],
)
def test_words_of_other_versions(detail: str) -> None:
    error = failure("apply", (Diagnostic("Error refreshing state", detail),), "", 1, RULES)
    assert error.code == "state_newer"
