"""What users are told when AWS has not what an environment needs, in AWS's own words."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from beta9_provisioning.clouds.aws.terraform_rules import RULES
from beta9_provisioning.engine.terraform.errors import Diagnostic, TerraformFailed, failure

SAID = tomllib.loads((Path(__file__).parent / "refusals.toml").read_text())


def told(summary: str) -> TerraformFailed:
    return failure("apply", (Diagnostic(summary, address="aws_x.main"),), "", 1, RULES)


@pytest.mark.parametrize("refusal", SAID["refusal"], ids=lambda refusal: refusal["says"][-40:])
def test_a_lack_has_a_code_and_advice_of_its_own(refusal: dict[str, str]) -> None:
    error = told(refusal["says"])
    assert error.code == refusal["code"]
    assert refusal["advice"] in error.remedy
    assert refusal["says"] in error.detail


def test_every_lack_is_tried() -> None:
    codes = {refusal["code"] for refusal in SAID["refusal"]}
    assert codes == {"capacity_missing", "quota_exceeded", "zone_unsupported", "addresses_exhausted"}


@pytest.mark.parametrize("other", SAID["other"], ids=lambda other: other["says"][:40])
def test_what_is_no_lack_is_not_taken_for_one(other: dict[str, str]) -> None:
    assert told(other["says"]).code == other["code"]
