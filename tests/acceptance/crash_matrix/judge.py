"""The judge: it looks at cloud, clusters, processes and history, and believes no status of ours."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from tests.acceptance.crash_matrix.journal import Attempt, Event, Journal
from tests.acceptance.crash_matrix.plant import Plant
from tests.acceptance.crash_matrix.processes import Found
from tests.acceptance.crash_matrix.strikes import OTHER_NETWORK
from tests.support.simulated import ACCOUNT, EXTERNAL_ID
from tests.support.waiting import GUARD_SECONDS

from beta9_provisioning.local import variables
from beta9_provisioning.local.processes import wait_until

_REGION = "us-east-1"
_ROLE = f"arn:aws:iam::{ACCOUNT}:role/Beta9Provisioner"
_CHARTS = {"aws-load-balancer-controller", "metrics-server", "traefik", "cert-manager", "beta9"}
_RANKS = (
    ("queued", "provisioning", "bootstrapping", "ready"),
    ("destroy_queued", "destroying", "destroyed"),
)
# Longer than any child may take over its end, and a worker over its own.
_END_SECONDS = 130.0
# Terraform's ephemeral variables want values of a form; a plan does not compare them.
_SECRET = "a-value-that-no-plan-looks-at"


@dataclass(frozen=True)
class Violation:
    """What is held against the product: of which kind, and what was seen."""

    kind: str
    what: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.what}"


class Judge:
    """Looks at a plant whose operations have all ended."""

    def __init__(self, plant: Plant, journal: Journal) -> None:
        self._plant = plant
        self._journal = journal
        self._session = _customer(plant)

    def of_cloud(self, environments: Mapping[str, str]) -> list[Violation]:
        """Compare the account with what is to be there: environments and their final statuses."""
        found = list(self._of_inventory(environments))
        for environment_id, status in environments.items():
            found += self._of_bucket(environment_id, status)
            if status == "ready":
                found += self._of_plan(environment_id)
                found += self._of_releases(environment_id)
                found += self._of_settings(environment_id)
            if status == "destroyed":
                found += self._of_remains(environment_id)
        return found

    def of_ends(self) -> list[Violation]:
        """Tell the workers to stop: all must end by themselves, and nothing may outlive any worker."""
        living = [pod for pod in self._plant.pods.values() if pod.is_running]

        def of_the_dead() -> list[Found]:
            return [
                one for one in _workers(self._plant.running()) if one.pod not in {pod.name for pod in living}
            ]

        wait_until(lambda: not of_the_dead(), _END_SECONDS / 2, 0.5)
        found = [
            Violation("outlived", f"{one.role} of {one.pod}: {' '.join(one.words)[:200]}")
            for one in of_the_dead()
        ]
        for pod in living:
            pod.terminate()
        for pod in living:
            if (code := pod.wait(_END_SECONDS)) != 0:
                found.append(Violation("outlived", f"{pod.name} was told to stop and ended with {code}"))
        wait_until(lambda: not _workers(self._plant.running()), _END_SECONDS / 2, 0.2)
        left = _workers(self._plant.running())
        return found + [Violation("outlived", f"{one.role} of {one.pod} after its worker") for one in left]

    def _of_inventory(self, environments: Mapping[str, str]) -> Iterator[Violation]:
        known: Counter[tuple[str, str]] = Counter()
        for environment_id in environments:
            state = self._state(environment_id)
            for resource in state.get("resources", ()):
                for instance in resource["instances"] if resource["mode"] == "managed" else ():
                    known[resource["type"], str(instance["attributes"]["id"])] += 1
                    if instance.get("status") == "tainted":
                        yield Violation(
                            "tainted", f"{resource['type']}.{resource['name']} of {environment_id}"
                        )
        built = Counter(
            (one.type, one.id) for one in self._plant.world.store.find() if one.origin == "terraform"
        )
        for what in sorted((built - known).elements()):
            yield Violation("orphaned", " ".join(what))
        for what in sorted((known - built).elements()):
            yield Violation("missing", " ".join(what))

    def _of_remains(self, environment_id: str) -> Iterator[Violation]:
        suffix = environment_id.rpartition("_")[2][-12:]
        for one in self._plant.world.store.find():
            if suffix in f"{one.id} {one.name} {json.dumps(one.state)}" and one.origin != "snapshot":
                yield Violation("orphaned", f"{one.type} {one.id} of {environment_id}, which is destroyed")

    def _of_bucket(self, environment_id: str, status: str) -> Iterator[Violation]:
        keys = self._keys(environment_id)
        yield from (Violation("lock", key) for key in keys if key.endswith(".tflock"))
        yield from (Violation("unsaved", key) for key in keys if "unsaved" in key)
        if status == "destroyed":
            yield from (Violation("orphaned", f"object {key}") for key in keys)

    def _of_plan(self, environment_id: str) -> Iterator[Violation]:
        """Have Terraform plan once more: it must find nothing to do."""
        stack = self._stack(environment_id)
        if stack is None:
            yield Violation("plan", f"there is no stack of {environment_id} to plan with")
            return
        directory = self._plant.directory / f"judge-{environment_id}"
        directory.mkdir(exist_ok=True)
        (directory / "cdk.tf.json").write_bytes(stack)
        names = json.loads(stack).get("variable", {})
        environment = {
            **self._shell(),
            "TF_CLI_CONFIG_FILE": self._plant.world.simulator.terraform_cli_config,
            **{f"TF_VAR_{name}": _SECRET for name in names},
        }
        for words in (("init",), ("plan", "-detailed-exitcode", "-lock=false")):
            done = _run(["terraform", *words, "-input=false", "-no-color"], directory, environment)
            if done.returncode != 0:
                changes = [line for line in done.stdout.splitlines() if line.startswith("  # ")]
                told = "; ".join(changes) or (done.stdout + done.stderr)[-600:]
                yield Violation("plan", f"{environment_id}: {told}")
                return

    def _of_releases(self, environment_id: str) -> Iterator[Violation]:
        """Ask Helm, as a user does with the kubeconfig that the API gives."""
        kubeconfig = self._plant.directory / f"kubeconfig-{environment_id}"
        command = ["beta9-provisioning", "env", "kubeconfig", environment_id]
        done = _run(command, self._plant.directory, self._shell())
        kubeconfig.touch(mode=0o600)
        kubeconfig.write_text(done.stdout)
        command = ["helm", "list", "--all-namespaces", "--output", "json", "--kubeconfig", str(kubeconfig)]
        done = _run(command, self._plant.directory, self._shell())
        if done.returncode != 0:
            yield Violation("release", f"{environment_id}: {done.stderr[-400:]}")
            return
        found = {one["name"]: one["status"] for one in json.loads(done.stdout)}
        for name in sorted(_CHARTS | found.keys()):
            if found.get(name) != "deployed" or name not in _CHARTS:
                yield Violation("release", f"{name} of {environment_id} is {found.get(name, 'absent')}")

    def _of_settings(self, environment_id: str) -> Iterator[Violation]:
        """What was synthesized by one worker was not changed by another with other settings on its way."""
        own = [one for one in self._journal.attempts() if one.environment_id == environment_id]
        events = self._journal.of(environment_id)
        resumed = next((one.id for one in events if one.type == "operation.resumed"), len(events) + 1)
        synthesized = any(
            one.type == "step.finished" and one.data["step"] == "synthesis" and one.id < resumed
            for one in events
        )
        wanted = own[0].worker in self._plant.newer
        for one in self._plant.world.store.find("aws_eks_cluster"):
            ours = one.name.endswith(environment_id[-12:]) and synthesized
            if ours and (OTHER_NETWORK in json.dumps(one.state)) != wanted:
                yield Violation("plan", f"{environment_id} was changed halfway to another worker's settings")

    # What it looks at

    def _state(self, environment_id: str) -> dict[str, Any]:
        key = f"environments/{environment_id}/terraform.tfstate"
        found: dict[str, Any] = json.loads(self._object(key) or b"{}")
        return found

    def _stack(self, environment_id: str) -> bytes | None:
        """Return the stack that was applied: from beside the state, or from the disk of its worker."""
        kept = self._object(f"environments/{environment_id}/stack.tf.json")
        if kept is not None:
            return kept
        for pod in self._plant.pods.values():
            path = Path("work") / environment_id / "cdktf.out" / "stacks" / "environment" / "cdk.tf.json"
            if pod.is_running and (pod.disk / path).exists():
                kept = (pod.disk / path).read_bytes()
        return kept

    def _keys(self, environment_id: str) -> list[str]:
        try:
            listed = self._session.list_objects_v2(Bucket=_bucket(), Prefix=f"environments/{environment_id}/")
        except self._session.exceptions.NoSuchBucket:
            return []
        return [one["Key"] for one in listed.get("Contents", ())]

    def _object(self, key: str) -> bytes | None:
        try:
            found: bytes = self._session.get_object(Bucket=_bucket(), Key=key)["Body"].read()
        except (self._session.exceptions.NoSuchKey, self._session.exceptions.NoSuchBucket):
            return None
        return found

    def _shell(self) -> dict[str, str]:
        plant = self._plant
        return {
            **variables.user(plant.api_url, plant.world.simulator, plant.programs),
            "HOME": str(plant.directory),
        }


def _bucket() -> str:
    return f"beta9-tfstate-{ACCOUNT}-{_REGION}"


def _customer(plant: Plant) -> Any:
    """Return a client of S3 in the customer's account."""
    simulator = plant.world.simulator
    about: dict[str, Any] = {
        "region_name": _REGION,
        "endpoint_url": simulator.aws_url,
        "config": Config(retries={"total_max_attempts": 10}, s3={"addressing_style": "path"}),
    }
    keys = {"aws_access_key_id": simulator.access_key, "aws_secret_access_key": simulator.secret_key}
    asked = {"RoleArn": _ROLE, "RoleSessionName": "judge", "ExternalId": EXTERNAL_ID}
    session: Any = boto3.Session()
    role = session.client("sts", **about, **keys).assume_role(**asked)["Credentials"]
    return session.client(
        "s3",
        **about,
        aws_access_key_id=role["AccessKeyId"],
        aws_secret_access_key=role["SecretAccessKey"],
        aws_session_token=role["SessionToken"],
    )


