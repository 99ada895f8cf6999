"""The controllers that make things in the cloud: load balancers of Services, disks of claims, and finalizers.

A finalizer goes only when who owns it has removed what it stands for; who is gone removes nothing, and the
object stays. Who makes a load balancer: https://kubernetes-sigs.github.io/aws-load-balancer-controller
(annotations of Services); what holds claims and volumes: "Storage Object in Use Protection" in Kubernetes'
documentation, and the CSI provisioner's finalizer, https://github.com/kubernetes-csi/external-provisioner.
"""

from __future__ import annotations

import copy
import hashlib
import re
from typing import Any

from beta9_simulator.cluster.cluster import Cluster
from beta9_simulator.cluster.directory import EBS_DRIVER, ClusterCloud, LoadBalancer, Volume
from beta9_simulator.cluster.resources import BUILTIN, Resource
from beta9_simulator.cluster.scheduling import is_ready
from beta9_simulator.cluster.selectors import dig
from beta9_simulator.cluster.store import Object, name_of

SERVICES = BUILTIN["services"]
CLAIMS = BUILTIN["persistentvolumeclaims"]
VOLUMES = BUILTIN["persistentvolumes"]
CLOUD_PROVIDER_FINALIZER = "service.kubernetes.io/load-balancer-cleanup"
CONTROLLER_FINALIZER = "service.k8s.aws/resources"
CLAIM_FINALIZER = "kubernetes.io/pvc-protection"
VOLUME_FINALIZER = "kubernetes.io/pv-protection"
DRIVER_FINALIZER = "external-provisioner.volume.kubernetes.io/finalizer"
CONTROLLER = "aws-load-balancer-controller"
_PODS = BUILTIN["pods"]
_NODES = BUILTIN["nodes"]
_ANNOTATION = "service.beta.kubernetes.io/aws-load-balancer-"
_DRIVEN = ("ebs.csi.aws.com", "kubernetes.io/aws-ebs")
_OVER = ("Succeeded", "Failed")
_GIB = {"Ki": 1 / (1 << 20), "Mi": 1 / 1024, "Gi": 1, "Ti": 1024}


