"""Counts of several processes: their room is there from the start, and none stays of a killed service."""

import subprocess
import sys
from pathlib import Path

from tests.support.waiting import until

from beta9_provisioning.api import counting

HOLD = """
import sys
from pathlib import Path
from beta9_provisioning.api.counting import shared
with shared(2, [Path(sys.argv[1])]) as directory:
    print(directory, flush=True)
    sys.stdin.read()
"""

FULL = """
import os, sys
from pathlib import Path
from beta9_provisioning.api.counting import shared
try:
    with shared(8, [Path(sys.argv[1])]):
        print("there was room")
except OSError as error:
    print(error.strerror, os.listdir(sys.argv[1]))
"""


def test_all_room_is_allocated(tmp_path: Path) -> None:
    with counting.shared(2, [tmp_path]) as directory:
        files = sorted(directory.iterdir())
        assert [path.name for path in files] == [
            "counter_0.db", "counter_1.db", "gauge_sum_0.db", "gauge_sum_1.db",
            "histogram_0.db", "histogram_1.db",
        ]  # fmt: skip
        assert all(path.stat().st_blocks * 512 >= path.stat().st_size > 0 for path in files)
    assert not directory.exists()


def test_another_place_is_taken_where_the_first_has_no_room(tmp_path: Path) -> None:
    with counting.shared(1, [tmp_path / "absent", tmp_path]) as directory:
        assert directory.parent == tmp_path


def test_a_disk_without_room_is_told_and_not_filled(tmp_path: Path) -> None:
    """A genuine file system of 1 MiB, in a namespace of its own."""
    script = f'mount -t tmpfs -o size=1m none {tmp_path} && exec "$@"'
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"]
    tried = subprocess.run(
        [*command, sys.executable, "-c", FULL, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert tried.stdout == "No space left on device []\n", tried.stderr


def test_what_a_killed_service_left_is_removed_and_that_of_a_living_one_is_not(tmp_path: Path) -> None:
    lives, dies = (
        subprocess.Popen(
            [sys.executable, "-c", HOLD, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    )
    kept, left = (Path(child.stdout.readline().strip()) for child in (lives, dies) if child.stdout)
    dies.kill()
    dies.communicate()
    assert left.exists()
    with counting.shared(1, [tmp_path]):
        assert kept.exists()
        assert not left.exists()
    lives.communicate()
    until(lambda: not kept.exists(), "the living one has tidied up")
    assert not list(tmp_path.iterdir())
