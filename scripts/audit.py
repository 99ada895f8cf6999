"""Look for known vulnerabilities in what the images hold, and fail unless every package was looked at.

    python scripts/audit.py PIP_AUDIT REQUIREMENTS…

pip-audit skips a package of which its source of advisories says nothing, such as when that source is not the
public one, reports none found and ends with 0. Here that is a failure: nothing was audited.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_SHOWN = 5


def faults(report: Any, wanted: int) -> Iterator[str]:
    """Yield what is wrong, one sentence each. `wanted` is how many packages there are to audit."""
    found = report.get("dependencies", [])
    skipped = [one for one in found if "skip_reason" in one]
    if skipped:
        names = ", ".join(one["name"] for one in skipped[:_SHOWN]) + (", …" if len(skipped) > _SHOWN else "")
        reason = skipped[0]["skip_reason"]
        yield f"{len(skipped)} of {len(found)} packages were not audited ({names}): {reason}"
    if len(found) < wanted:
        yield f"Of {wanted} packages that are pinned only {len(found)} were looked at."
    for one in found:
        for known in one.get("vulns", []):
            fixed = ", ".join(known.get("fix_versions", [])) or "no version yet"
            yield f"{one['name']} {one['version']} has {known['id']}; it is fixed in {fixed}."


def audit(program: str, file: Path) -> list[str]:
    """Audit one hashed requirement file; return what is wrong."""
    command = [program, "--require-hashes", "--disable-pip", "--no-deps", "--progress-spinner", "off"]
    done = subprocess.run(
        [*command, "--format", "json", "--requirement", str(file)],
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        report = json.loads(done.stdout)
    except ValueError:
        return [f"pip-audit gave no report of {file}: {done.stderr.strip()[-500:]}"]
    return [f"{file}: {fault}" for fault in faults(report, _pinned(file))]


def _pinned(file: Path) -> int:
    """Return how many packages a file pins for every machine; those of other systems are not looked at."""
    lines = file.read_text().splitlines()
    return sum("==" in line and ";" not in line for line in lines if line[:1].isalnum())


def main(program: str, *files: str) -> int:
    """Audit the files; return the exit code."""
    found = [fault for file in files for fault in audit(program, Path(file))]
    print("\n".join(found) or f"Audited {', '.join(files)}: no known vulnerabilities.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