def _run(
    command: Sequence[str], directory: Path, environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=directory,
        env=dict(environment),
        capture_output=True,
        text=True,
        timeout=GUARD_SECONDS,
        check=False,
    )


def _workers(found: Iterable[Found]) -> list[Found]:
    return [one for one in found if one.pod != "api"]


def rules_of_processes(found: Iterable[Found]) -> list[Violation]:
    """No two pods may write one environment's state at the same time."""
    writers: dict[str, set[str]] = {}
    for one in found:
        if one.writes and "/env_" in one.directory:
            environment_id = "env_" + one.directory.partition("/env_")[2].partition("/")[0]
            writers.setdefault(environment_id, set()).add(one.pod)
    return [
        Violation("two writers", f"{environment_id}: {', '.join(sorted(pods))}")
        for environment_id, pods in writers.items()
        if len(pods) > 1
    ]


# History


def rules_of_history(journal: Journal) -> list[Violation]:
    """Check numbers, statuses and attempts of every environment."""
    attempts = journal.attempts()
    lasts = {row.id: row.last_event for row in journal.ask("SELECT id, last_event FROM environments")}
    found = []
    for environment_id, last in lasts.items():
        events = journal.of(environment_id)
        told = [
            *_of_numbers(events, last),
            *_of_statuses(events),
            *_of_attempts(events, [one for one in attempts if one.environment_id == environment_id]),
        ]
        found += [Violation("history", f"{environment_id}: {one}") for one in told]
    unfinished = journal.ask("SELECT id, status FROM operations WHERE finished_at IS NULL")
    return found + [Violation("history", f"{row.id} is still {row.status}") for row in unfinished]


