"""Run the tests, then tell which lines of the change since a commit they executed; `make coverage` calls it.

Usage: `python scripts/change_coverage.py BASE [TEST...]`, in the project's root. The change is what the work
tree, new files included, has over the commit where HEAD left BASE. The exit code is that of the tests.

Child processes are measured too. Many get a bare environment, where no variable could ask for it: while the
tests run, a .pth file in the virtual environment does, which every Python there reads at its start.
"""

import fcntl
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# The variables go again at once: the tests shall find the environment that they find without coverage. When
# this script was killed, its hook stays until the next run, and does nothing.
HOOK = """import os
if os.path.exists("/proc/{pid}"):
    import coverage
    os.environ.update({variables})
    coverage.process_startup()
    for name in {variables}: del os.environ[name]
"""
LIMITS = (
    "Not measured: `python -S` (engine/processes/launcher.py as a program), and processes ended by SIGKILL."
)


def git(*arguments: str, **variables: str) -> str:
    """Return what a git command prints."""
    command, environment = ["git", *arguments], os.environ | variables
    return subprocess.check_output(command, env=environment, stderr=subprocess.DEVNULL, text=True).strip()


def change_since(base: str, index: Path) -> str:
    """Return one diff with the line numbers of the work tree; diff-cover's own would mix them with HEAD's."""
    try:
        commit = git("merge-base", "--", base, "HEAD")
    except subprocess.CalledProcessError:
        sys.exit(f"coverage: BASE={base} names no commit that shares history with HEAD.")
    shutil.copy(git("rev-parse", "--git-path", "index"), index)
    git("add", "--intent-to-add", ".", GIT_INDEX_FILE=str(index))  # new files are in no diff otherwise
    options = ("--unified=0", "--find-renames", "--no-color", "--no-ext-diff")
    prefixes = ("--src-prefix=a/", "--dst-prefix=b/")  # whatever the user's own settings are
    configured = tomllib.loads(Path("pyproject.toml").read_text())["tool"]["coverage"]["run"]
    measured = [f":(glob)**/{package}/**/*.py" for package in configured["source_pkgs"]]
    return git("diff", *options, *prefixes, commit, "--", *measured, GIT_INDEX_FILE=str(index))


@contextmanager
def measuring(**variables: str) -> Iterator[None]:
    """Measure every process that starts in this virtual environment meanwhile."""
    packages = Path(sysconfig.get_path("purelib"))
    lock, hook = os.open(packages, os.O_RDONLY), packages / "change_coverage.pth"
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit("coverage: another run is under way in this virtual environment.")
    try:
        hook.write_text(f"import sys; exec({HOOK.format(pid=os.getpid(), variables=variables)!a})\n")
        yield
    finally:
        hook.unlink()
        os.close(lock)


def changed_lines(directory: Path, *options: str) -> dict[str, dict[str, list[int]]]:
    """Return, for every measured file that changed, which of the lines are covered and which are not."""
    found = directory / "lines.json"
    command = [sys.executable, "-m", "diff_cover.diff_cover_tool", "--quiet", "--format", f"json:{found}"]
    command += ["--diff-file", str(directory / "diff"), *options, str(directory / "coverage.xml")]
    subprocess.run(command, check=True)
    files: dict[str, dict[str, list[int]]] = json.loads(found.read_text())["src_stats"]
    return files


def report(directory: Path, base: str) -> None:
    """Print the lines, and the share of those that are covered."""
    files, strictly = changed_lines(directory), changed_lines(directory, "--branch-coverage")
    total = {"covered_lines": 0, "violation_lines": 0}
    print(f"\nWhat changed since {base}:")
    for name, file in sorted(files.items()):
        branches = [line for line in strictly[name]["violation_lines"] if line in file["covered_lines"]]
        print(f"  {name}")
        print_lines("covered", file["covered_lines"])
        print_lines("covered, but not in every branch", branches)
        print_lines("not covered", file["violation_lines"])
        total = {key: count + len(file[key]) for key, count in total.items()}
    covered, lines = total["covered_lines"], sum(total.values())
    print(
        f"  {covered} of {lines} lines are covered: {covered / lines:.0%}" if lines else "  no measured line"
    )
    print(LIMITS)


def print_lines(kind: str, lines: list[int]) -> None:
    """Print line numbers with neighbours joined, if there are any."""
    runs = itertools.groupby(enumerate(lines), lambda pair: pair[1] - pair[0])
    found = [[line for _, line in run] for _, run in runs]
    if found:
        print(f"    {kind}:", ", ".join(f"{run[0]}-{run[-1]}" if run[1:] else str(run[0]) for run in found))


def main(base: str, tests: list[str]) -> int:
    """Return the exit code of the tests; 0 without running them when nothing changed."""
    with tempfile.TemporaryDirectory(prefix="coverage-") as name:
        directory, data, settings = Path(name), f"{name}/data", str(Path("pyproject.toml").absolute())
        (directory / "diff").write_text(diff := change_since(base, directory / "index"))
        if not diff:
            print(f"No measured file has changed since {base}.")
            return 0
        with measuring(COVERAGE_PROCESS_START=settings, COVERAGE_FILE=data):
            pytest = subprocess.Popen([sys.executable, "-m", "pytest", "-n", "auto", *tests])
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for pytest, which stops what it started
            code = pytest.wait()
        xml = ["xml", "--quiet", f"--data-file={data}", "-o", f"{name}/coverage.xml"]
        if subprocess.call([sys.executable, "-m", "coverage", *xml]) != 0:
            return code or 1
        report(directory, base)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