class CloudObjects:
    """Makes and removes what one cluster has in the cloud."""

    def __init__(self, cluster: Cluster, cloud: ClusterCloud) -> None:
        self._cluster = cluster
        self._cloud = cloud

    def load_balancer(self, service: Object) -> None:
        """Give a Service its load balancer, if who makes it is there."""
        wanted = _load_balancer(service)
        if not self._serves(wanted):
            return
        finalizer = CONTROLLER_FINALIZER if wanted.by_controller else CLOUD_PROVIDER_FINALIZER
        host = self._cloud.make_load_balancer(wanted)
        held = self._hold(SERVICES, service, finalizer)
        if host:
            self._cluster.set_status(SERVICES, held, {"loadBalancer": {"ingress": [{"hostname": host}]}})

    def release_service(self, service: Object) -> None:
        """Remove the load balancer of a Service that is being deleted, and let it go."""
        wanted = _load_balancer(service)
        held = CONTROLLER_FINALIZER if wanted.by_controller else CLOUD_PROVIDER_FINALIZER
        if held in (service["metadata"].get("finalizers") or []) and self._serves(wanted):
            self._cloud.remove_load_balancer(wanted.name)
            self._let_go(SERVICES, service, held)

    def release_claim(self, claim: Object) -> None:
        """Let a claim go that is being deleted, once no pod uses it."""
        namespace, name = name_of(claim)
        if not any(name in _claims_of(pod) for pod in self._cluster.store.select(_PODS, namespace)):
            self._let_go(CLAIMS, claim, CLAIM_FINALIZER)

    def release_volume(self, volume: Object) -> None:
        """Remove the disk of a volume that is being deleted, and let it go."""
        if self._claim_of(volume) is not None:
            return
        if DRIVER_FINALIZER in (volume["metadata"].get("finalizers") or []):
            if not self.drives(volume["metadata"]["annotations"]["pv.kubernetes.io/provisioned-by"]):
                return
            self._cloud.remove_volume(volume["metadata"]["name"])
        self._let_go(VOLUMES, volume, VOLUME_FINALIZER, DRIVER_FINALIZER)

    def drives(self, provisioner: str) -> bool:
        """Return whether who makes a class's volumes is there: EBS's driver needs a node that is ready."""
        if provisioner not in _DRIVEN:
            return True
        return EBS_DRIVER in self._cluster.addons and any(map(is_ready, self._cluster.store.select(_NODES)))

    def make_volume(self, claim: Object, storage_class: Object, name: str) -> Object:
        """Make the disk of a claim, and return the manifest of its volume."""
        namespace, claim_name = name_of(claim)
        spec, provisioner = claim["spec"], storage_class["provisioner"]
        finalizers = [VOLUME_FINALIZER]
        source: dict[str, Any] = {}
        if provisioner in _DRIVEN:
            encrypted = (storage_class.get("parameters") or {}).get("encrypted") == "true"
            gib = _gib(spec["resources"]["requests"]["storage"])
            disk = self._cloud.make_volume(Volume(name, namespace, claim_name, gib, encrypted))
            source = {"csi": {"driver": "ebs.csi.aws.com", "volumeHandle": disk}}
            if storage_class["reclaimPolicy"] == "Delete":
                finalizers.append(DRIVER_FINALIZER)
        return {
            "metadata": {
                "name": name,
                "annotations": {"pv.kubernetes.io/provisioned-by": provisioner},
                "finalizers": finalizers,
            },
            "spec": {
                "capacity": spec["resources"]["requests"],
                "accessModes": spec["accessModes"],
                "storageClassName": storage_class["metadata"]["name"],
                "persistentVolumeReclaimPolicy": storage_class["reclaimPolicy"],
                "claimRef": {"kind": "PersistentVolumeClaim", "namespace": namespace, "name": claim_name},
                **source,
            },
            "status": {"phase": "Bound"},
        }

    def _serves(self, wanted: LoadBalancer) -> bool:
        """Whether who makes such load balancers is there; Kubernetes' own cloud provider always is."""
        if not wanted.by_controller:
            return True
        return any(
            (pod["metadata"].get("labels") or {}).get("app.kubernetes.io/name") == CONTROLLER
            and is_ready(pod)
            for pod in self._cluster.store.select(_PODS)
        )

    def _claim_of(self, volume: Object) -> Object | None:
        reference = volume["spec"].get("claimRef") or {"namespace": "", "name": ""}
        claim = self._cluster.store.get(CLAIMS, reference["namespace"], reference["name"])
        bound = claim is not None and claim["spec"].get("volumeName") == volume["metadata"]["name"]
        return claim if bound else None

    def _hold(self, resource: Resource, body: Object, finalizer: str) -> Object:
        finalizers = body["metadata"].get("finalizers") or []
        if finalizer in finalizers:
            return body
        held = copy.deepcopy(body)
        held["metadata"]["finalizers"] = [*finalizers, finalizer]
        return self._cluster.replace(resource, body, held)

    def _let_go(self, resource: Resource, body: Object, *finalizers: str) -> None:
        present = body["metadata"].get("finalizers") or []
        kept = [one for one in present if one not in finalizers]
        if kept != present:
            free = copy.deepcopy(body)
            free["metadata"]["finalizers"] = kept
            self._cluster.replace(resource, body, free)


def _load_balancer(service: Object) -> LoadBalancer:
    metadata, spec = service["metadata"], service["spec"]
    annotations = metadata.get("annotations") or {}
    by_controller = (
        annotations.get(f"{_ANNOTATION}type") in ("external", "nlb-ip")
        or spec.get("loadBalancerClass") == "service.k8s.aws/nlb"
    )
    namespace, name = name_of(service)
    uid = metadata["uid"].replace("-", "")
    short = [re.sub("[^a-zA-Z0-9]", "", part)[:8] for part in (namespace, name)]
    digest = hashlib.sha256(uid.encode()).hexdigest()[:10]
    scheme = annotations.get(f"{_ANNOTATION}scheme", "internal" if by_controller else "internet-facing")
    internal = scheme == "internal" or annotations.get(f"{_ANNOTATION}internal") == "true"
    extra = annotations.get(f"{_ANNOTATION}additional-resource-tags", "")
    return LoadBalancer(
        name=f"k8s-{short[0]}-{short[1]}-{digest}" if by_controller else f"a{uid[:31]}",
        namespace=namespace,
        service=name,
        ports=tuple(port["port"] for port in spec.get("ports") or []),
        by_controller=by_controller,
        internal=internal,
        subnets=tuple(filter(None, annotations.get(f"{_ANNOTATION}subnets", "").replace(" ", "").split(","))),
        tags=dict(pair.split("=", 1) for pair in extra.split(",") if "=" in pair),
    )


def _claims_of(pod: Object) -> list[str]:
    """Names of the claims that a pod uses, unless it is over."""
    if dig(pod, "status.phase") in _OVER:
        return []
    volumes = pod["spec"].get("volumes") or []
    return [one["persistentVolumeClaim"]["claimName"] for one in volumes if "persistentVolumeClaim" in one]


def _gib(quantity: str) -> int:
    found = re.fullmatch(r"(\d+)(Ki|Mi|Gi|Ti)?", str(quantity))
    return max(1, round(int(found[1]) * _GIB.get(found[2], 1 / (1 << 30)))) if found else 1