def _of_numbers(events: Sequence[Event], last: int) -> Iterator[str]:
    if [one.id for one in events] != list(range(1, last + 1)):
        yield f"events are numbered {[one.id for one in events][:5]}..., and the last is {last}"


def _of_statuses(events: Sequence[Event]) -> Iterator[str]:
    """Statuses follow each other, and never lead back."""
    before = None
    for one in events:
        if one.type != "environment.status":
            continue
        if one.data["from"] != before:
            yield f"event {one.id} leads from {one.data['from']}, and it was {before}"
        if not _leads_on(before, one.data["to"]):
            yield f"event {one.id} leads from {before} back to {one.data['to']}"
        before = one.data["to"]


def _leads_on(before: str | None, after: str) -> bool:
    if before is None or after == "failed":
        return after in ("queued", "failed")
    if after == "destroy_queued":
        return before not in _RANKS[1]
    for ranks in _RANKS:
        if before in ranks and after in ranks:
            return ranks.index(before) < ranks.index(after)
    return False


def _of_attempts(events: Sequence[Event], attempts: Sequence[Attempt]) -> Iterator[str]:
    """Attempts are counted without gaps, told in the journal, over, and at most the last one succeeded."""
    for operation_id in dict.fromkeys(one.operation_id for one in attempts):
        own = [one for one in attempts if one.operation_id == operation_id]
        told = [
            one.type
            for one in events
            if one.operation_id == operation_id and one.type in ("operation.claimed", "operation.resumed")
        ]
        if [one.number for one in own] != list(range(1, len(own) + 1)) or len(told) != len(own):
            yield f"{operation_id} has attempts {[one.number for one in own]}, of which {len(told)} are told"
        if any(one.ended_at is None for one in own):
            yield f"{operation_id} has an attempt that has not ended"
        if any(one.outcome == "succeeded" for one in own[:-1]):
            yield f"{operation_id} was tried again after it had succeeded"
        ends = [
            one for one in events if one.operation_id == operation_id and one.type == "operation.finished"
        ]
        if len(ends) != 1:
            yield f"{operation_id} has {len(ends)} ends"
        yield from _of_steps(operation_id, events, own)


def _of_steps(operation_id: str, events: Sequence[Event], attempts: Sequence[Attempt]) -> Iterator[str]:
    """Of an attempt that succeeded every step that was started is finished."""
    if attempts[-1].outcome != "succeeded":
        return
    own = [one for one in events if one.operation_id == operation_id]
    starts = [
        place for place, one in enumerate(own) if one.type in ("operation.claimed", "operation.resumed")
    ]
    last = own[starts[-1] :] if starts else own
    for step in [one.data["step"] for one in last if one.type == "step.started"]:
        if not any(one.type == "step.finished" and one.data["step"] == step for one in last):
            yield f"{operation_id} has the step {step} without an end"
