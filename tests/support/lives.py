"""Environments and their operations at any point of their life, made by the functions that services use."""

from itertools import pairwise
from typing import Any

from tests.support.configs import config

from beta9_provisioning.audit.record import Author
from beta9_provisioning.environments import commands, queries
from beta9_provisioning.kit.database import Sessions, transaction
from beta9_provisioning.lifecycle import OperationStatus
from beta9_provisioning.operations.records import store
from beta9_provisioning.operations.records.store import Claim
from beta9_provisioning.schemas.environment import Environment
from beta9_provisioning.settings import Settings


def create(sessions: Sessions, settings: Settings, *, key: str | None = None, **changes: Any) -> Environment:
    owner = changes.pop("owner", "default")
    by = Author(changes.pop("by", owner))
    with transaction(sessions) as session:
        outcome = commands.create(
            session, config(**changes), owner=owner, by=by, settings=settings, idempotency_key=key
        )
    if isinstance(outcome, commands.Replay):
        return Environment.model_validate(outcome.answer)
    return outcome.environment


def delete(sessions: Sessions, environment_id: str, owner: str = "default") -> Environment:
    with transaction(sessions) as session:
        return commands.delete(session, environment_id, owner=owner, by=Author(owner)).environment


def get(sessions: Sessions, environment_id: str) -> Environment:
    with sessions() as session:
        return queries.get(session, environment_id, owner="default")


def claim(sessions: Sessions, operation_id: str) -> Claim:
    with transaction(sessions) as session:
        taken = store.claim(session, operation_id, worker="test", liveness_key=1, lease_seconds=60)
    assert taken is not None
    return taken


def walk(sessions: Sessions, operation_id: str, *path: OperationStatus) -> Claim:
    """Take an operation and move it along its path, as a worker does; the first status is the claim's."""
    taken = claim(sessions, operation_id)
    for before, after in pairwise(path):
        with transaction(sessions) as session:
            if after is OperationStatus.SUCCEEDED:
                store.succeed(session, taken, before, {})
            else:
                store.advance(session, taken, before, after)
    return taken
