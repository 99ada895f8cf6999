"""Fixtures for all tests: genuine PostgreSQL and Valkey, an own database for every xdist worker.

Servers start on first use; under xdist the controller starts them before its workers. Tests see neither
the developer's variables nor a `.env`.
"""

import gc
import os
from collections.abc import Iterator
from contextlib import chdir
from dataclasses import asdict
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest
import redis
import structlog
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session
from tests.support import sealing
from tests.support.proxy import Proxy, proxy_to
from tests.support.sealing import hear_signals, seal
from tests.support.servers import Addresses, Servers, create_database, drop_database, with_path
from tests.support.threads import all_end, note_starters

from beta9_provisioning.kit.database import Sessions, connect, sessions
from beta9_provisioning.kit.queue import NAMESPACE, Queue
from beta9_provisioning.operations.records.model import Base
from beta9_provisioning.settings import Settings

# Through the standard library's logging, which pytest captures and shows with a test that failed.
structlog.configure(
    processors=[
        structlog.stdlib.add_log_level,
        structlog.processors.format_exc_info,
        structlog.processors.KeyValueRenderer(key_order=["event"]),
    ],
    logger_factory=structlog.stdlib.LoggerFactory(),
)

# As the migration adds it.
_FIRST_ORGANIZATION = (
    "INSERT INTO organizations (id, name, created_at) VALUES ('default', 'default', '2026-01-01')"
)

_REDIS_DATABASES = 15
_HERE = Path(__file__).parent
# `make test` runs everywhere, and in a time in which one can wait for it.
_INSTALLING = [_HERE / "containers", _HERE / "examples", _HERE / "monitoring"]
_LONG = [
    _HERE / "acceptance/test_crash_matrix.py",
    _HERE / "acceptance/test_disaster.py",
    _HERE / "acceptance/test_following.py",
    _HERE / "acceptance/test_operations_page.py",
    _HERE / "acceptance/test_secrets.py",
    _HERE / "clouds/aws/test_adoption.py",
    _HERE / "operations/test_adoption.py",
    _HERE / "operations/test_destroy.py",
    _HERE / "operations/test_existing_cluster.py",
    _HERE / "simulation",
    _HERE / "simulator/cloud/provider/test_terraform.py",
    _HERE / "upgrades",
]

_shared = pytest.StashKey[tuple[Servers, Addresses]]()


class _Controller:
    """The hook of xdist's controller; registered only when xdist is there."""

    @pytest.hookimpl
    def pytest_configure_node(self, node: Any) -> None:
        """Start the servers before the first worker; tell every worker where they are, and what was taken."""
        node.workerinput["servers"] = asdict(_start_once(node.config))
        node.workerinput["taken"] = sealing.taken


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let `make fuzz` say how many requests of each operation are made, and `make test-long` what it runs."""
    parser.addoption("--cases", type=int, default=20, help="cases of each fuzzed operation")
    parser.addoption("--long", action="store_true", help="run what takes long, and nothing else")


@pytest.hookimpl(optionalhook=True)  # xdist's
def pytest_xdist_auto_num_workers() -> int | None:
    """Let `-n auto` be half as many again as there are processors: many tests wait for something.

    No more than there are Redis databases for them; the developer's variable goes before.
    """
    if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ:
        return None
    return min((len(os.sched_getaffinity(0)) * 3 + 1) // 2, _REDIS_DATABASES)


def pytest_collection_finish() -> None:
    """Let the garbage collector pass over what stays anyway: modules, and thousands of tests."""
    gc.collect()
    gc.freeze()


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out what installs packages or takes long, unless named; `--long` takes the latter alone."""
    if config.getoption("long"):
        is_wanted = any(
            collection_path.is_relative_to(one) or one.is_relative_to(collection_path) for one in _LONG
        )
        return None if is_wanted else True
    if collection_path not in _INSTALLING + _LONG:
        return None
    named = [Path(config.invocation_params.dir, argument.partition("::")[0]) for argument in config.args]
    return None if any(path.is_relative_to(collection_path) for path in named) else True


@pytest.hookimpl(trylast=True)  # pytest itself may still see how the developer wants its output
def pytest_configure(config: pytest.Config) -> None:
    """Seal the environment, before any test is imported, and register the controller's hook."""
    seal(getattr(config, "workerinput", {}).get("taken", {}))
    hear_signals()
    if config.pluginmanager.hasplugin("dsession"):
        config.pluginmanager.register(_Controller())


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the servers that this process started."""
    if _shared in config.stash:
        config.stash[_shared][0].stop()


def _start_once(config: pytest.Config) -> Addresses:
    if _shared not in config.stash:
        servers = Servers(sealing.taken)
        config.stash[_shared] = (servers, servers.start())
    return config.stash[_shared][1]


@pytest.fixture(scope="session", autouse=True)
def _elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Run in an empty directory: a `.env` of the checkout is read by no test, and by no child of one."""
    with chdir(tmp_path_factory.mktemp("elsewhere")):
        yield


