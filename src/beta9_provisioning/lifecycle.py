"""The life of an operation, and the status of an environment that follows from it, on one page.

An operation is one request (provision, update, destroy). It walks one path of statuses and ends in
one of three; the graph has no cycles, because a retry is a new operation. What an environment is
called in public follows from its latest operation, in `environment_status` alone.
"""

from enum import StrEnum


class Kind(StrEnum):
    """What an operation does."""

    PROVISION = "provision"
    UPDATE = "update"
    DESTROY = "destroy"


class OperationStatus(StrEnum):
    """Where an operation stands."""

    QUEUED = "queued"
    PLANNING = "planning"
    APPLYING = "applying"
    BOOTSTRAPPING = "bootstrapping"
    DESTROYING = "destroying"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class EnvironmentStatus(StrEnum):
    """What users see; a wire contract."""

    QUEUED = "queued"
    PROVISIONING = "provisioning"
    BOOTSTRAPPING = "bootstrapping"
    READY = "ready"
    UPDATING = "updating"
    FAILED = "failed"
    DESTROY_QUEUED = "destroy_queued"
    DESTROYING = "destroying"
    DESTROYED = "destroyed"


class Reason(StrEnum):
    """Why an operation ended other than by success; statuses do not multiply."""

    CONFIGURATION = "configuration"
    ACCESS_REFUSED = "access_refused"
    TERRAFORM_FAILED = "terraform_failed"
    BOOTSTRAP_FAILED = "bootstrap_failed"
    LEFTOVERS = "leftovers"
    TIMEOUT = "timeout"
    WORKER_LOST = "worker_lost"
    WORKER_STOPPED = "worker_stopped"
    CANCELLED = "cancelled"
    INTERNAL = "internal"


_S = OperationStatus
_E = EnvironmentStatus

PATHS: dict[Kind, tuple[OperationStatus, ...]] = {
    Kind.PROVISION: (_S.QUEUED, _S.PLANNING, _S.APPLYING, _S.BOOTSTRAPPING, _S.SUCCEEDED),
    Kind.UPDATE: (_S.QUEUED, _S.PLANNING, _S.APPLYING, _S.BOOTSTRAPPING, _S.SUCCEEDED),
    Kind.DESTROY: (_S.QUEUED, _S.DESTROYING, _S.SUCCEEDED),
}
FINAL = frozenset({_S.SUCCEEDED, _S.FAILED, _S.CANCELLED})
RUNNING = frozenset(_S) - FINAL - {_S.QUEUED}

RESUMED = "resumed"
"""The move of a running operation to where it stands, by another attempt: it changes no status."""

# A destroy cannot be cancelled: what it has deleted is gone, and a half-destroyed environment is no goal.
CANCELLABLE_KINDS = frozenset({Kind.PROVISION, Kind.UPDATE})

_BUILDING = {_S.QUEUED: _E.QUEUED, _S.BOOTSTRAPPING: _E.BOOTSTRAPPING, _S.SUCCEEDED: _E.READY}
_PUBLIC: dict[Kind, dict[OperationStatus, EnvironmentStatus]] = {
    Kind.PROVISION: {**_BUILDING, _S.PLANNING: _E.PROVISIONING, _S.APPLYING: _E.PROVISIONING},
    Kind.UPDATE: {
        _S.QUEUED: _E.UPDATING,
        _S.PLANNING: _E.UPDATING,
        _S.APPLYING: _E.UPDATING,
        _S.BOOTSTRAPPING: _E.UPDATING,
        _S.SUCCEEDED: _E.READY,
    },
    Kind.DESTROY: {
        _S.QUEUED: _E.DESTROY_QUEUED,
        _S.DESTROYING: _E.DESTROYING,
        _S.SUCCEEDED: _E.DESTROYED,
    },
}


def moves(kind: Kind, status: OperationStatus) -> frozenset[OperationStatus]:
    """Return the statuses that may follow `status` directly: the path's next one, failure, or cancel."""
    if status in FINAL:
        return frozenset()
    path = PATHS[kind]
    if status not in path:
        raise ValueError(f"a {kind} operation is never {status}")
    following = {path[path.index(status) + 1], OperationStatus.FAILED}
    if kind in CANCELLABLE_KINDS:
        following.add(OperationStatus.CANCELLED)
    return frozenset(following)


def environment_status(kind: Kind, status: OperationStatus) -> EnvironmentStatus:
    """Return the public status of an environment whose latest operation has this kind and status."""
    if status in (OperationStatus.FAILED, OperationStatus.CANCELLED):
        return EnvironmentStatus.FAILED
    return _PUBLIC[kind][status]
