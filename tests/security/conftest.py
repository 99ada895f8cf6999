"""The API with room for as many environments as there are attacks."""

from collections.abc import Iterator

import httpx
import pytest
from tests.support.serving import Serving, serving

from beta9_provisioning.api.app import create_app
from beta9_provisioning.settings import Settings


@pytest.fixture(scope="session")
def api(session_settings: Settings) -> Iterator[Serving]:
    """The server."""
    settings = session_settings.model_copy(update={"max_environments_per_user": 100_000})
    with serving(create_app(settings)) as server:
        yield server


@pytest.fixture
def client(api: Serving, settings: Settings) -> Iterator[httpx.Client]:
    """A client of the server; database and queue are empty."""
    with api.client() as client:
        yield client
