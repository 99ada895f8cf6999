"""What every cloud offers to the rest of the service.

A `Cloud` stands for a provider and is made without asking anybody; what is heavy, such as a cloud's SDK, is
loaded when it is first needed. An `Account` is one environment's place in that cloud.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from constructs import Construct

    from beta9_provisioning.clouds.stands import Known, Standing
    from beta9_provisioning.engine.beta9.platform import Platform, SharedCluster
    from beta9_provisioning.engine.helm.release import Release
    from beta9_provisioning.engine.kubernetes.access import ClusterAccess
    from beta9_provisioning.engine.synthesis.bindings import Stack
    from beta9_provisioning.engine.synthesis.subject import Subject
    from beta9_provisioning.engine.synthesis.synthesize import Backend
    from beta9_provisioning.engine.terraform.errors import Rule
    from beta9_provisioning.engine.tool_ports import KubernetesPort
    from beta9_provisioning.schemas.configuration import Cloud as CloudSection
    from beta9_provisioning.schemas.configuration import EnvironmentConfig
    from beta9_provisioning.schemas.configuration import Path as ConfigurationPath
    from beta9_provisioning.settings import Settings


class Phase(StrEnum):
    """A phase of an environment's life, for which permissions are granted."""

    READ = "read"
    CREATE = "create"
    OPERATE = "operate"
    DESTROY = "destroy"


@dataclass(frozen=True)
class Leftover:
    """A resource that still exists.

    Attributes:
        kind: service and type in the cloud's own words.
        id: its id, or its name where the cloud has no other id.
        status: the cloud's word for its state, such as `deleting`; empty when it tells none.
        blocked_by: what hinders its deletion, as far as can be seen, in words.
    """

    kind: str
    id: str
    status: str = ""
    blocked_by: tuple[str, ...] = field(default=())

    def __str__(self) -> str:
        status = f" ({self.status})" if self.status else ""
        blocked = f", blocked by {'; '.join(self.blocked_by)}" if self.blocked_by else ""
        return f"{self.kind} {self.id}{status}{blocked}"


@dataclass(frozen=True)
class Contents:
    """What a store of objects holds.

    Attributes:
        store: its name.
        objects: how many there are, versions of before not counted.
        size: of all of them, in bytes.
        is_all: False when there are more, which were not counted.
    """

    store: str
    objects: int
    size: int
    is_all: bool = True

    def __str__(self) -> str:
        more = "" if self.is_all else "more than "
        return f"{self.store}: {more}{self.objects} objects, {more}{self.size / (1 << 20):.1f} MiB"


@dataclass(frozen=True)
class StateLock:
    """A lock on an environment's Terraform state.

    Attributes:
        id: whose it is: the lease token of an attempt, or what Terraform drew that somebody runs by hand.
        who: the program or person, and the host, such as `user@host`.
        operation: what the holder does.
        info: more of it, in words.
        created: when it was taken, a UTC time as the holder wrote it.
        place: where the lock is kept, in the cloud's own words.
    """

    id: str
    who: str = ""
    operation: str = ""
    info: str = ""
    created: str = ""
    place: str = ""


@dataclass(frozen=True)
class UnsavedState:
    """A Terraform state that could not be saved in its place.

    Attributes:
        id: the lease token of the attempt that made it.
        content: of the file that Terraform left.
    """

    id: str
    content: bytes = field(repr=False)


@dataclass(frozen=True)
class WorkerProblem:
    """What is wrong with a worker's machine, in words for its operator.

    Attributes:
        message: names the setting or variable, and no secret.
        is_fatal: whether no operation can succeed, so that the worker must not start.
    """

    message: str
    is_fatal: bool


@dataclass(frozen=True)
class Simulation:
    """Whether what the worker takes for a cloud is the simulator.

    Attributes:
        endpoint: where the worker asks for clusters.
        answers: whether the endpoint is near, and answers as the simulator.
        charts: directory of this machine that the simulator names for its stand-in charts; None without one.
    """

    endpoint: str
    answers: bool
    charts: Path | None


