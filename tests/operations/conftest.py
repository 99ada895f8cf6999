"""The bench of the tests that run whole operations."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.operations.bench import Bench
from tests.support.simulated import World, simulated_world
from tests.support.threads import shared

from beta9_provisioning.clouds.synthesis import new_synthesizer
from beta9_provisioning.engine.synthesis.synthesizer import Synthesizer
from beta9_provisioning.kit.database import Sessions


@pytest.fixture(scope="module")
def synthesizer() -> Iterator[Synthesizer]:
    with shared("synthesis"), new_synthesizer() as synthesizer:
        yield synthesizer


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with simulated_world(tmp_path_factory.mktemp("world")) as world:
        yield world


@pytest.fixture
def bench(
    sessions: Sessions,
    world: World,
    synthesizer: Synthesizer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Bench]:
    world.be_slow(0)
    world.delay("aws_db_instance", None)
    settings = world.settings(tmp_path, monkeypatch, leftover_grace_seconds=0)
    yield Bench(sessions, world, settings, synthesizer)
    assert world.leftovers() == [], "a test must leave the cloud empty"
