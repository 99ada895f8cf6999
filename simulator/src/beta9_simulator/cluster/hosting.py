"""All clusters of one server: they appear, change and vanish as the cloud's directory says."""

from __future__ import annotations

from dataclasses import dataclass

from beta9_simulator.cluster.behaviour import Behaviour
from beta9_simulator.cluster.cluster import NAMESPACES, Cluster
from beta9_simulator.cluster.controllers import Controllers, Later
from beta9_simulator.cluster.directory import EBS_DRIVER, ClusterDirectory, SimCluster, User
from beta9_simulator.cluster.errors import ApiError
from beta9_simulator.cluster.nodes import sync_nodes
from beta9_simulator.cluster.resources import BUILTIN
from beta9_simulator.cluster.store import Object

Place = tuple[str, str, str]  # account, region, name


@dataclass
class Hosted:
    """A cluster that is being served, as the directory last described it."""

    sim: SimCluster
    cluster: Cluster
    controllers: Controllers


class Hosting:
    """Finds the cluster that a request is for. Not safe for threads."""

    def __init__(self, directory: ClusterDirectory, behaviour: Behaviour, later: Later) -> None:
        self._directory = directory
        self._behaviour = behaviour
        self._later = later
        self._hosted: dict[Place, Hosted] = {}

    def reach(self, place: Place) -> Hosted:
        """The cluster at that place, in step with the directory.

        Raises:
            ApiError: 404, there is none; 503, it is not active.
        """
        hosted = self.refresh(place)
        sim = hosted.sim if hosted else self._directory.find(*place)
        if sim is None:
            account, region, name = place
            raise ApiError(404, f"there is no cluster {name} in account {account}, region {region}")
        if hosted is None:
            raise ApiError(
                503, f"cluster {sim.name} is not active: its API cannot be reached yet or any more"
            )
        return hosted

    def refresh(self, place: Place) -> Hosted | None:
        """Look the cluster up; forget its objects if it has gone, start with none if it is new.

        Returns None when there is no active cluster.
        """
        sim = self._directory.find(*place)
        hosted = self._hosted.get(place)
        if hosted and (sim is None or sim.uid != hosted.sim.uid):
            self._forget(place)
            hosted = None
        if sim is None or not sim.active:
            return None
        if hosted is None:
            hosted = self._host(place, sim)
        elif hosted.sim != sim:
            changed = sim.addons != hosted.sim.addons
            hosted.sim, hosted.cluster.addons = sim, sim.addons
            sync_driver(hosted.cluster)
            sync_nodes(hosted.cluster, sim, self._behaviour)
            if changed:
                hosted.controllers.sync_all()
        return hosted

    def refresh_all(self) -> None:
        """Look all known clusters up."""
        for place in list(self._hosted):
            self.refresh(place)

    def authenticate(self, hosted: Hosted, token: str) -> User:
        """The user of a bearer token.

        Raises:
            ApiError: 401.
        """
        user = self._directory.authenticate(hosted.sim, token) if token else None
        if user is None:
            raise ApiError(401, "Unauthorized")
        return user

    def behaviour_changed(self) -> None:
        """Bring all clusters in line with changed knobs."""
        for hosted in self._hosted.values():
            sync_nodes(hosted.cluster, hosted.sim, self._behaviour)
            hosted.controllers.sync_all()

    def objects(self, place: Place) -> list[Object]:
        """Every object of a cluster; none if it is unknown."""
        hosted = self.refresh(place)
        if hosted is None:
            return []
        store = hosted.cluster.store
        return [body for r in hosted.cluster.resources.storage_types() for body in store.select(r)]

    def _host(self, place: Place, sim: SimCluster) -> Hosted:
        cluster = Cluster(self._directory.network_of(sim))
        cluster.addons = sim.addons
        controllers = Controllers(cluster, self._behaviour, self._later, self._directory.cloud_of(sim))
        cluster.observers.append(controllers)
        _furnish(cluster)
        sync_driver(cluster)
        sync_nodes(cluster, sim, self._behaviour)
        self._hosted[place] = Hosted(sim, cluster, controllers)
        return self._hosted[place]

    def _forget(self, place: Place) -> None:
        hosted = self._hosted.pop(place)
        hosted.cluster.observers.clear()
        hosted.cluster.close()


def sync_driver(cluster: Cluster) -> None:
    """Register the driver of EBS as the add-on does, or take it away with the add-on."""
    drivers, name = BUILTIN["csidrivers"], "ebs.csi.aws.com"
    is_there = cluster.store.get(drivers, "", name) is not None
    if EBS_DRIVER in cluster.addons and not is_there:
        cluster.insert(drivers, "", {"metadata": {"name": name}, "spec": {"attachRequired": True}})
    elif is_there and EBS_DRIVER not in cluster.addons:
        cluster.delete(drivers, "", name)


def _furnish(cluster: Cluster) -> None:
    """What every new EKS cluster holds: its namespaces, and the storage class gp2, which is not a default."""
    for name in ("default", "kube-system", "kube-public", "kube-node-lease"):
        cluster.insert(NAMESPACES, "", {"metadata": {"name": name}})
    storage_class = {
        "metadata": {"name": "gp2"},
        "provisioner": "kubernetes.io/aws-ebs",
        "parameters": {"type": "gp2", "fsType": "ext4"},
        "volumeBindingMode": "WaitForFirstConsumer",
    }
    cluster.insert(BUILTIN["storageclasses"], "", storage_class)
