"""What `make check-manifests` takes for success; checkov itself runs only there."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from scripts.check_manifests import CheckError, collect, judge
from tests.support.manifests import MANIFESTS

from scripts import check_manifests

SUMMARY = {"passed": 9, "failed": 0, "parsing_errors": 0, "resource_count": 5}


def test_all_passed_on_all_that_is_applied() -> None:
    assert judge({"summary": SUMMARY, "results": {"failed_checks": []}}, 5).startswith(
        "checkov: 9 checks of 5"
    )


def test_a_failed_check_is_named() -> None:
    failed = {"check_id": "CKV_K8S_20", "resource": "Deployment.a", "check_name": "No escalation"}
    with pytest.raises(CheckError, match=r"CKV_K8S_20 Deployment\.a: No escalation"):
        judge({"summary": SUMMARY, "results": {"failed_checks": [failed]}}, 5)


@pytest.mark.parametrize(
    "summary",
    [
        {**SUMMARY, "resource_count": 4},
        {**SUMMARY, "passed": 0},
        {"passed": 0, "failed": 0, "skipped": 0, "parsing_errors": 0, "resource_count": 0},
    ],
)
def test_a_run_that_did_not_look_is_no_success(summary: dict[str, int]) -> None:
    with pytest.raises(CheckError, match="looked at other things"):
        judge({"summary": summary, "results": {}}, 5)


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copied = tmp_path / "manifests"
    shutil.copytree(MANIFESTS, copied)
    monkeypatch.setattr(check_manifests, "MANIFESTS", copied)
    (tmp_path / "into").mkdir()
    assert collect(tmp_path / "into") > 30
    (copied / "network-policies.yaml").write_text("{{broken")
    with pytest.raises(CheckError, match="cannot be read"):
        collect(tmp_path / "into")
    (copied / "network-policies.yaml").unlink()
    with pytest.raises(CheckError, match=r"network-policies\.yaml"):
        collect(tmp_path / "into")
