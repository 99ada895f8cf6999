"""The API for tests, behind a real server: one for each xdist worker, its database emptied for every test."""

from collections.abc import Iterator

import httpx
import pytest
from tests.support.serving import Serving, serving

from beta9_provisioning.api.app import create_app
from beta9_provisioning.api.streams import StreamTimes
from beta9_provisioning.settings import Settings


@pytest.fixture(scope="session")
def api(session_settings: Settings) -> Iterator[Serving]:
    """The server; its streams are quick."""
    app = create_app(session_settings, stream_times=StreamTimes(poll=0.02, ping=0.2, life=3600.0))
    with serving(app) as server:
        yield server


@pytest.fixture(scope="session")
def guarded_api(session_settings: Settings) -> Iterator[Serving]:
    """A server that asks who is asking."""
    app = create_app(session_settings.model_copy(update={"auth_mode": "required"}))
    with serving(app) as server:
        yield server


@pytest.fixture
def guarded(guarded_api: Serving, settings: Settings) -> Iterator[httpx.Client]:
    """A client of it, which shows nothing by itself; database and queue are empty."""
    with guarded_api.client() as client:
        yield client


@pytest.fixture
def client(api: Serving, settings: Settings) -> Iterator[httpx.Client]:
    """A client of the server; database and queue are empty."""
    with api.client() as client:
        yield client
