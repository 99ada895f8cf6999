"""A directory of simulated clusters that tests fill by hand, and the genuine clients pointed at a server."""

from __future__ import annotations

import base64
import json
import os
import ssl
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tests.support.waiting import GUARD_SECONDS

from beta9_provisioning.local.tools import Tools
from beta9_simulator.cluster.cluster import Cluster
from beta9_simulator.cluster.directory import LoadBalancer, SimCluster, SimNode, User, Volume
from beta9_simulator.cluster.server import ClusterServer

ROOT = Path(__file__).resolve().parents[2]
ACCOUNT, REGION, TOKEN = "123456789012", "us-east-1", "let-me-in"


def node(name: str, **labels: str) -> SimNode:
    return SimNode(name, labels, [], "m5.large")


@dataclass
class StaticNetwork:
    """Hosts and their addresses; by default nobody holds pods to network policies."""

    enforcing: bool = False
    hosts: dict[str, str] = field(default_factory=dict)

    def enforces_policies(self) -> bool:
        return self.enforcing

    def address_of(self, host: str) -> str | None:
        return self.hosts.get(host)


@dataclass(frozen=True)
class Leftover:
    """A load balancer or volume that a cluster has made in the cloud."""

    kind: str
    namespace: str
    name: str


class MemoryCloud:
    """The cloud of a cluster, which keeps what is made in it."""

    def __init__(self) -> None:
        self.made: dict[str, Leftover] = {}

    def make_load_balancer(self, wanted: LoadBalancer) -> str:
        self.made[wanted.name] = Leftover("LoadBalancer", wanted.namespace, wanted.service)
        return f"{wanted.name}.elb.{REGION}.amazonaws.com"

    def remove_load_balancer(self, name: str) -> None:
        self.made.pop(name, None)

    def make_volume(self, wanted: Volume) -> str:
        self.made[wanted.name] = Leftover("Volume", wanted.namespace, wanted.claim)
        return f"vol-{len(self.made)}"

    def remove_volume(self, name: str) -> None:
        self.made.pop(name, None)


class StaticDirectory:
    """Clusters by name in one account and region; one token opens them all, and all have one cloud."""

    def __init__(self) -> None:
        self.cloud = MemoryCloud()
        self.network = StaticNetwork()
        self._clusters: dict[tuple[str, str, str], SimCluster] = {}
        self._lock = threading.Lock()

    def put(self, name: str, **fields: Any) -> SimCluster:
        """Add a cluster, or change the one of that name."""
        with self._lock:
            key = (ACCOUNT, REGION, name)
            nodes = (node("node-1"), node("node-2"))
            fresh = SimCluster(name, ACCOUNT, REGION, "1.34", True, nodes, f"uid-{name}")
            self._clusters[key] = replace(self._clusters.get(key, fresh), **fields)
            return self._clusters[key]

    def drop(self, name: str) -> None:
        with self._lock:
            del self._clusters[(ACCOUNT, REGION, name)]

    def find(self, account: str, region: str, name: str) -> SimCluster | None:
        with self._lock:
            return self._clusters.get((account, region, name))

    def network_of(self, cluster: SimCluster) -> StaticNetwork:
        return self.network

    def authenticate(self, cluster: SimCluster, token: str) -> User | None:
        return User("tester") if token == TOKEN else None

    def cloud_of(self, cluster: SimCluster) -> MemoryCloud:
        return self.cloud

    def leftovers(self) -> list[Leftover]:
        """What clusters have made in the cloud, past ones included."""
        return list(self.cloud.made.values())


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


@dataclass(frozen=True)
class Kube:
    """One cluster, and the clients that talk to it."""

    server: ClusterServer
    directory: StaticDirectory
    tools: Tools
    home: Path
    name: str
    token: str = TOKEN

    @property
    def endpoint(self) -> str:
        return self.server.endpoint(ACCOUNT, REGION, self.name)

    @property
    def kubeconfig(self) -> Path:
        cluster = {
            "server": self.endpoint,
            "certificate-authority-data": base64.b64encode(self.server.ca_pem.encode()).decode(),
        }
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": "test", "user": {"token": self.token}}],
        }
        # Clients that run at the same time must never see half a file.
        path = self.home / f"{self.name}-{self.token}.kubeconfig"
        draft = path.with_suffix(f".{threading.get_ident()}")
        draft.write_text(json.dumps(config))
        return draft.replace(path)

    def run(
        self, program: Path, *arguments: str, stdin: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(program), *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=GUARD_SECONDS,
            check=False,
            cwd=self.home,
            env={"KUBECONFIG": str(self.kubeconfig), "HOME": str(self.home), "PATH": os.environ["PATH"]},
        )

    def helm(self, *arguments: str) -> str:
        done = self.run(self.tools.helm, *arguments)
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        done = self.run(self.tools.kubectl, *arguments, stdin=stdin)
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout

    def http(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """A plain HTTP request; ``body`` may be bytes, or anything that becomes JSON."""
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        sent = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        sent |= {key.replace("_", "-"): value for key, value in headers.items()}
        request = urllib.request.Request(self.endpoint + path, data=data, method=method, headers=sent)
        context = ssl.create_default_context(cadata=self.server.ca_pem)
        try:
            with urllib.request.urlopen(request, context=context, timeout=GUARD_SECONDS) as response:
                return Answer(response.status, dict(response.headers), response.read().decode())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, dict(error.headers), error.read().decode())

    def inside(self, function: Callable[[Cluster], object]) -> None:
        """Run a function on the cluster in the server's thread, where a thousand requests are too slow."""
        server = self.server
        server._call(lambda: function(server._hosting.reach((ACCOUNT, REGION, self.name)).cluster))

    def objects(self, kind: str) -> dict[str, dict[str, Any]]:
        """Objects of a kind in the cluster, by name."""
        found = self.server.objects(ACCOUNT, REGION, self.name)
        return {body["metadata"]["name"]: body for body in found if body["kind"] == kind}
