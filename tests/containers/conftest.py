"""Fixtures of what needs a container engine: `make test-containers` starts one and runs these tests."""

from collections.abc import Iterator

import pytest
from tests.support.containers import ROOT, Container, command, docker, network, running
from tests.support.waiting import until

_SERVERS = "beta9-provisioning-servers-for-tests:latest"


@pytest.fixture(scope="session")
def images() -> str:
    """Both images, built as the deployment guide says; gives what the build printed."""
    done = command("make", "docker-build")
    return done.stdout + done.stderr


@pytest.fixture(scope="session")
def servers_image(images: str) -> str:
    """An image with Debian's PostgreSQL and Redis, on the same base as ours."""
    folder = ROOT / "containers"
    docker("build", "--quiet", "--file", str(folder / "Dockerfile.servers"), "--tag", _SERVERS, str(folder))
    return _SERVERS


@pytest.fixture(scope="module")
def net() -> Iterator[str]:
    """A network of one test module."""
    with network() as name:
        yield name


@pytest.fixture(scope="module")
def postgres(servers_image: str, net: str) -> Iterator[Container]:
    """PostgreSQL, reached as `postgres` in the network, empty."""
    options = ("--network", net, "--network-alias", "postgres")
    with running(servers_image, "postgres", options=options) as server:
        until(lambda: "accepting" in server.exec("pg_isready", "-h", "127.0.0.1", check=False), "PostgreSQL")
        yield server


@pytest.fixture(scope="module")
def redis(servers_image: str, net: str) -> Iterator[Container]:
    """Redis, reached as `redis` in the network."""
    options = ("--network", net, "--network-alias", "redis")
    with running(servers_image, "redis-server", options=options) as server:
        until(lambda: server.exec("redis-cli", "ping", check=False) == "PONG", "Redis")
        yield server