@pytest.fixture(scope="session", autouse=True)
def _starters() -> Iterator[None]:
    """Know who starts a thread, for the fixture below."""
    with pytest.MonkeyPatch.context() as patch:
        note_starters(patch)
        yield


@pytest.fixture(autouse=True)
def _no_thread_stays(_starters: None) -> Iterator[None]:
    """Fail a test that leaves a thread running; those of broader fixtures were there before it."""
    with all_end():
        yield


@pytest.fixture(scope="session")
def servers(request: pytest.FixtureRequest) -> Addresses:
    """Where PostgreSQL and Valkey are."""
    given = getattr(request.config, "workerinput", {}).get("servers")
    return Addresses(**given) if given else _start_once(request.config)


@pytest.fixture(scope="session")
def database_url(servers: Addresses, worker_id: str) -> Iterator[str]:
    """A database with the schema, for this worker only."""
    name = f"{servers.template}_{worker_id}"
    yield create_database(servers.postgres, name, template=servers.template)
    drop_database(servers.postgres, name)


@pytest.fixture
def empty_database_url(servers: Addresses, worker_id: str) -> Iterator[str]:
    """A database without anything, for one test."""
    name = f"{servers.template}_{worker_id}_empty"
    yield create_database(servers.postgres, name)
    drop_database(servers.postgres, name)


@pytest.fixture(scope="session")
def engine(database_url: str) -> Iterator[Engine]:
    """An engine on this worker's database; take `sessions` or `session` to find it without rows."""
    engine = connect(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def proxy(database_url: str) -> Iterator[Proxy]:
    """A way to this worker's database that can be cut."""
    with proxy_to(database_url) as proxy:
        yield proxy


@pytest.fixture
def distant(proxy: Proxy) -> Iterator[Engine]:
    """An engine on the database behind it."""
    engine = connect(proxy.url)
    yield engine
    engine.dispose()


@pytest.fixture
def clean_database(engine: Engine) -> None:
    """Empty this worker's database before the test, which may commit."""
    names = ", ".join(table.name for table in Base.metadata.sorted_tables)
    with engine.begin() as connection:
        # The audit log's triggers refuse it.
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        connection.execute(text(f"TRUNCATE {names}"))
        connection.execute(text(_FIRST_ORGANIZATION))


@pytest.fixture(name="sessions")
def session_factory(engine: Engine, clean_database: None) -> Sessions:
    """A session factory on an empty database; tests may commit."""
    return sessions(engine)


@pytest.fixture
def session(engine: Engine, clean_database: None) -> Iterator[Session]:
    """One session on an empty database, in a transaction that is rolled back."""
    with sessions(engine)() as session:
        yield session
        session.rollback()


@pytest.fixture(scope="session")
def redis_address(servers: Addresses, worker_id: str) -> str:
    """The URL of a Redis database for this worker only."""
    number = int(worker_id.removeprefix("gw")) if worker_id.startswith("gw") else 0
    return with_path(servers.redis, str(number % _REDIS_DATABASES + 1))


@pytest.fixture
def redis_url(redis_address: str) -> str:
    """The same, and our keys are deleted before the test."""
    with redis.Redis.from_url(redis_address) as client:
        for key in client.scan_iter(f"{NAMESPACE}:*"):
            client.delete(key)
    return redis_address


@pytest.fixture
def queue(redis_url: str) -> Iterator[Queue]:
    """The queue, empty."""
    queue = Queue(redis_url)
    yield queue
    queue.close()


@pytest.fixture(scope="session")
def session_settings(
    database_url: str, redis_address: str, tmp_path_factory: pytest.TempPathFactory
) -> Settings:
    """Settings that name this worker's servers."""
    return Settings(
        database_url=database_url,
        redis_url=redis_address,
        workdir_base=tmp_path_factory.mktemp("work"),
        # All tests come from one address, and some send thousands of requests.
        rate_limit_per_address=0,
        rate_limit_per_caller=0,
        rate_limit_failures_per_address=0,
        # Tests of who may do what turn it on; the others are about what is done.
        auth_mode="none",
        control_plane_cidrs=(IPv4Network("203.0.113.0/24"),),
    )


@pytest.fixture
def settings(session_settings: Settings, clean_database: None, redis_url: str) -> Settings:
    """The same, and database and queue are empty."""
    return session_settings
