"""The owner of a cluster: makes it by genuine Terraform in a simulated account, and looks at it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.support.simulated import ACCOUNT, ROOT, World
from tests.support.waiting import GUARD_SECONDS

from beta9_provisioning.clouds.aws.signing import Credentials
from beta9_provisioning.clouds.aws.token import signed_token
from beta9_provisioning.engine.kubernetes.access import kubeconfig
from beta9_provisioning.local.tools import ensure_tools, find_terraform
from beta9_simulator.cloud.principals import Principal, add_principal

EXAMPLE = ROOT / "examples" / "existing-cluster"
CLUSTER, REGION = "team", "us-east-1"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/Beta9Provisioner"
# What changes without anybody's doing.
_PASSING = ("resourceVersion", "managedFields")


@dataclass
class Owner:
    """An administrator of the account, with Terraform, kubectl and Helm in a directory."""

    world: World
    home: Path

    def __post_init__(self) -> None:
        self._who = Principal(
            "AKIACLUSTEROWNER", "secret", "", f"arn:aws:iam::{ACCOUNT}:root", ACCOUNT, None, ""
        )
        add_principal(self.world.store, self._who)
        self._tools = ensure_tools(ROOT)

    def makes_the_example(self) -> None:
        """Apply the example's Terraform."""
        shutil.copytree(EXAMPLE, self.home, dirs_exist_ok=True)
        self.terraform("init", "-input=false")
        self.terraform("apply", "-auto-approve", "-input=false")

    def furnishes(self) -> None:
        """Add what an environment needs and Terraform does not make: a storage class, and who balances."""
        self.kubectl("apply", "-f", str(EXAMPLE / "storage-class.yaml"))
        self.installs(
            "aws-load-balancer-controller",
            "kube-system",
            clusterName=CLUSTER,
            region=REGION,
            vpcId=self.output("vpc_id"),
        )

    def installs(self, chart: str, namespace: str, name: str = "", **values: str) -> None:
        """Install one of the simulator's charts under a name of one's own."""
        told = [f"--set={key.replace('__', '.')}={value}" for key, value in values.items()]
        chart_of = f"{self.world.simulator.charts}/{chart}"
        where = ("--namespace", namespace, "--create-namespace", "--wait", "--timeout=60s")
        self.helm("install", name or chart, chart_of, *where, *told)

    def terraform(self, *arguments: str) -> str:
        """Run Terraform."""
        return self._run(str(find_terraform()), *arguments, "-no-color")

    def changes_nothing(self) -> bool:
        """Whether a plan finds everything as it was made."""
        return "No changes" in self.terraform("plan", "-input=false")

    def output(self, name: str) -> Any:
        """Return an output of Terraform."""
        return json.loads(self._run(str(find_terraform()), "output", "-json"))[name]["value"]

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl against the cluster."""
        return self._run(str(self._tools.kubectl), *arguments, stdin=stdin)

    def helm(self, *arguments: str) -> str:
        """Run Helm against the cluster."""
        return self._run(str(self._tools.helm), *arguments)

    def sees(self) -> dict[str, Any]:
        """Return every object of the cluster, of every kind, without what changes by itself."""
        kinds = self.kubectl("api-resources", "--verbs=list", "--output=name").split()
        found = json.loads(self.kubectl("get", ",".join(kinds), "--all-namespaces", "--output=json"))
        seen = {}
        for body in found["items"]:
            metadata = body["metadata"]
            for key in _PASSING:
                metadata.pop(key, None)
            seen["/".join((body["kind"], metadata.get("namespace", ""), metadata["name"]))] = body
        return seen

    def has(self) -> dict[str, Any]:
        """Return all that is in the account, with its state."""
        return {
            f"{one.type} {one.id}": {**one.state, "tags": one.tags}
            for one in self.world.store.find()
            if one.origin != "seed"
        }

    def _run(self, program: str, *arguments: str, stdin: str | None = None) -> str:
        config = self.home / "kubeconfig"
        if program != str(find_terraform()):
            config.write_text(self._kubeconfig())
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "KUBECONFIG": str(config),
            "AWS_ACCESS_KEY_ID": self._who.access_key,
            "AWS_SECRET_ACCESS_KEY": self._who.secret_key,
            "AWS_ENDPOINT_URL": self.world.simulator.aws_url,
            "AWS_EC2_METADATA_DISABLED": "true",
            "CHECKPOINT_DISABLE": "1",
            "TF_CLI_CONFIG_FILE": self.world.simulator.terraform_cli_config,
        }
        done = subprocess.run(
            [program, *arguments],
            cwd=self.home,
            env=environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=GUARD_SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout

    def _kubeconfig(self) -> str:
        [cluster] = self.world.store.find("aws_eks_cluster", name=CLUSTER)
        token = signed_token(
            Credentials(self._who.access_key, self._who.secret_key, None),
            endpoint=self.world.simulator.aws_url,
            region=REGION,
            cluster=CLUSTER,
            at=datetime.now(UTC),
        )
        authority = cluster.state["certificate_authority"][0]["data"]
        user: dict[str, object] = {"token": token.value}
        return json.dumps(kubeconfig(CLUSTER, cluster.state["endpoint"], authority, user))
