"""Recovery to a point in time, on a genuine PostgreSQL that archives its WAL."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.lives import create
from tests.support.postgres import execute, give_to_server, own_servers
from tests.support.waiting import until

from beta9_provisioning.kit.database import Sessions, connect, sessions
from beta9_provisioning.operations.records import schema
from beta9_provisioning.settings import Settings


@pytest.fixture
def archive() -> Iterator[Path]:
    """A directory in which servers that run as another user can write."""
    path = Path(tempfile.mkdtemp(prefix="beta9-archive-"))
    give_to_server(path)
    yield path
    shutil.rmtree(path)


def factory_of(url: str) -> Sessions:
    return sessions(connect(url))


def test_a_mistake_is_undone_up_to_the_moment_before_it(archive: Path) -> None:
    # To a temporary name first: what has its name in the archive is whole.
    keep = f"test ! -f {archive}/%f && cp %p {archive}/%f.part && mv {archive}/%f.part {archive}/%f"
    with own_servers(archive_mode="on", archive_command=keep, archive_timeout="60s") as servers:
        url = servers.primary.url
        factory, settings = factory_of(url), Settings(database_url=url)
        create(factory, settings, name="in-the-base-backup")
        home = servers.copy_primary("-X", "none")
        create(factory, settings, name="before-the-mistake")
        moment = str(execute(url, "SELECT clock_timestamp()"))
        create(factory, settings, name="after-the-moment")
        factory.kw["bind"].dispose()

        execute(url, "DROP TABLE events, attempts, idempotency_keys, operations, environments")
        last = execute(url, "SELECT pg_walfile_name(pg_switch_wal())")
        until(lambda: (archive / str(last)).exists(), "the last WAL is in the archive")
        servers.lose_primary()

        recovered = servers.recover(
            home,
            restore_command=f"cp {archive}/%f %p",
            recovery_target_time=moment,
            recovery_target_action="promote",
        ).url
        until(lambda: execute(recovered, "SELECT pg_is_in_recovery()") is False, "it takes writes")
        names = "SELECT string_agg(name, ' ' ORDER BY created_at) FROM environments"
        assert execute(recovered, names) == "in-the-base-backup before-the-mistake"
        # The service works on it: its schema fits, sessions are kept, it writes.
        factory = factory_of(recovered)
        assert schema.inspect(factory.kw["bind"]) is None
        create(factory, Settings(database_url=recovered), name="afterwards")
        factory.kw["bind"].dispose()
        assert execute(recovered, names) == "in-the-base-backup before-the-mistake afterwards"
