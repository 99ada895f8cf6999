"""Kinds of objects in a cluster, and where its API has them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """A kind of object; `root` is the path of its API group's version."""

    name: str
    root: str
    plural: str

    def all(self) -> str:
        """Return the path of all objects of the kind, in all namespaces."""
        return f"{self.root}/{self.plural}"

    def inside(self, namespace: str) -> str:
        """Return the path of a namespace's objects of the kind; of all without one."""
        return f"{self.root}/namespaces/{namespace}/{self.plural}" if namespace else self.all()

    def one(self, namespace: str, name: str) -> str:
        """Return the path of one object, in a namespace if its kind has such."""
        return f"{self.inside(namespace)}/{name}"


NODE = Kind("Node", "/api/v1", "nodes")
NAMESPACE = Kind("Namespace", "/api/v1", "namespaces")
POD = Kind("Pod", "/api/v1", "pods")
SECRET = Kind("Secret", "/api/v1", "secrets")
SERVICE = Kind("Service", "/api/v1", "services")
CLAIM = Kind("PersistentVolumeClaim", "/api/v1", "persistentvolumeclaims")
VOLUME = Kind("PersistentVolume", "/api/v1", "persistentvolumes")
JOB = Kind("Job", "/apis/batch/v1", "jobs")
DEPLOYMENT = Kind("Deployment", "/apis/apps/v1", "deployments")
INGRESS = Kind("Ingress", "/apis/networking.k8s.io/v1", "ingresses")
INGRESS_CLASS = Kind("IngressClass", "/apis/networking.k8s.io/v1", "ingressclasses")
NETWORK_POLICY = Kind("NetworkPolicy", "/apis/networking.k8s.io/v1", "networkpolicies")
STORAGE_CLASS = Kind("StorageClass", "/apis/storage.k8s.io/v1", "storageclasses")
CSI_DRIVER = Kind("CSIDriver", "/apis/storage.k8s.io/v1", "csidrivers")
API_SERVICE = Kind("APIService", "/apis/apiregistration.k8s.io/v1", "apiservices")
DEFINITION = Kind("CustomResourceDefinition", "/apis/apiextensions.k8s.io/v1", "customresourcedefinitions")
