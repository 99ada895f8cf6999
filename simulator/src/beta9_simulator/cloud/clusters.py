"""The cloud's clusters as the simulated Kubernetes API sees them: nodes, and who a token belongs to."""

import base64
import binascii
import datetime
import re
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from beta9_simulator.cloud import sigv4
from beta9_simulator.cloud.cluster_network import StoreNetwork
from beta9_simulator.cloud.controllers import StoreCloud
from beta9_simulator.cloud.eks_rules import has_entries
from beta9_simulator.cloud.machines import machines
from beta9_simulator.cloud.principals import Principal, authenticate
from beta9_simulator.cloud.rules import CloudError
from beta9_simulator.cloud.store import API_URL, Store, StoredObject
from beta9_simulator.cluster.directory import SimCluster, SimNode, User

_TOKEN_PREFIX = "k8s-aws-v1."  # noqa: S105 - says only what kind of token follows
_CLUSTER_HEADER = "x-k8s-aws-id"
# EKS takes a token for 15 minutes from its signing, whatever X-Amz-Expires says (aws-iam-authenticator,
# token.go).
_TOKEN_SECONDS = 15 * 60
_CLOCK_SKEW_SECONDS = 5 * 60
_STS_HOST = re.compile(r"sts(\.[a-z0-9-]+)?\.amazonaws\.com")
_EFFECTS = {
    "NO_SCHEDULE": "NoSchedule",
    "PREFER_NO_SCHEDULE": "PreferNoSchedule",
    "NO_EXECUTE": "NoExecute",
}


class StoreClusters:
    """A directory of the clusters in a store (see ``cluster.directory.ClusterDirectory``)."""

    def __init__(self, store: Store, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._clock = clock

    def find(self, account: str, region: str, name: str) -> SimCluster | None:
        """Return a cluster as it is now, or None; its nodes are those of available node groups."""
        found = self._stored(account, region, name)
        if found is None:
            return None
        groups = self._store.find("aws_eks_node_group", account=account, region=region)
        addons = self._store.find("aws_eks_addon", account=account, region=region)
        return SimCluster(
            name=name,
            account=account,
            region=region,
            version=str(found.state["version"]),
            active=found.status in ("available", "updating"),
            nodes=tuple(
                node
                for group in groups
                if group.state["cluster_name"] == name and group.status in ("available", "updating")
                if "failed" not in group.state
                for node in _nodes(self._store, group)
            ),
            uid=found.uid,
            addons=frozenset(
                addon.state["addon_name"]
                for addon in addons
                if addon.state["cluster_name"] == name and addon.status == "available"
            ),
        )

    def network_of(self, cluster: SimCluster) -> StoreNetwork:
        """Return the network around a cluster."""
        return StoreNetwork(self._store, cluster)

    def authenticate(self, cluster: SimCluster, token: str) -> User | None:
        """Return the user of an EKS bearer token, or None when it opens this cluster to nobody.

        The token is a presigned GetCallerIdentity URL: its signature must be good, its age at most 15
        minutes, the cluster's name must be signed with it, and its principal must have an access entry of the
        cluster. Who has no access policy beside may look at nothing.
        """
        message = _message(token, cluster.name)
        signature = sigv4.read_signature(message) if message else None
        if message is None or signature is None or not self._is_acceptable(message, signature):
            return None
        try:
            principal = authenticate(self._store, signature.access_key, signature.session_token)
        except CloudError:
            return None
        if not sigv4.is_valid(signature, message, principal.secret_key):
            return None
        found = self._stored(cluster.account, cluster.region, cluster.name)
        return self._user(found, principal) if found and found.uid == cluster.uid else None

    def _user(self, found: StoredObject, principal: Principal) -> User | None:
        if principal.identity == found.creator and _creator_is_admin(found.state):
            return User(principal.arn)
        if not (has_entries(found.state) and self._has("aws_eks_access_entry", found, principal)):
            return None
        return User(principal.arn, self._has("aws_eks_access_policy_association", found, principal))

    def cloud_of(self, cluster: SimCluster) -> StoreCloud:
        """Return the cloud as the cluster's controllers use it."""
        return StoreCloud(self._store, cluster)

    def _stored(self, account: str, region: str, name: str) -> StoredObject | None:
        found = self._store.find("aws_eks_cluster", account=account, region=region, name=name)
        return found[0] if found else None

    def _is_acceptable(self, message: sigv4.Message, signature: sigv4.Signature) -> bool:
        url = urlsplit(message.url)
        door = urlsplit(self._store.setting(API_URL)).netloc
        right_place = url.netloc == door or _STS_HOST.fullmatch(url.netloc) is not None
        right_call = "Action=GetCallerIdentity" in url.query.split("&")
        return (
            right_place
            and right_call
            and signature.service == "sts"
            and signature.presigned
            and {"host", _CLUSTER_HEADER} <= set(signature.signed_headers)
            and _is_fresh(signature.at, self._clock())
        )

    def _has(self, type: str, cluster: StoredObject, principal: Principal) -> bool:
        return any(
            item.state["cluster_name"] == cluster.name and item.state["principal_arn"] == principal.identity
            for item in self._store.find(type, account=cluster.account, region=cluster.region)
        )


def _nodes(store: Store, group: StoredObject) -> list[SimNode]:
    state = group.state
    labels = {
        **(state["labels"] or {}),
        "eks.amazonaws.com/nodegroup": group.name,
        "eks.amazonaws.com/capacityType": state["capacity_type"],
    }
    taints = [
        {"key": taint["key"], "value": taint["value"] or "", "effect": _EFFECTS[taint["effect"]]}
        for taint in state["taint"]
    ]
    return [
        SimNode(
            name=name,
            labels=labels,
            taints=taints,
            instance_type=state["instance_types"][0],
            instance_id=instance_id,
            zone=zone,
        )
        for name, instance_id, zone in machines(store, group)
    ]


def _creator_is_admin(state: dict[str, Any]) -> bool:
    access = (state["access_config"] or [{}])[0]
    return access.get("bootstrap_cluster_creator_admin_permissions") is not False


def _message(token: str, cluster: str) -> sigv4.Message | None:
    """The presigned request inside a token, as the cluster would send it to STS, or None."""
    encoded = token.removeprefix(_TOKEN_PREFIX)
    if encoded == token:
        return None
    try:
        url = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode()
        host = urlsplit(url).netloc
    except (binascii.Error, ValueError):
        return None
    return sigv4.Message("GET", url, {"host": host, _CLUSTER_HEADER: cluster})


def _is_fresh(at: str, now: float) -> bool:
    try:
        signed = datetime.datetime.strptime(at, "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.UTC)
    except ValueError:
        return False
    return -_CLOCK_SKEW_SECONDS <= now - signed.timestamp() <= _TOKEN_SECONDS
