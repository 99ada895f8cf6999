"""Judging what pip-audit reports: none found is good news only if something was looked at."""

import json
from pathlib import Path
from typing import Any

import pytest
from scripts.audit import audit, faults

CLEAN = {"name": "rich", "version": "15.0.0", "vulns": []}
SKIPPED = {
    "name": "typer",
    "skip_reason": "Dependency not found on PyPI and could not be audited: typer (0.29.2)",
}
KNOWN = {
    "name": "idna",
    "version": "3.6",
    "vulns": [{"id": "PYSEC-2024-60", "fix_versions": ["3.7"], "aliases": [], "description": "slow"}],
}


def _report(*dependencies: Any) -> Any:
    return {"dependencies": list(dependencies), "fixes": []}


def test_nothing_found_in_all_packages_is_no_fault() -> None:
    assert not list(faults(_report(CLEAN, CLEAN), 2))


def test_packages_that_were_not_looked_at_are_a_fault() -> None:
    (fault,) = faults(_report(CLEAN, SKIPPED), 2)
    assert "1 of 2 packages were not audited (typer)" in fault
    assert "could not be audited" in fault


def test_a_report_of_too_few_packages_is_a_fault() -> None:
    (fault,) = faults(_report(CLEAN), 2)
    assert fault == "Of 2 packages that are pinned only 1 were looked at."
    assert list(faults({}, 1))


def test_a_known_vulnerability_is_a_fault_with_its_remedy() -> None:
    (fault,) = faults(_report(KNOWN), 1)
    assert fault == "idna 3.6 has PYSEC-2024-60; it is fixed in 3.7."


@pytest.mark.parametrize(("printed", "code"), [("", 0), ("not JSON", 0), ("{}", 1)])
def test_no_report_is_a_fault(tmp_path: Path, printed: str, code: int) -> None:
    requirements = tmp_path / "requirements.txt"
    requirements.write_text(
        "rich==15.0.0 \\\n    --hash=sha256:0\ncolorama==0.4.6 ; sys_platform == 'win32'\n"
    )
    assert audit(_program(tmp_path, printed, code), requirements)


def test_a_whole_report_is_read(tmp_path: Path) -> None:
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("rich==15.0.0 \\\n    --hash=sha256:0\n")
    assert not audit(_program(tmp_path, json.dumps(_report(CLEAN)), 0), requirements)


def _program(folder: Path, printed: str, code: int) -> str:
    """Return a program that stands for pip-audit, whose advisories cannot be had everywhere."""
    program = folder / "pip-audit"
    program.write_text(f"#!/bin/sh\ncat <<'END'\n{printed}\nEND\nexit {code}\n")
    program.chmod(0o755)
    return str(program)