class Account(Protocol):
    """A customer's account, seen through the identity that the worker takes on there, for one environment.

    Nothing is asked before the first call. Every method raises EngineError when the cloud refuses or fails;
    its code says which, such as `role_refused`, `credentials_missing` or `permission_missing`.
    """

    def check_access(self, phases: Collection[Phase], bucket_prefix: str | None) -> str | None:
        """Take on the identity, and see that it belongs to the account and may do what these phases need.

        `bucket_prefix` begins the names of the environment's buckets; None when nobody knows it. Return in
        words what could not be seen beforehand; None when all was.

        Raises:
            EngineError: `permissions_missing` names all that the identity lacks.
        """

    def choose(
        self,
        config: EnvironmentConfig,
        reach: Callable[[ClusterAccess], KubernetesPort] | None = None,
        workers_from: Sequence[str] = (),
    ) -> Mapping[str, Any]:
        """Choose zones, versions, sizes and the like for a new environment, by what the account offers.

        Nothing is changed. The document is kept with the environment, and its stacks are made of it. `reach`
        opens the API of a cluster of the user's, which workers from these networks must reach.
        """

    def keep_secrets(self, config: EnvironmentConfig, choices: Mapping[str, Any]) -> Mapping[str, str]:
        """Draw the passwords that the stores are made with, unless they are kept in the account already.

        Return the variables by which Terraform gets them: `redis_password` for Redis, if it has a user.
        """

    def delete_secrets(self) -> None:
        """Delete what `keep_secrets` made."""

    def ensure_state_backend(self) -> Backend:
        """Make the place of the Terraform state if it is absent, and say where it is.

        Raises:
            Stopped: the stop event was set.
        """

    def lock_state(self, lock: StateLock) -> StateLock | None:
        """Lock the state for `lock.id` and return None, also when it is locked for it already.

        Otherwise return the lock that is in the way. It has no id when it vanished meanwhile: ask again.
        Terraform that somebody runs by hand respects the lock.
        """

    def unlock_state(self, lock_id: str) -> bool:
        """Remove the lock if it has this id, and return whether it was; anybody else's stays."""

    def has_state(self) -> bool:
        """Return whether there is a state that holds any resource."""

    def keep_stack(self, operation_id: str, content: bytes) -> None:
        """Lay an operation's stack beside the state, in the place of an earlier one's; it holds no secret."""

    def kept_stack(self, operation_id: str | None = None) -> bytes | None:
        """Return the stack that lies there: only if it is of this operation; without one, whosever it is."""

    def keep_unsaved_state(self, state: UnsavedState) -> None:
        """Lay a state that could not be saved beside its place, for the next attempt."""

    def unsaved_states(self) -> Sequence[UnsavedState]:
        """Return the states that were laid there."""

    def forget_unsaved_state(self, id_: str) -> None:
        """Remove a state that was laid there."""

    def standing(self, wanted: Collection[str], known: Known) -> Sequence[Standing]:
        """Return which of these addresses of the stack the cloud has, each looked up by itself.

        What the state has under the same address is looked for by its id there; else by the journal's, then
        by name or tag. What is made by a request that may be repeated at will is told only when the state
        has it.
        """

    def remove(self, failed: Standing, known: Known, seconds: float) -> None:
        """Delete a resource that failed for good, so that it can be made anew; wait until it is gone.

        Raises:
            EngineError: it is still there after so many seconds, or its kind is not deleted so.
            Stopped: the stop event was set.
        """

    def cluster_access(self, choices: Mapping[str, Any] | None = None) -> ClusterAccess:
        """Return how to reach the Kubernetes API of the environment's cluster, which its choices may name.

        Raises:
            EngineError: `cluster_missing`, `cluster_not_ready` or `cluster_access_missing`; waiting is the
                caller's job.
        """

    def database_credentials(self, outputs: Mapping[str, Any]) -> tuple[str, str]:
        """Return user name and password of the database's master, which Terraform's outputs lead to."""

    def contents(self, is_own: Callable[[str], bool]) -> Sequence[Contents]:
        """Return what is in the environment's stores of objects, without objects whose keys `is_own` accepts.

        Stores without any are left out.
        """

    def empty_stores(self, tell: Callable[[str, int], None], is_over: Callable[[], bool]) -> None:
        """Delete all objects in all versions; `tell` hears now and then of which store how many are gone.

        Ends early when `is_over`, as when somebody goes on writing.

        Raises:
            Stopped: the stop event was set.
        """

    def take_snapshot(self, seconds: float) -> str | None:
        """Take the database's last snapshot, wait for it, and return its name; None without a database.

        One that an earlier try has taken counts.

        Raises:
            EngineError: it is not there after so many seconds.
            Stopped: the stop event was set.
        """

    def lift_protection(self, seconds: float) -> Sequence[str]:
        """Let the cloud delete what it protects at our wish; return in words what was protected."""

    def sweep(self, seconds: float, choices: Mapping[str, Any] | None = None) -> Sequence[str]:
        """Remove what the cluster has left in the account and nobody else removes; return what was removed.

        Nothing of this happens while the cluster exists. What something holds is tried again for `seconds`.

        Raises:
            Stopped: the stop event was set.
        """

    def leftovers(self, choices: Mapping[str, Any] | None = None) -> Sequence[Leftover]:
        """Return what the cloud still shows of the environment, without its state; empty when all is gone.

        By its choices is known whether it is in a cluster of the user's.
        """

    def kept(self) -> Sequence[Leftover]:
        """Return what is to stay, or goes later by itself; `status` says why."""

    def purge_state(self) -> None:
        """Delete the environment's state, and what was made for it that no other environment uses."""


