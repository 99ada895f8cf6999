"""A customer's account in the simulated world, as the product's steps ask for it."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from beta9_provisioning.clouds.cloud import Contents, Leftover, Phase, StateLock, UnsavedState
from beta9_provisioning.clouds.registry import CLOUDS
from beta9_provisioning.clouds.stands import Condition, Known, Standing
from beta9_provisioning.engine.errors import EngineError, Stopped
from beta9_provisioning.engine.kubernetes.access import ClusterAccess, Token
from beta9_provisioning.engine.synthesis.synthesize import Backend
from beta9_provisioning.engine.tool_ports import KubernetesPort
from beta9_provisioning.kit.runtime import Event
from beta9_provisioning.schemas.configuration import EnvironmentConfig, Provider
from simulation.catalog import KINDS
from simulation.cloud import CREATING, DELETING, FAILED, READY, Refused
from simulation.world import World

_SAMPLE = CLOUDS[Provider.AWS].sample()
_POLL_SECONDS = 1.0
_CONDITIONS = {
    CREATING: Condition.UNFINISHED,
    READY: Condition.READY,
    DELETING: Condition.LEAVING,
    FAILED: Condition.FAILED,
}


class StoreAway(EngineError):
    """The bucket answers nothing but faults."""

    code = "aws_unreachable"


class SimulatedAccount:
    """Implements `clouds.cloud.Account`."""

    def __init__(self, world: World, environment: str, stop: Event) -> None:
        self._world = world
        self._cloud = world.cloud
        self._environment = environment
        self._stop = stop

    def _ask(self, what: str) -> None:
        """Come to the point where the cloud is asked."""
        if self._stop.is_set():
            raise Stopped(f"Asking the cloud to {what} was stopped.")
        baton = self._world.baton
        baton.pause(f"cloud: {what}")
        baton.sleep(0.02 + 0.1 * baton.latency.random())

    def _ask_store(self, what: str) -> None:
        self._ask(what)
        if self._cloud.is_store_away:
            raise StoreAway("The state bucket did not answer.", detail="503 Slow Down")

    def _write(self, what: str) -> None:
        self._ask(what)
        self._world.write(self._environment, what)

    def check_access(self, phases: Collection[Phase], bucket_prefix: str | None) -> str | None:  # noqa: ARG002
        """Take the identity on, which may do everything."""
        self._ask("check access")
        return None

    def choose(
        self,
        config: EnvironmentConfig,  # noqa: ARG002
        reach: Callable[[ClusterAccess], KubernetesPort] | None = None,  # noqa: ARG002
        workers_from: Sequence[str] = (),  # noqa: ARG002
    ) -> Mapping[str, Any]:
        """Choose what a sample has."""
        self._ask("choose")
        return _SAMPLE.choices

    def keep_secrets(self, config: EnvironmentConfig, choices: Mapping[str, Any]) -> Mapping[str, str]:  # noqa: ARG002
        """Draw the passwords."""
        self._write("keep secrets")
        self._cloud.secrets.add(self._environment)
        return {"redis_password": f"drawn-for-{self._environment}"}

    def delete_secrets(self) -> None:
        """Delete them."""
        self._write("delete secrets")
        self._cloud.secrets.discard(self._environment)

    def ensure_state_backend(self) -> Backend:
        """Make the bucket."""
        self._ask_store("prepare the state bucket")
        self._world.write(self._environment, "prepare the state bucket")
        self._cloud.buckets.add(self._environment)
        return Backend(_SAMPLE.backend.arguments)

    def lock_state(self, lock: StateLock) -> StateLock | None:
        """Lock the state, on the condition that nobody has."""
        self._ask_store("lock the state")
        return self._cloud.lock(self._environment, lock)

    def unlock_state(self, lock_id: str) -> bool:
        """Unlock it, on the condition that it is locked so."""
        self._ask_store("unlock the state")
        return self._cloud.unlock(self._environment, lock_id)

    def has_state(self) -> bool:
        """Tell whether a state holds anything."""
        self._ask_store("read the state")
        document = self._cloud.read_state(self._environment)
        return bool(document and document["resources"])

    def keep_stack(self, operation_id: str, content: bytes) -> None:
        """Lay an operation's stack beside the state."""
        self._ask_store("keep the stack")
        self._world.write(self._environment, "keep the stack")
        self._cloud.stacks[self._environment] = (operation_id, content)

    def kept_stack(self, operation_id: str | None = None) -> bytes | None:
        """Return it, if it is of this operation or none is given."""
        self._ask_store("read the stack")
        if self._environment not in self._cloud.stacks:
            return None
        kept_for, content = self._cloud.stacks[self._environment]
        return content if operation_id in (None, kept_for) else None

    def keep_unsaved_state(self, state: UnsavedState) -> None:
        """Lay a state beside its place."""
        self._ask_store("keep an unsaved state")
        self._world.write(self._environment, "keep an unsaved state")
        self._cloud.unsaved.setdefault(self._environment, {})[state.id] = state.content

    def unsaved_states(self) -> Sequence[UnsavedState]:
        """Return those that lie there."""
        self._ask_store("list unsaved states")
        return [UnsavedState(id_, content) for id_, content in self._unsaved.items()]

    def forget_unsaved_state(self, id_: str) -> None:
        """Remove one of them."""
        self._ask_store("forget an unsaved state")
        self._unsaved.pop(id_, None)

    @property
    def _unsaved(self) -> dict[str, bytes]:
        return self._cloud.unsaved.get(self._environment, {})

    def standing(self, wanted: Collection[str], known: Known) -> Sequence[Standing]:
        """Look for each by its id in the state, by the journal's, then by name or tag."""
        self._ask("look for what stands")
        return [found for address in KINDS if address in wanted and (found := self._look(address, known))]

    def _look(self, address: str, known: Known) -> Standing | None:
        held = known.state.get(address)
        if KINDS[address].is_repeatable:
            return Standing(address, held, Condition.READY) if held else None
        thing = self._cloud.things.get(held or known.journal.get(address, ""))
        thing = thing or (None if held else self._cloud.find(self._environment, address))
        if thing is None:
            return None
        kind = thing.kind
        return Standing(address, thing.id, _CONDITIONS[thing.status], kind.holds_data, thing.status.lower())

    def remove(self, failed: Standing, known: Known, seconds: float) -> None:  # noqa: ARG002
        """Delete what failed, and wait until it is gone."""
        deadline = self._world.baton.now + seconds
        while (thing := self._cloud.things.get(failed.import_id)) is not None:
            self._write("remove what failed")
            try:
                self._cloud.delete(thing, self._world.baton.current.tag)
            except Refused as error:
                raise EngineError(
                    "It could not be deleted.", detail=str(error), code="not_removed"
                ) from error
            if self._world.baton.now >= deadline:
                raise EngineError("It was not gone in time.", code="removal_timeout")
            if self._stop.wait(_POLL_SECONDS):
                raise Stopped("The wait for its end was stopped.")

    def cluster_access(self, choices: Mapping[str, Any] | None = None) -> ClusterAccess:  # noqa: ARG002
        """Tell how the cluster is reached."""
        self._ask("describe the cluster")
        cluster = self._cloud.find(self._environment, "aws_eks_cluster.main")
        if cluster is None:
            raise EngineError("There is no cluster.", code="cluster_missing")
        if cluster.status != READY:
            raise EngineError("The cluster is not ready.", code="cluster_not_ready")
        if self._cloud.find(self._environment, "aws_eks_access_entry.provisioner") is None:
            raise EngineError("The cluster does not let the role in.", code="cluster_access_missing")
        token = Token("token", datetime(2026, 1, 1, tzinfo=UTC))
        return ClusterAccess(
            cluster.id, f"https://{self._environment}.invalid", "Q0E=", lambda: token, "vpc-1"
        )

    def database_credentials(self, outputs: Mapping[str, Any]) -> tuple[str, str]:  # noqa: ARG002
        """Return the master's."""
        self._ask("read the database's secret")
        return "master", "password"

    def contents(self, is_own: Callable[[str], bool]) -> Sequence[Contents]:  # noqa: ARG002
        """Return nothing: nobody keeps objects here."""
        self._ask("list objects")
        return ()

    def empty_stores(self, tell: Callable[[str, int], None], is_over: Callable[[], bool]) -> None:  # noqa: ARG002
        """Delete nothing."""
        self._write("empty the stores")

    def take_snapshot(self, seconds: float) -> str | None:  # noqa: ARG002
        """Take none."""
        self._ask("take a snapshot")
        return None

    def lift_protection(self, seconds: float) -> Sequence[str]:  # noqa: ARG002
        """Lift none."""
        self._write("lift protection")
        return ()

    def sweep(self, seconds: float, choices: Mapping[str, Any] | None = None) -> Sequence[str]:  # noqa: ARG002
        """Remove the load balancer, once the cluster is gone."""
        self._ask("look for what the cluster left")
        if self._cloud.find(self._environment, "aws_eks_cluster.main") is not None:
            return ()
        swept = []
        deadline = self._world.baton.now + seconds
        for thing in list(self._cloud.things.values()):
            if thing.environment != self._environment or not thing.address.startswith("(cluster)"):
                continue
            self._write("sweep")
            try:
                self._cloud.delete(thing, self._world.baton.current.tag)
            except Refused:
                continue
            while thing.id in self._cloud.things and self._world.baton.now < deadline:
                if self._stop.wait(_POLL_SECONDS):
                    raise Stopped("The sweep was stopped.")
            swept.append(thing.id)
        return swept

    def leftovers(self, choices: Mapping[str, Any] | None = None) -> Sequence[Leftover]:  # noqa: ARG002
        """Return all that stands."""
        self._ask("look for leftovers")
        things = [one for one in self._cloud.things.values() if one.environment == self._environment]
        return [Leftover(one.address, one.id, one.status.lower()) for one in things]

    def kept(self) -> Sequence[Leftover]:
        """Return nothing."""
        self._ask("look for what is kept")
        return ()

    def purge_state(self) -> None:
        """Delete the state, the lock, and what lies beside them."""
        self._ask_store("delete the state")
        self._world.write(self._environment, "delete the state")
        environment, cloud = self._environment, self._cloud
        cloud.states.pop(environment, None)
        cloud.locks.pop(environment, None)
        cloud.buckets.discard(environment)
        cloud.stacks.pop(environment, None)
        cloud.unsaved.pop(environment, None)
