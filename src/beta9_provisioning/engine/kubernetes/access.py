"""How a cluster's Kubernetes API is reached: endpoint, authority, and tokens that do not live long."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

EXEC_API = "client.authentication.k8s.io/v1"


@dataclass(frozen=True)
class Token:
    """A bearer token of a cluster and the time (UTC) until which it may be used."""

    value: str
    expires_at: datetime

    def __repr__(self) -> str:
        return f"Token(value=<secret>, expires_at={self.expires_at!r})"


@dataclass(frozen=True)
class ClusterAccess:
    """How to reach a cluster's Kubernetes API.

    Attributes:
        name: the cluster's name.
        endpoint: URL of the API.
        certificate_authority: the API's authority, PEM in base64 as kubeconfig wants it.
        token: makes a new token.
        network_id: of the network that the cluster is in, in the cloud's own words.
    """

    name: str
    endpoint: str
    certificate_authority: str
    token: Callable[[], Token]
    network_id: str = ""

    def kubeconfig(self) -> str:
        """Return a kubeconfig (JSON, which is YAML too) with a new token. It is a secret for 15 minutes."""
        user: dict[str, object] = {"token": self.token().value}
        return json.dumps(kubeconfig(self.name, self.endpoint, self.certificate_authority, user))


def exec_credential(token: Token) -> dict[str, object]:
    """Return the ExecCredential document with which a kubeconfig's exec plugin answers kubectl."""
    return {
        "apiVersion": EXEC_API,
        "kind": "ExecCredential",
        "spec": {},
        "status": {
            "expirationTimestamp": token.expires_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "token": token.value,
        },
    }


def kubeconfig(
    name: str, endpoint: str, certificate_authority: str, user: dict[str, object]
) -> dict[str, object]:
    """Return a kubeconfig with one cluster, under the cluster's name; `user` says who one is there."""
    cluster = {"server": endpoint, "certificate-authority-data": certificate_authority}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": cluster}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "current-context": name,
    }
