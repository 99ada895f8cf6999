"""The baseline of `overhead`: the shell script `bare.sh` with everything that it needs, and the way back."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import threading
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.processes import run
from benchmarks.stacks import ROOT
from beta9_provisioning.clouds.aws.account import AwsAccount, AwsTarget
from beta9_provisioning.clouds.aws.cluster_access import sign_token
from beta9_provisioning.clouds.aws.names import names
from beta9_provisioning.clouds.aws.session import AwsSession
from beta9_provisioning.clouds.registry import cloud_of
from beta9_provisioning.clouds.synthesis import new_synthesizer
from beta9_provisioning.engine.beta9.database_user import ADMIN_SECRET
from beta9_provisioning.engine.beta9.generated_secrets import SECRET_NAME, GeneratedSecrets
from beta9_provisioning.engine.beta9.releases import BETA9_NAMESPACE, base_releases, beta9_release
from beta9_provisioning.engine.helm.helm import Helm
from beta9_provisioning.engine.helm.release import Release
from beta9_provisioning.engine.kubernetes.access import ClusterAccess
from beta9_provisioning.engine.kubernetes.kubernetes import Kubernetes
from beta9_provisioning.engine.synthesis.subject import Subject
from beta9_provisioning.engine.terraform.terraform import Terraform
from beta9_provisioning.local import variables
from beta9_provisioning.local.tools import ensure_tools, find_terraform
from beta9_provisioning.schemas.configuration import EnvironmentConfig
from beta9_simulator.handle import Simulator

_SCRIPT = Path(__file__).with_name("bare.sh")
_DESTROY_SECONDS = 300.0


@dataclass(frozen=True)
class Rehearsal:
    """What an earlier environment of the same configuration tells about the next one.

    Attributes:
        environment_id: that environment.
        outputs: its outputs; names in them contain its own.
    """

    environment_id: str
    outputs: Mapping[str, Any]

    def outputs_of(self, environment_id: str) -> dict[str, Any]:
        """Return what the outputs of another environment will be; host names differ in a random part."""
        own, other = (names(one).stem.removeprefix("beta9-") for one in (self.environment_id, environment_id))
        document: dict[str, Any] = json.loads(json.dumps(dict(self.outputs)).replace(own, other))
        return document


class Bare:
    """One environment that the script makes; `prepare` and `clean_up` are no part of what is measured."""

    def __init__(
        self,
        environment_id: str,
        config: EnvironmentConfig,
        simulator: Simulator,
        rehearsal: Rehearsal,
        directory: Path,
    ) -> None:
        self._id = environment_id
        self._config = config
        self._directory = directory
        self._charts = simulator.charts
        self._stop = threading.Event()
        self._outputs = rehearsal.outputs_of(environment_id)
        tools = ensure_tools(ROOT)
        search_path = os.pathsep.join([os.environ["PATH"], str(tools.helm.parent)])
        self._programs = variables.Programs(find_terraform(search_path), tools.helm, tools.kubectl)
        self._env = {
            **variables.base(self._programs),
            **variables.cloud(simulator),
            "TF_CLI_CONFIG_FILE": simulator.terraform_cli_config,
            "CHECKPOINT_DISABLE": "1",
            # Terraform has it from here, and Valkey's user from Terraform.
            "TF_VAR_redis_password": GeneratedSecrets.generate().database_password,
        }
        cloud = config.cloud
        role, external_id = cloud.role_arn or "", cloud.external_id
        target = AwsTarget(
            environment_id, cloud.account_id or "", cloud.region, role, external_id, s3_path_style=True
        )
        self._cloud = AwsAccount(target, self._stop)
        session = AwsSession(
            region=cloud.region, role_arn=role, external_id=external_id, session_name="benchmark"
        )
        cluster = names(environment_id).cluster
        self._access = ClusterAccess(
            cluster,
            self._outputs["cluster_endpoint"],
            self._outputs["cluster_ca"],
            lambda: sign_token(session, cluster),
        )

    @property
    def _releases(self) -> tuple[Release, ...]:
        generated = GeneratedSecrets.generate()
        platform = cloud_of(self._config.cloud).platform(self._config)
        beta9 = beta9_release(self._config, platform, self._outputs, generated)
        return (*base_releases(self._config, platform), beta9)

    def prepare(self) -> None:
        """Make the state bucket, the stack, the values and the kubeconfig."""
        inputs = self._directory / "inputs"
        inputs.mkdir(parents=True)
        backend = self._cloud.ensure_state_backend()
        with new_synthesizer() as synthesizer:
            subject = Subject(
                self._config, self._id, self._cloud.choose(self._config), backend, ("203.0.113.0/24",)
            )
            self._stack = synthesizer.synthesize(subject, self._directory / "cdktf.out", self._stop)
        lines = []
        (inputs / "secrets.json").write_text(json.dumps(_secrets()))
        for release in self._releases:
            (inputs / f"{release.name}.values.json").write_text(json.dumps(release.values))
            lines.append(f"{release.name} {release.namespace} {release.timeout:.0f}s\n")
        (inputs / "releases").write_text("".join(lines))
        (self._directory / "kubeconfig").write_text(self._access.kubeconfig())

    def run(self) -> dict[str, float]:
        """Run the script and return the seconds of each command, by its name.

        Raises:
            BenchmarkFailed: a command failed.
        """
        marks = self._directory / "marks"
        env = {
            **self._env,
            "TERRAFORM": str(self._programs.terraform),
            "HELM": str(self._programs.helm),
            "KUBECTL": str(self._programs.kubectl),
            "KUBECONFIG": str(self._directory / "kubeconfig"),
            "HOME": str(self._directory),
        }
        arguments = [self._stack, self._charts, self._directory / "inputs", marks]
        run(["bash", str(_SCRIPT), *map(str, arguments)], cwd=self._directory, env=env)
        times = [(line.split()[0], float(line.split()[1])) for line in marks.read_text().splitlines()]
        pairs = itertools.pairwise(times)
        return {name: ended - began for (_, began), (name, ended) in pairs}

    def clean_up(self) -> None:
        """Delete everything that `prepare` and `run` have made."""
        helm = Helm(
            binary=self._programs.helm,
            directory=self._directory,
            kubeconfig=self._access.kubeconfig,
            env=self._env,
            stop=self._stop,
            chart_source=self._charts,
        )
        with closing(Kubernetes(self._access, self._stop)) as kubernetes:
            kubernetes.remove_load_balancers()
            for release in reversed(self._releases):
                helm.uninstall(release.name, release.namespace)
            kubernetes.remove_volumes()
        terraform = Terraform(
            binary=self._programs.terraform,
            directory=self._stack,
            env=self._env,
            stop=self._stop,
            on_event=lambda _: None,
        )
        self._cloud.lift_protection(_DESTROY_SECONDS)
        is_last = cloud_of(self._config.cloud).is_deleted_last
        first = [one for one in terraform.resources() if not is_last(one.split(".", 1)[0])]
        terraform.destroy(_DESTROY_SECONDS, first)
        self._cloud.sweep(_DESTROY_SECONDS)
        terraform.destroy(_DESTROY_SECONDS)
        self._cloud.purge_state()
        shutil.rmtree(self._directory)


def _secrets() -> dict[str, Any]:
    """Return Beta9's namespace, and the Secrets that the Job for its database user reads."""
    contents = {ADMIN_SECRET: {"username": "beta9", "password": "beta9"}}
    contents[SECRET_NAME] = asdict(GeneratedSecrets.generate())
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": BETA9_NAMESPACE}}
    secrets = [
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": BETA9_NAMESPACE},
            "stringData": data,
        }
        for name, data in contents.items()
    ]
    return {"apiVersion": "v1", "kind": "List", "items": [namespace, *secrets]}
