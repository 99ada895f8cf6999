"""The resource types a cluster serves: the built-in ones, and those its CustomResourceDefinitions add."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")

# apiVersion, plural, kind, N(amespaced) or C(luster), short names, subresources ("-" for none).
_BUILTIN = """
v1 namespaces Namespace C ns status,finalize
v1 nodes Node C no status
v1 pods Pod N po status,log,eviction
v1 services Service N svc status
v1 endpoints Endpoints N ep -
v1 configmaps ConfigMap N cm -
v1 secrets Secret N - -
v1 serviceaccounts ServiceAccount N sa token
v1 persistentvolumeclaims PersistentVolumeClaim N pvc status
v1 persistentvolumes PersistentVolume C pv status
v1 events Event N ev -
v1 resourcequotas ResourceQuota N quota status
v1 limitranges LimitRange N limits -
v1 replicationcontrollers ReplicationController N rc status,scale
apps/v1 deployments Deployment N deploy status,scale
apps/v1 replicasets ReplicaSet N rs status,scale
apps/v1 statefulsets StatefulSet N sts status,scale
apps/v1 daemonsets DaemonSet N ds status
apps/v1 controllerrevisions ControllerRevision N - -
batch/v1 jobs Job N - status
batch/v1 cronjobs CronJob N cj status
networking.k8s.io/v1 ingresses Ingress N ing status
networking.k8s.io/v1 ingressclasses IngressClass C - -
networking.k8s.io/v1 networkpolicies NetworkPolicy N netpol -
policy/v1 poddisruptionbudgets PodDisruptionBudget N pdb status
autoscaling/v2 horizontalpodautoscalers HorizontalPodAutoscaler N hpa status
rbac.authorization.k8s.io/v1 roles Role N - -
rbac.authorization.k8s.io/v1 rolebindings RoleBinding N - -
rbac.authorization.k8s.io/v1 clusterroles ClusterRole C - -
rbac.authorization.k8s.io/v1 clusterrolebindings ClusterRoleBinding C - -
apiextensions.k8s.io/v1 customresourcedefinitions CustomResourceDefinition C crd,crds status
admissionregistration.k8s.io/v1 validatingwebhookconfigurations ValidatingWebhookConfiguration C - -
admissionregistration.k8s.io/v1 mutatingwebhookconfigurations MutatingWebhookConfiguration C - -
apiregistration.k8s.io/v1 apiservices APIService C - status
storage.k8s.io/v1 storageclasses StorageClass C sc -
storage.k8s.io/v1 csidrivers CSIDriver C - -
node.k8s.io/v1 runtimeclasses RuntimeClass C - -
scheduling.k8s.io/v1 priorityclasses PriorityClass C pc -
coordination.k8s.io/v1 leases Lease N - -
discovery.k8s.io/v1 endpointslices EndpointSlice N - -
authorization.k8s.io/v1 selfsubjectaccessreviews SelfSubjectAccessReview C - -
authentication.k8s.io/v1 selfsubjectreviews SelfSubjectReview C - -
"""
_IN_CATEGORY_ALL = {
    "pods",
    "services",
    "deployments",
    "replicasets",
    "statefulsets",
    "daemonsets",
    "jobs",
    "cronjobs",
    "replicationcontrollers",
    "horizontalpodautoscalers",
}


@dataclass(frozen=True)
class Column:
    """A column that ``kubectl get`` prints; ``path`` is dotted, as in ``.spec.size``."""

    name: str
    path: str


@dataclass(frozen=True)
class Resource:
    """One resource type in one API version."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool
    short_names: tuple[str, ...] = ()
    subresources: tuple[str, ...] = ()
    columns: tuple[Column, ...] = ()
    custom: bool = False

    @property
    def group_version(self) -> str:
        """``apps/v1``, or ``v1`` for the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def key(self) -> tuple[str, str]:
        """Identifies the type across its API versions: they share their objects."""
        return (self.group, self.plural)

    @property
    def label(self) -> str:
        """How messages name the type: ``deployments.apps``."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def categories(self) -> tuple[str, ...]:
        """``kubectl get all`` asks for the category ``all``."""
        return ("all",) if not self.custom and self.plural in _IN_CATEGORY_ALL else ()

    @property
    def virtual(self) -> bool:
        """A question asked by POST; nothing is stored."""
        return self.group in ("authorization.k8s.io", "authentication.k8s.io")


def _parse(line: str) -> Resource:
    group_version, plural, kind, scope, short, subresources = line.split()
    group, _, version = group_version.rpartition("/")
    return Resource(
        group=group,
        version=version,
        plural=plural,
        kind=kind,
        namespaced=scope == "N",
        short_names=_words(short),
        subresources=_words(subresources),
    )


def _words(text: str) -> tuple[str, ...]:
    return () if text == "-" else tuple(text.split(","))


BUILTIN: dict[str, Resource] = {r.plural: r for r in map(_parse, _BUILTIN.strip().splitlines())}


class ResourceTable:
    """The types that one cluster serves at the moment."""

    def __init__(self) -> None:
        self._types = {(r.group_version, r.plural): r for r in BUILTIN.values()}

    def get(self, group_version: str, plural: str) -> Resource | None:
        """The type served at that place of the API."""
        return self._types.get((group_version, plural))

    def of_kind(self, group_version: str, kind: str) -> Resource | None:
        """The type whose objects say that they are of that version and kind."""
        types = (r for r in self._types.values() if (r.group_version, r.kind) == (group_version, kind))
        return next(types, None)

    def all(self) -> list[Resource]:
        """Every type, in the order of registration."""
        return list(self._types.values())

    def storage_types(self) -> list[Resource]:
        """One type for each kind of object that is stored: API versions of a kind count once."""
        return list({r.key: r for r in self.all() if not r.virtual}.values())

    def add_custom(self, definition: dict[str, Any]) -> None:
        """Serve what a CustomResourceDefinition describes, instead of what an earlier form of it did."""
        self.remove_custom(definition)
        spec = definition["spec"]
        names = spec["names"]
        for version in spec["versions"]:
            if not version.get("served"):
                continue
            enabled = version.get("subresources") or {}
            columns = version.get("additionalPrinterColumns") or []
            resource = Resource(
                group=spec["group"],
                version=version["name"],
                plural=names["plural"],
                kind=names["kind"],
                namespaced=spec["scope"] == "Namespaced",
                short_names=tuple(names.get("shortNames") or ()),
                subresources=tuple(name for name in ("status", "scale") if name in enabled),
                columns=tuple(Column(c["name"], c["jsonPath"]) for c in columns),
                custom=True,
            )
            self._types[(resource.group_version, resource.plural)] = resource

    def remove_custom(self, definition: dict[str, Any]) -> None:
        """Stop serving the types of a CustomResourceDefinition."""
        key = (definition["spec"]["group"], definition["spec"]["names"]["plural"])
        for place in [place for place, r in self._types.items() if r.custom and r.key == key]:
            del self._types[place]
