"""docs/disaster-recovery.md: the commands for a machine of one's own are run as they stand."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyrage
import pytest
from tests.operations.records.backups.conftest import Operator, contents
from tests.support.page import DISASTER_RECOVERY, script
from tests.support.servers import Addresses, create_database, drop_database
from tests.support.waiting import GUARD_SECONDS


@pytest.fixture
def other_url(servers: Addresses, worker_id: str) -> Iterator[str]:
    """One more database without anything."""
    name = f"{servers.template}_{worker_id}_other"
    yield create_database(servers.postgres, name)
    drop_database(servers.postgres, name)


def test_the_local_commands_work_as_typed(
    operator: Operator, empty_database_url: str, other_url: str, identity: pyrage.x25519.Identity
) -> None:
    (operator.home / "key.txt").write_text(f"# public key: {identity.to_public()}\n{identity}\n")
    program = operator.home / "bin" / "beta9-provisioning"
    program.parent.mkdir()
    program.symlink_to(Path(sys.executable).parent / program.name)
    environment = operator.environment(
        PATH=f"{program.parent}:{os.environ['PATH']}",
        NEW_DATABASE_URL=empty_database_url,
        OTHER_DATABASE_URL=other_url,
    )
    subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script(DISASTER_RECOVERY, "local")],
        cwd=operator.home,
        env=environment,
        timeout=GUARD_SECONDS,
        check=True,
    )
    assert operator.files() == ["bin", "encrypted.backup", "hourly.backup", "key.txt"]
    assert (operator.home / "encrypted.backup").read_bytes().startswith(b"age-encryption.org/v1")
    assert contents(empty_database_url) == contents(other_url) == contents(operator.url)
