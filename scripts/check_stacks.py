"""Looks for risky settings in the stacks of the examples with checkov: `make check-stacks`.

Every file in `examples/` is synthesized and looked at by itself. What is found has to be in
`examples/checkov.toml`, and a run that looked at next to nothing fails as well.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from scripts.check_manifests import CheckError, install
from scripts.examples import EXAMPLES, ROOT, Document, stack

ACCEPTED = ROOT / "examples" / "checkov.toml"
# Dozens: checkov says "0 failed" as well of what it could not read.
_LEAST_PASSED = 60
# In a document of one space a level: the type of a resource, and its name.
_TYPE = re.compile(r'  "(\w+)": \{')
_NAME = re.compile(r'   "([\w-]+)": \{')


@dataclass(frozen=True)
class Finding:
    """A check that failed at an address in an example's stack."""

    example: str
    check: str
    address: str
    title: str


@dataclass(frozen=True)
class Accepted:
    """Findings that are no failure; `point` names what is to mend them, and is empty if nothing is."""

    check: str
    example: str = "*"
    resource: str = "*"
    reason: str = ""
    point: str = ""

    def covers(self, finding: Finding) -> bool:
        """Return whether this accepts the finding."""
        return self.check == finding.check and all(
            fnmatchcase(value, pattern)
            for value, pattern in ((finding.example, self.example), (finding.address, self.resource))
        )


def accepted(path: Path = ACCEPTED) -> list[Accepted]:
    """Return what is accepted.

    Raises:
        CheckError: an entry says no reason, or names no point.
    """
    document = tomllib.loads(path.read_text())
    skips = [Accepted(**entry) for entry in document.get("skip", [])]
    owed = [Accepted(**entry) for entry in document.get("owed", [])]
    for entry in [one for one in skips if not one.reason] + [one for one in owed if not one.point]:
        raise CheckError(f"{path.name}: {entry.check} is accepted without a reason or a point")
    return skips + owed


def write(document: Document, place: Path) -> list[str]:
    """Write a copy that checkov can read into `place`; return the address on each of its lines."""
    # Its JSON parser stops at `required_version`, and then tells of 0 failed and 0 passed checks.
    terraform = {key: value for key, value in document["terraform"].items() if key != "required_version"}
    text = json.dumps({**document, "terraform": terraform}, indent=1)
    (place / "cdk.tf.json").write_text(text)
    kind = name = ""
    addresses = []
    for line in text.splitlines():
        if found := _TYPE.fullmatch(line):
            kind = found[1]
        elif found := _NAME.fullmatch(line):
            name = found[1]
        addresses.append(f"{kind}.{name}")
    return addresses


def findings(example: str, report: Mapping[str, Any], addresses: Sequence[str]) -> list[Finding]:
    """Return what failed, of a report on the file that has these addresses on its lines.

    Raises:
        CheckError: it looked at next to nothing, or counts lines in another way.
    """
    summary = report.get("summary", report)
    if summary.get("passed", 0) < _LEAST_PASSED or summary.get("parsing_errors"):
        raise CheckError(f"checkov looked at too little of the stack of {example}: {json.dumps(summary)}")
    return [
        Finding(example, found["check_id"], _address(found, addresses), found["check_name"])
        for found in report["results"]["failed_checks"]
    ]


def _address(found: Mapping[str, Any], addresses: Sequence[str]) -> str:
    """Return where a check failed: most name a resource without its type, but by its lines, too."""
    address: str = addresses[found["file_line_range"][0]]
    resource = str(found["resource"])
    if not address.endswith(resource[resource.rindex(".") :]):
        raise CheckError(f"checkov means another line of {resource} than this check does: {address}")
    return address


def judge(found: Sequence[Finding], entries: Sequence[Accepted]) -> Counter[str]:
    """Return how many findings are skipped and how many are owed.

    Raises:
        CheckError: there are others, or what was owed has been mended.
    """
    lines = [
        f"{one.example} {one.check} {one.address}: {one.title}"
        for one in found
        if not any(entry.covers(one) for entry in entries)
    ]
    if lines:
        remedy = f"Mend it, or accept it with a reason in {ACCEPTED.relative_to(ROOT)}."
        raise CheckError("\n".join(["checkov found:", *lines, remedy]))
    mended = [entry for entry in entries if entry.point and not any(map(entry.covers, found))]
    if mended:
        names = ", ".join(f"{entry.check} ({entry.point})" for entry in mended)
        raise CheckError(f"{names}: passes now. Take it out of {ACCEPTED.relative_to(ROOT)}.")
    return Counter(
        "owed" if any(entry.covers(one) and entry.point for entry in entries) else "skipped" for one in found
    )


def _look(checkov: Path, place: Path) -> dict[str, Any]:
    options = ["--framework", "terraform_json", "--output", "json", "--compact", "--skip-download"]
    command = [str(checkov), "--directory", str(place), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        report: dict[str, Any] = json.loads(done.stdout)
    except ValueError as error:
        raise CheckError(f"checkov gave no report: {done.stdout}{done.stderr}") from error
    return report


def main() -> int:
    """Check; returns the exit code."""
    try:
        checkov = install()
        entries, found, passed = accepted(), [], 0
        for example in EXAMPLES:
            with tempfile.TemporaryDirectory() as scratch:
                place = Path(scratch) / "copy"
                place.mkdir()
                addresses = write(stack(example, Path(scratch) / "out"), place)
                report = _look(checkov, place)
            found += findings(example, report, addresses)
            passed += report["summary"]["passed"]
        counts = judge(found, entries)
    except CheckError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(
        f"checkov: {passed} checks of {len(EXAMPLES)} stacks passed, 0 failed, {counts['skipped']} skipped, "
        f"{counts['owed']} owed"
    )
    idle = [entry.check for entry in entries if not any(map(entry.covers, found))]
    if idle:
        print(f"Nothing needs these skips: {', '.join(idle)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
