"""What `make check-stacks` takes for success; checkov itself runs only there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from scripts.check_manifests import CheckError
from scripts.check_stacks import Accepted, Finding, accepted, findings, judge, write

SUMMARY = {"passed": 85, "failed": 0, "parsing_errors": 0}
OPEN = Finding("small", "CKV_AWS_38", "aws_eks_cluster.main", "Endpoint is not open")
BUCKET = Finding("small", "CKV_AWS_18", "aws_s3_bucket.main", "Access logging")


def report(*failed: dict[str, Any], **summary: int) -> dict[str, Any]:
    return {"summary": {**SUMMARY, **summary}, "results": {"failed_checks": list(failed)}}


def test_what_nobody_accepted_fails_and_is_named() -> None:
    with pytest.raises(CheckError, match=r"small CKV_AWS_38 aws_eks_cluster\.main: Endpoint is not open"):
        judge([OPEN, BUCKET], [Accepted("CKV_AWS_18", reason="dear")])


@pytest.mark.parametrize(
    "elsewhere",
    [
        Accepted("CKV_AWS_38", example="production", reason="chosen"),
        Accepted("CKV_AWS_38", resource="aws_eks_cluster.other", reason="chosen"),
        Accepted("CKV_AWS_39", reason="chosen"),
    ],
)
def test_what_is_accepted_elsewhere_fails(elsewhere: Accepted) -> None:
    with pytest.raises(CheckError, match="CKV_AWS_38"):
        judge([OPEN], [elsewhere])


def test_what_is_skipped_and_what_is_owed_is_counted() -> None:
    entries = [
        Accepted("CKV_AWS_38", point="A15"),
        Accepted("CKV_AWS_18", "small", "aws_s3_*", reason="dear"),
    ]
    assert judge([OPEN, BUCKET], entries) == {"owed": 1, "skipped": 1}


def test_what_was_owed_and_passes_has_to_go() -> None:
    with pytest.raises(CheckError, match=r"CKV_AWS_37 \(A16\): passes now"):
        judge([OPEN], [Accepted("CKV_AWS_38", point="A15"), Accepted("CKV_AWS_37", point="A16")])


@pytest.mark.parametrize("summary", [{"passed": 0}, {"passed": 20}, {"parsing_errors": 1}])
def test_a_run_that_looked_at_next_to_nothing_is_no_success(summary: dict[str, int]) -> None:
    with pytest.raises(CheckError, match="too little of the stack of small"):
        findings("small", report(**summary), [])


def test_a_finding_is_named_by_its_whole_address(tmp_path: Path) -> None:
    bodies = {"aws_vpc": {"main": {"tags": {"Name": "x"}}}, "aws_subnet": {"a-0": {}, "b": {"x": 1}}}
    addresses = write({"terraform": {"required_version": ">= 1", "x": 1}, "resource": bodies}, tmp_path)
    text = (tmp_path / "cdk.tf.json").read_text()
    assert "required_version" not in text
    first = text.splitlines().index('   "b": {') + 1
    failed = {
        "check_id": "CKV_X",
        "resource": "resource.b",
        "check_name": "x",
        "file_line_range": [first, 99],
    }
    (found,) = findings("small", report(failed), addresses)
    assert found.address == "aws_subnet.b"
    with pytest.raises(CheckError, match=r"another line of resource\.b"):
        findings("small", report({**failed, "file_line_range": [3, 4]}), addresses)


def test_everything_that_is_accepted_says_why() -> None:
    assert len(accepted()) > 5


@pytest.mark.parametrize("entry", ['[[skip]]\ncheck = "C"', '[[owed]]\ncheck = "C"\nreason = "later"'])
def test_what_says_no_reason_is_refused(entry: str, tmp_path: Path) -> None:
    (tmp_path / "checkov.toml").write_text(entry)
    with pytest.raises(CheckError, match="without a reason or a point"):
        accepted(tmp_path / "checkov.toml")
