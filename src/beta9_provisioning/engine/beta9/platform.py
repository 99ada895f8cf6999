"""What the charts must know of the cloud that their cluster is in."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class StorageClass:
    """A class of volumes that the cloud's storage driver makes; `parameters` are the driver's own."""

    name: str
    provisioner: str
    parameters: Mapping[str, str]


@dataclass(frozen=True)
class Platform:
    """One cloud, as the charts see it.

    Attributes:
        storage_class: of the volumes that Beta9 keeps data on.
        load_balancer_annotations: make the ingress controller's Service get the right kind of load balancer.
        object_store_url: URL of the object store's API in the environment's region.
        bucket_url: returns the URL of a bucket from its name.
    """

    storage_class: StorageClass
    load_balancer_annotations: Mapping[str, str]
    object_store_url: str
    bucket_url: Callable[[str], str]
