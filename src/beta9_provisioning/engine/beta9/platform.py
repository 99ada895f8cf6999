"""What the charts must know of the cloud that their cluster is in, and of a cluster that others use, too."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

TRAEFIK, CERT_MANAGER, METRICS_SERVER = "traefik", "cert-manager", "metrics-server"
BASE_CHARTS = (TRAEFIK, CERT_MANAGER, METRICS_SERVER)


@dataclass(frozen=True)
class StorageClass:
    """A class of volumes that the cloud's storage driver makes; `parameters` are the driver's own.

    One that `is_found` is the cluster's, and is used as it is.
    """

    name: str
    provisioner: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)
    is_found: bool = False


@dataclass(frozen=True)
class Ingress:
    """Who serves the environment's Ingresses.

    Attributes:
        class_name: of the Ingresses.
        namespace: of the Service whose load balancer receives the traffic.
        service: the name of that.
        controller: what it calls itself in its IngressClass; empty for that of our own chart.
    """

    class_name: str
    namespace: str
    service: str
    controller: str = ""


@dataclass(frozen=True)
class SharedCluster:
    """A cluster of the user's, into which an environment was put.

    Attributes:
        since: the UTC time from which on something there may be the environment's; empty for any.
    """

    name: str
    since: str = ""


@dataclass(frozen=True)
class Shared:
    """A cluster that was there before, and that others use, too.

    Attributes:
        charts: those of the base charts that were missing there, and are ours.
        ingress: of the controller that was found; None when ours serves.
    """

    charts: frozenset[str]
    ingress: Ingress | None = None


@dataclass(frozen=True)
class Platform:
    """One cloud, as the charts see it.

    Attributes:
        storage_class: of the volumes that Beta9 keeps data on.
        load_balancer_annotations: make the ingress controller's Service get the right kind of load balancer.
        object_store_url: URL of the object store's API in the environment's region.
        bucket_url: returns the URL of a bucket from its name.
        shared: what was found in a cluster of the user's; None in one that the environment has for itself.
    """

    storage_class: StorageClass
    load_balancer_annotations: Mapping[str, str]
    object_store_url: str
    bucket_url: Callable[[str], str]
    shared: Shared | None = None