class Cloud(Protocol):
    """One provider of clouds.

    Attributes:
        provider_schema: file with the schema of the Terraform provider that stacks are written for.
        child_variables: names of the environment variables that its SDK in Terraform reads and a worker may
            set; a `*` at the end stands for anything.
        terraform_rules: what errors of the Terraform provider and its state backend mean.
        nodes_remedy: what to do when the cluster's nodes do not become ready.
    """

    provider_schema: Path
    child_variables: tuple[str, ...]
    terraform_rules: Sequence[Rule]
    nodes_remedy: str

    def published_policies(self) -> Mapping[str, Mapping[str, Any]]:
        """Return what the role in a customer's account may do: documents by name."""
        ...

    def field_fault(self, name: str, value: str) -> str | None:
        """Return what is wrong with a field of a configuration's `cloud` that is this provider's; or None."""

    def section_faults(self, section: CloudSection) -> Mapping[str, str]:
        """Return what is wrong with `cloud` as a whole, by field; its fields are right one by one."""

    def other_faults(self, config: EnvironmentConfig) -> Mapping[ConfigurationPath, str]:
        """Return what this provider would refuse of a configuration outside of `cloud`, by path."""

    def check_supported(self, config: EnvironmentConfig) -> None:
        """Raise `NotSupported` when the configuration asks for what cannot be built here yet."""

    def node_count(self, choices: Mapping[str, Any]) -> int:
        """Return how many nodes the cluster has at its start, or at least."""

    def shared_cluster(self, choices: Mapping[str, Any] | None) -> SharedCluster | None:
        """Return the user's cluster that choices of whatever form name; None if it is the environment's."""

    def access_addresses(self, choices: Mapping[str, Any] | None) -> frozenset[str]:
        """Return the Terraform addresses of what lets the worker into the cluster; none into the user's."""
        ...

    def earlier_choices(self, config: EnvironmentConfig) -> Mapping[str, Any]:
        """Return what releases chose that kept no choices (0.2 and before): constants of theirs."""

    def check_reach(self, config: EnvironmentConfig, workers_from: Sequence[str]) -> None:
        """Raise an EngineError when workers from these networks could not reach the environment's cluster."""

    def cluster_ready_addresses(self, choices: Mapping[str, Any]) -> frozenset[str]:
        """Return the Terraform addresses after which charts can be installed: cluster, nodes, access."""

    def platform(self, config: EnvironmentConfig) -> Platform:
        """Return what the charts must know of the cloud, in a cluster that is made."""

    def platform_of(
        self, config: EnvironmentConfig, environment_id: str, choices: Mapping[str, Any]
    ) -> Platform:
        """Return what the charts must know of the cloud, and of an environment's cluster."""

    def guarded_networks(self, choices: Mapping[str, Any]) -> Sequence[str]:
        """Return the address ranges (CIDR) that no pod may reach but those that Beta9 itself consists of.

        Those are the stores' networks, where these have their own, and what hands out a node's credentials.
        """

    def first_releases(
        self, config: EnvironmentConfig, environment_id: str, access: ClusterAccess
    ) -> Sequence[Release]:
        """Return this provider's own charts of a cluster that is made: they come before all others, in this
        order.
        """

    def is_deleted_last(self, type_: str) -> bool:
        """Return whether a destroy deletes a Terraform type after all that are not so.

        Those are what the remains of a cluster may hold, and what takes long to empty.
        """

    def add_stack(self, scope: Construct, id_: str, subject: Subject) -> Stack:
        """Return the Terraform stack of an environment; choices and backend are what its account gave.

        Raises:
            SynthesisError: it does not fit the provider's schema.
        """

    def bare_stack(self, place: CloudSection, environment_id: str, backend: Backend) -> Mapping[str, Any]:
        """Return a Terraform configuration with provider, backend and no resource, for a destroy."""

    def sample(self) -> Subject:
        """Return an environment that nobody wants, to warm synthesis up."""

    def open_account(
        self, place: CloudSection, environment_id: str, *, settings: Settings, stop: threading.Event
    ) -> Account:
        """Return the account of an environment; `stop` ends its waiting. `place` may be unchecked."""

    def user_kubeconfig(self, section: CloudSection, outputs: Mapping[str, Any]) -> str:
        """Return a kubeconfig (YAML) for people; it holds no secret."""

    def user_credential(
        self, *, cluster: str, region: str, principal: str, external_id: str | None
    ) -> dict[str, object]:
        """Return the ExecCredential with which kubectl reaches a cluster as `principal`.

        The credentials of whoever runs this must be allowed to become the principal.

        Raises:
            EngineError: there are no credentials, or the cloud refused them.
        """

    def simulation(self, region: str) -> Simulation:
        """Return whether the endpoint of a region answers as the simulator; asked near by only."""

    def worker_problems(self) -> Sequence[WorkerProblem]:
        """Return what is wrong with this process's own identity in the cloud, without asking the cloud."""

    def preload(self) -> None:
        """Load now what the first operations of a worker would load otherwise."""
