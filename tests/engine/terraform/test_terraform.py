"""Terraform in a directory: the genuine one on its built-in terraform_data, and a fake that misbehaves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from tests.support.waiting import GUARD_SECONDS, until

from beta9_provisioning.clouds.aws.terraform_rules import RULES
from beta9_provisioning.engine.errors import Stopped
from beta9_provisioning.engine.processes import process
from beta9_provisioning.engine.terraform.errors import TerraformFailed, TerraformKilled
from beta9_provisioning.engine.terraform.events import TEXT, TerraformEvent
from beta9_provisioning.engine.terraform.plan import Plan
from beta9_provisioning.engine.terraform.progress import Progress
from beta9_provisioning.engine.terraform.terraform import Terraform

FAKES = Path(__file__).parent / "fakes"
# Says so and waits for a file that a test makes, or for two minutes.
WAIT = "echo waiting; i=0; while [ ! -e {file} ] && [ $i -lt 2400 ]; do sleep 0.05; i=$((i+1)); done"


class Bench:
    """A Terraform in a directory of its own, with its events kept."""

    def __init__(self, directory: Path, **options: Any) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "terraformrc").touch()
        self.directory = directory
        self.stop = threading.Event()
        self.events: list[TerraformEvent] = []
        self.on_event: Callable[[TerraformEvent], None] = self.events.append
        settings: dict[str, Any] = {
            "binary": "terraform",
            "directory": directory,
            "env": environment(directory),
            "stop": self.stop,
            "on_event": lambda event: self.on_event(event),
            "rules": RULES,
            "lock_timeout": 1.0,
        }
        self.terraform = Terraform(**(settings | options))

    def write(self, resources: dict[str, Any], backend: dict[str, Any] | None = None, **more: Any) -> None:
        """Write a configuration of terraform_data resources."""
        document = {
            "terraform": {"backend": backend or {"local": {"path": "terraform.tfstate"}}},
            **({"resource": {"terraform_data": resources}} if resources else {}),
            **more,
        }
        (self.directory / "cdk.tf.json").write_text(json.dumps(document))

    def types(self) -> list[str]:
        return [event.type for event in self.events]

    def when_it_waits(self, action: Callable[[], None]) -> None:
        """Do `action` when a resource's command waits.

        Not as soon as it is started: the process that Terraform forks for it shares Terraform's memory for a
        moment, and an interrupt of the group in that moment counts as two.
        """

        def take(event: TerraformEvent) -> None:
            self.events.append(event)
            if event.message.endswith(": waiting"):
                action()

        self.on_event = take

    def state(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads((self.directory / "terraform.tfstate").read_text())
        return document

    def free(self) -> None:
        """Wait until no command runs in the directory, and see that the state's lock is gone."""
        until(self._is_free, "no command runs in the directory")
        assert not (self.directory / ".terraform.tfstate.lock.info").exists()

    def _is_free(self) -> bool:
        try:
            process.run(
                ["true"],
                cwd=self.directory,
                env=environment(self.directory),
                log=self.directory / "terraform.log",
                stop=threading.Event(),
                timeout=GUARD_SECONDS,
            )
        except process.AlreadyRunning:
            return False
        return True


def environment(directory: Path, **more: str) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(directory),
        "TF_CLI_CONFIG_FILE": str(directory / "terraformrc"),
        **more,
    }


def fake(directory: Path, mode: str, **options: Any) -> Bench:
    env = environment(directory, FAKE=mode)
    env["PATH"] = f"{FAKES}:{env['PATH']}"
    env.update(options.pop("env", {}))
    return Bench(directory, env=env, **options)


def waiting(file: str, **more: Any) -> dict[str, Any]:
    return {"provisioner": [{"local-exec": {"command": WAIT.format(file=file)}}], **more}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


# -- the genuine Terraform


def test_apply_read_and_destroy(bench: Bench) -> None:
    bench.write(
        {"one": {"input": "x"}, "many": {"for_each": {"k 1": "a", "k2": "b"}, "input": "${each.value}"}},
        output={
            "plain": {"value": "${terraform_data.one.output}"},
            "hidden": {"value": "s3cret", "sensitive": True},
            "db_password": {"value": "s3cret"},
            "nested": {"value": {"port": 5432, "list": [1, None]}},
        },
    )
    terraform, progress = bench.terraform, Progress()
    terraform.init()
    assert terraform.resources() == []
    terraform.apply(GUARD_SECONDS)
    for event in bench.events:
        progress.add(event)
    addresses = ['terraform_data.many["k 1"]', 'terraform_data.many["k2"]', "terraform_data.one"]
    assert (progress.total, progress.done, progress.current) == (3, 3, None)
    assert progress.completed_addresses == set(addresses)
    assert terraform.resources() == addresses
    assert terraform.outputs() == {
        "plain": "x",
        "hidden": "s3cret",
        "db_password": "s3cret",
        "nested": {"port": 5432, "list": [1, None]},
    }
    reported = json.dumps([event.data for event in bench.events])
    assert "s3cret" not in reported
    assert '"value": "x"' in reported
    assert {"version", "init_output", "planned_change", "change_summary", "outputs", "apply_start",
            "apply_complete"} <= set(bench.types())  # fmt: skip

    again = Progress()
    bench.on_event = again.add
    terraform.apply(GUARD_SECONDS)
    assert (again.total, again.done, again.completed_addresses) == (0, 0, frozenset(addresses))

    gone = Progress()
    bench.on_event = gone.add
    terraform.destroy(GUARD_SECONDS)
    assert (gone.total, gone.done, gone.completed_addresses) == (3, 3, frozenset(addresses))
    assert terraform.resources() == []
    assert terraform.outputs() == {}


def test_a_replacement_counts_as_two_operations(bench: Bench) -> None:
    bench.write({"a": {"triggers_replace": 1}})
    bench.terraform.init()
    bench.terraform.apply(GUARD_SECONDS)
    bench.write({"a": {"triggers_replace": 2}})
    progress = Progress()
    bench.on_event = progress.add
    bench.terraform.apply(GUARD_SECONDS)
    assert (progress.total, progress.done) == (2, 2)
    assert progress.completed_addresses == {"terraform_data.a"}


def test_init_takes_a_changed_backend(bench: Bench) -> None:
    bench.write({"a": {}})
    bench.terraform.init()
    bench.write({"a": {}}, backend={"local": {"path": "elsewhere/terraform.tfstate"}})
    bench.terraform.init()
    bench.terraform.apply(GUARD_SECONDS)
    assert (bench.directory / "elsewhere/terraform.tfstate").exists()


def test_secrets_stay_out_of_files_other_than_the_state(bench: Bench) -> None:
    bench.write({}, output={"hidden": {"value": "s3cret", "sensitive": True}})
    bench.terraform.init()
    bench.terraform.apply(GUARD_SECONDS)
    bench.terraform.outputs()
    files = [file for file in bench.directory.rglob("*") if file.is_file() and b"s3cret" in file.read_bytes()]
    assert {file.name for file in files} == {"terraform.tfstate", "cdk.tf.json"}
    assert (bench.directory / "terraform.log").stat().st_mode & 0o777 == 0o600


def test_a_failing_resource_is_named_and_the_others_are_kept(bench: Bench) -> None:
    failing = {"provisioner": [{"local-exec": {"command": "echo token=s3cret; exit 9"}}]}
    bench.write({"good": {}, "bad": {**failing, "depends_on": ["terraform_data.good"]}})
    bench.terraform.init()
    with pytest.raises(TerraformFailed) as caught:
        bench.terraform.apply(GUARD_SECONDS)
    assert caught.value.code == "provider_refused"
    assert caught.value.message.startswith("terraform apply failed at terraform_data.bad: local-exec")
    assert "exit status 9" in caught.value.detail
    assert "s3cret" not in caught.value.detail + json.dumps([event.data for event in bench.events])
    assert [item.address for item in caught.value.diagnostics] == ["terraform_data.bad"]
    assert bench.terraform.resources() == ["terraform_data.bad", "terraform_data.good"]


def test_an_invalid_configuration(bench: Bench) -> None:
    bench.write({"a": {"no_such_argument": 1}})
    bench.terraform.init()
    with pytest.raises(TerraformFailed, match="Extraneous JSON object property") as caught:
        bench.terraform.apply(GUARD_SECONDS)
    assert caught.value.code == "configuration_invalid"


def test_an_init_without_its_provider(bench: Bench) -> None:
    mirror = bench.directory / "mirror"
    mirror.mkdir()
    (bench.directory / "terraformrc").write_text(
        f'provider_installation {{ filesystem_mirror {{ path = "{mirror}" }} }}'
    )
    bench.write({}, provider={"aws": {}})
    with pytest.raises(TerraformFailed) as caught:
        bench.terraform.init()
    assert caught.value.code == "provider_missing"
    assert "TF_CLI_CONFIG_FILE" in caught.value.remedy


def test_commands_before_init(bench: Bench) -> None:
    bench.write({"a": {}}, backend={"local": {"path": "other.tfstate"}})
    with pytest.raises(TerraformFailed, match="Backend initialization required"):
        bench.terraform.apply(GUARD_SECONDS)
    with pytest.raises(TerraformFailed, match="Backend initialization required"):
        bench.terraform.outputs()


def test_stop_saves_the_state_and_says_stopped(bench: Bench) -> None:
    bench.write({"first": {}, "slow": waiting("never", depends_on=["terraform_data.first"])})
    bench.terraform.init()
    bench.when_it_waits(bench.stop.set)
    with pytest.raises(Stopped):
        bench.terraform.apply(GUARD_SECONDS)
    bench.free()
    assert [item["name"] for item in bench.state()["resources"]] == ["first", "slow"]
    assert bench.state()["resources"][1]["instances"][0]["status"] == "tainted"
    interrupts = [event for event in bench.events if "nterrupt received" in event.message]
    assert len(interrupts) == 1
    with pytest.raises(Stopped):
        bench.terraform.outputs()
    bench.stop.clear()
    bench.on_event = bench.events.append
    bench.terraform.destroy(GUARD_SECONDS)
    assert bench.terraform.resources() == []
    assert list(bench.terraform.state().tainted) == []


def test_what_was_left_unfinished_is_named_and_deleted_alone(bench: Bench) -> None:
    bench.write({"first": {}, "slow": waiting("never", depends_on=["terraform_data.first"])})
    bench.terraform.init()
    assert list(bench.terraform.state().tainted) == []
    bench.when_it_waits(bench.stop.set)
    with pytest.raises(Stopped):
        bench.terraform.apply(GUARD_SECONDS)
    bench.free()
    bench.stop.clear()
    bench.on_event = bench.events.append
    assert list(bench.terraform.state().tainted) == ["terraform_data.slow"]
    bench.terraform.destroy(GUARD_SECONDS, ["terraform_data.slow"])
    assert bench.terraform.resources() == ["terraform_data.first"]


def test_what_was_left_unfinished_is_kept_when_it_is_untainted(bench: Bench) -> None:
    bench.write({"first": {}, "slow": waiting("never", depends_on=["terraform_data.first"])})
    bench.terraform.init()
    bench.when_it_waits(bench.stop.set)
    with pytest.raises(Stopped):
        bench.terraform.apply(GUARD_SECONDS)
    bench.free()
    bench.stop.clear()
    bench.on_event = bench.events.append
    assert bench.terraform.plan(GUARD_SECONDS).destroyed() == ("terraform_data.slow",)
    bench.terraform.untaint(["terraform_data.slow", "terraform_data.never_was"])
    assert bench.terraform.state().tainted == ()
    assert bench.terraform.plan(GUARD_SECONDS).actions == {}


def test_a_saved_plan_says_what_it_does_and_is_applied_once(bench: Bench) -> None:
    bench.write(
        {"kept": {}, "gone": {}, "changed": {"input": 1}, "replaced": {"triggers_replace": 1}},
    )
    bench.terraform.init()
    bench.terraform.apply(GUARD_SECONDS)
    bench.write({"kept": {}, "new": {}, "changed": {"input": 2}, "replaced": {"triggers_replace": 2}})
    progress = Progress()
    bench.on_event = progress.add
    plan = bench.terraform.plan(GUARD_SECONDS)
    assert plan.actions == {
        "terraform_data.changed": ("update",),
        "terraform_data.gone": ("delete",),
        "terraform_data.new": ("create",),
        "terraform_data.replaced": ("delete", "create"),
    }
    assert plan.destroyed() == ("terraform_data.gone", "terraform_data.replaced")
    assert plan.destroyed(allowed=["terraform_data.replaced"]) == ("terraform_data.gone",)
    assert (progress.total, progress.done) == (5, 0)
    assert progress.completed_addresses == {"terraform_data.kept"}
    bench.terraform.apply(GUARD_SECONDS, plan)
    assert (progress.total, progress.done) == (5, 5)
    assert not plan.file.exists()
    assert bench.terraform.plan(GUARD_SECONDS).actions == {}


def test_a_plan_that_another_apply_has_outdated_is_refused(bench: Bench) -> None:
    bench.write({"a": {}})
    bench.terraform.init()
    plan = bench.terraform.plan(GUARD_SECONDS)
    second = bench.directory / "second.plan"
    second.write_bytes(plan.file.read_bytes())
    bench.terraform.apply(GUARD_SECONDS, plan)
    with pytest.raises(TerraformFailed, match="Saved plan is stale"):
        bench.terraform.apply(GUARD_SECONDS, Plan(second, plan.actions))


def test_what_exists_is_taken_into_the_state(bench: Bench) -> None:
    odd = "a${1}b%{if}c"
    bench.write({"one": {}, "two": {}, "new": {}})
    bench.terraform.init()
    bench.terraform.adopt({"terraform_data.one": "one-id", "terraform_data.two": odd})
    plan = bench.terraform.plan(GUARD_SECONDS)
    assert plan.imported == {"terraform_data.one", "terraform_data.two"}
    assert plan.actions == {"terraform_data.new": ("create",)}
    bench.terraform.apply(GUARD_SECONDS, plan)
    ids = bench.terraform.state().ids
    assert (ids["terraform_data.one"], ids["terraform_data.two"]) == ("one-id", odd)
    bench.terraform.adopt({})
    assert not (bench.directory / "adopt.tf.json").exists()
    assert bench.terraform.plan(GUARD_SECONDS).actions == {}


def test_an_ephemeral_variable_is_given_again_and_is_in_no_plan(bench: Bench) -> None:
    env = environment(bench.directory, TF_VAR_password="s3cret-0123456789")
    subject = Bench(bench.directory, env=env)
    subject.write({"a": {}}, variable={"password": {"type": "string", "ephemeral": True}})
    subject.terraform.init()
    plan = subject.terraform.plan(GUARD_SECONDS)
    with zipfile.ZipFile(plan.file) as parts:
        assert not [name for name in parts.namelist() if b"s3cret" in parts.read(name)]
    subject.terraform.apply(GUARD_SECONDS, plan)
    assert subject.terraform.resources() == ["terraform_data.a"]


def test_timeout_saves_the_state_and_says_so(bench: Bench) -> None:
    bench.write({"first": {}, "slow": waiting("never", depends_on=["terraform_data.first"])})
    bench.terraform.init()
    with pytest.raises(TerraformFailed, match="its time was up") as caught:
        bench.terraform.apply(1.5)
    assert caught.value.code == "timeout"
    bench.free()
    # How far it came depends on the machine; what it completed is in the state.
    completed = {event.address for event in bench.events if event.type == "apply_complete"}
    assert completed <= set(bench.terraform.resources())


def test_a_fault_of_the_journal_does_not_interrupt_an_apply(bench: Bench) -> None:
    def refuse(event: TerraformEvent) -> None:
        bench.events.append(event)
        if (event.type, event.address) == ("apply_start", "terraform_data.first"):
            raise LookupError("journal is gone")

    bench.on_event = refuse
    bench.write({"first": {}, "second": {"depends_on": ["terraform_data.first"]}})
    bench.terraform.init()
    bench.terraform.apply(GUARD_SECONDS)
    assert [item["name"] for item in bench.state()["resources"]] == ["first", "second"]
    assert bench.types()[-1] == "outputs"


def test_outputs_that_look_like_secrets_arrive_as_they_are(bench: Bench) -> None:
    values = {
        "token_endpoint": "https://idp.example/token",
        "redis_url": "rediss://beta9:pw@redis.example:6379",
        "note": "a\u0000b " + "x" * 10_000,
    }
    output = {name: {"value": value} for name, value in values.items()}
    bench.write({}, output={**output, "redis_host": {"value": "h", "sensitive": True}})
    bench.terraform.init()
    bench.terraform.apply(GUARD_SECONDS)
    outputs = bench.terraform.outputs()
    assert outputs == {**values, "redis_host": "h"}
    assert outputs.sensitive == {"redis_host"}
    assert "pw" not in repr(outputs)


def test_a_diagnostic_with_a_nul_is_readable(bench: Bench) -> None:
    refusal = {"condition": "${self.input == 1}", "error_message": "a NUL \u0000 was said"}
    bench.write({"one": {"input": 2, "lifecycle": {"postcondition": [refusal]}}})
    bench.terraform.init()
    with pytest.raises(TerraformFailed) as caught:
        bench.terraform.apply(GUARD_SECONDS)
    assert "a NUL \ufffd was said" in caught.value.detail


def test_one_command_at_a_time_in_a_directory(bench: Bench, tmp_path: Path) -> None:
    second = Bench(tmp_path, lock_timeout=0.3)
    bench.write({"slow": waiting("go")})
    bench.terraform.init()

    def collide() -> None:
        with pytest.raises(process.AlreadyRunning):
            second.terraform.destroy(GUARD_SECONDS)
        assert second.terraform.resources() == []
        (tmp_path / "go").touch()

    bench.when_it_waits(collide)
    bench.terraform.apply(GUARD_SECONDS)
    assert second.terraform.resources() == ["terraform_data.slow"]


WORKER = """
import os, sys, threading
from pathlib import Path
from beta9_provisioning.engine.terraform.terraform import Terraform
directory = Path(sys.argv[1])
terraform = Terraform(binary="terraform", directory=directory, env=dict(os.environ), stop=threading.Event(),
    on_event=lambda event: print(event.message, flush=True))
terraform.init()
terraform.apply(300)
"""


def test_a_killed_worker_leaves_a_terraform_that_saves_its_state(bench: Bench) -> None:
    done: dict[str, Any] = {f"d{number}": {} for number in range(5)}
    bench.write({**done, "slow": waiting("never", depends_on=[f"terraform_data.{name}" for name in done])})
    command = [sys.executable, "-c", WORKER, str(bench.directory)]
    env = environment(bench.directory, PYTHONPATH=os.pathsep.join(sys.path))
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env) as worker:
        assert worker.stdout is not None
        for line in worker.stdout:
            if line.endswith(": waiting\n"):
                break
        worker.kill()
    bench.free()
    assert [item["name"] for item in bench.state()["resources"]] == [*done, "slow"]
    bench.terraform.destroy(GUARD_SECONDS)
    assert bench.terraform.resources() == []


class StateServer(ThreadingHTTPServer):
    """Terraform's `http` backend, which can refuse to save."""

    state = b""
    refusing = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), StateHandler)

    @property
    def backend(self) -> dict[str, Any]:
        return {"http": {"address": f"http://127.0.0.1:{self.server_port}/state", "retry_max": 0}}


class StateHandler(BaseHTTPRequestHandler):
    server: StateServer

    def do_GET(self) -> None:
        self.answer(200 if self.server.state else 404, self.server.state)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if not self.server.refusing:
            self.server.state = body
        self.answer(500 if self.server.refusing else 200)

    def answer(self, status: int, body: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Keep the test's output quiet."""


@pytest.fixture
def state_server() -> Iterator[StateServer]:
    with StateServer() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_state_that_cannot_be_saved_is_kept_and_recovered(bench: Bench, state_server: StateServer) -> None:
    bench.write({"a": {}}, backend=state_server.backend)
    terraform = bench.terraform
    terraform.init()
    state_server.refusing = True
    with pytest.raises(TerraformFailed) as caught:
        terraform.apply(GUARD_SECONDS)
    errored = bench.directory / "errored.tfstate"
    assert (caught.value.code, caught.value.errored_state) == ("state_not_saved", errored)
    assert "terraform_data" in errored.read_text()

    for change in (
        lambda: terraform.plan(GUARD_SECONDS),
        lambda: terraform.apply(GUARD_SECONDS),
        lambda: terraform.destroy(GUARD_SECONDS),
        lambda: terraform.untaint(["terraform_data.a"]),
    ):
        with pytest.raises(TerraformFailed, match="was not started") as caught:
            change()
        assert caught.value.code == "state_not_saved"

    with pytest.raises(TerraformFailed):
        terraform.recover_state()
    assert errored.exists()

    state_server.refusing = False
    terraform.recover_state()
    assert not errored.exists()
    assert terraform.resources() == ["terraform_data.a"]
    terraform.recover_state()
    terraform.destroy(GUARD_SECONDS)
    assert terraform.resources() == []


@pytest.mark.parametrize("ahead", [0, 2], ids=["as far", "further"])
def test_a_state_that_another_worker_has_left_behind_holds_up_no_delete(bench: Bench, ahead: int) -> None:
    saved = bench.directory / "backend.tfstate"
    bench.write({"a": {}}, backend={"local": {"path": str(saved)}})
    terraform = bench.terraform
    terraform.init()
    terraform.apply(GUARD_SECONDS)
    state = json.loads(saved.read_text())
    lost = {**state["resources"][0], "name": "b"}
    errored = {**state, "serial": state["serial"] + 1, "resources": [*state["resources"], lost]}
    (bench.directory / "errored.tfstate").write_text(json.dumps(errored))
    saved.write_text(json.dumps({**state, "serial": state["serial"] + 1 + ahead}))

    late = terraform.recover_state()
    assert late is not None
    assert late.unknown == ("terraform_data.b",)
    assert json.loads(late.file.read_text()) == errored
    terraform.destroy(GUARD_SECONDS)
    assert terraform.resources() == []


def test_a_state_of_something_else_is_not_saved_and_says_why(bench: Bench) -> None:
    saved = bench.directory / "backend.tfstate"
    bench.write({"a": {}}, backend={"local": {"path": str(saved)}})
    bench.terraform.init()
    bench.terraform.apply(GUARD_SECONDS)
    other = {**json.loads(saved.read_text()), "lineage": "5b2c7f5e-0000-4000-8000-000000000001"}
    (bench.directory / "errored.tfstate").write_text(json.dumps(other))
    with pytest.raises(TerraformFailed) as caught:
        bench.terraform.recover_state()
    assert caught.value.code == "state_not_saved"
    assert "lineage" in caught.value.detail
    assert bench.terraform.errored_state is not None


# -- a fake Terraform


def test_arguments_and_environment(tmp_path: Path) -> None:
    bench = fake(tmp_path, "environment", lock_timeout=90)
    for change in (bench.terraform.init, bench.terraform.apply, bench.terraform.destroy):
        change(GUARD_SECONDS)
    lines = [event.message for event in bench.events]
    assert [line for line in lines if line.startswith("arguments: ")] == [
        "arguments: init -input=false -no-color -reconfigure -json",
        "arguments: apply -json -input=false -no-color -lock=false -auto-approve",
        "arguments: destroy -json -input=false -no-color -lock=false -auto-approve",
    ]
    assert {"CHECKPOINT_DISABLE=1", "TF_IN_AUTOMATION=1", "TF_INPUT=0"} <= set(lines)


def test_garbage_is_kept_and_a_crash_is_reported(tmp_path: Path) -> None:
    bench = fake(tmp_path, "garbage")
    with pytest.raises(TerraformFailed, match="exit code 11 and gave no reason") as caught:
        bench.terraform.apply(GUARD_SECONDS)
    assert caught.value.code == "terraform_failed"
    assert "panic: runtime error: password=(hidden)" in caught.value.detail
    assert bench.types() == ["version", TEXT, TEXT, TEXT, TEXT, "not_invented_yet", TEXT]


def test_a_flood_of_events(tmp_path: Path) -> None:
    bench = fake(tmp_path, "flood")
    bench.terraform.apply(GUARD_SECONDS)
    assert bench.types() == ["apply_progress"] * 20_000


def test_a_deaf_terraform_is_killed_after_the_grace(tmp_path: Path) -> None:
    bench = fake(tmp_path, "deaf", grace=0.3)
    bench.on_event = lambda _: bench.stop.set()
    with pytest.raises(Stopped, match=r"killed after 0\.3 s of grace"):
        bench.terraform.apply(GUARD_SECONDS)


def test_a_terraform_that_somebody_killed(tmp_path: Path) -> None:
    with pytest.raises(TerraformKilled, match="terraform apply was ended by signal 9") as caught:
        fake(tmp_path, "killed").terraform.apply(GUARD_SECONDS)
    assert caught.value.code == "terraform_killed"


def test_a_silent_failure(tmp_path: Path) -> None:
    bench = fake(tmp_path, "silent")
    with pytest.raises(TerraformFailed, match="exit code 7 and gave no reason"):
        bench.terraform.init()
    with pytest.raises(TerraformFailed, match="terraform output ended with exit code 7"):
        bench.terraform.outputs()


def test_init_without_json(tmp_path: Path) -> None:
    bench = fake(tmp_path, "plain-init")
    bench.terraform.init()
    assert bench.events[-1].message == "Successfully initialized!"


def test_a_diagnostic_of_the_provider(tmp_path: Path) -> None:
    diagnostic = {
        "type": "diagnostic",
        "@level": "error",
        "diagnostic": {
            "severity": "error",
            "summary": "creating EC2 VPC: api error VpcLimitExceeded: The maximum has been reached.",
            "address": "aws_vpc.main",
        },
    }
    bench = fake(tmp_path, "diagnostic", env={"FAKE_DIAGNOSTIC": json.dumps(diagnostic)})
    with pytest.raises(TerraformFailed, match=r"failed at aws_vpc\.main: creating EC2 VPC") as caught:
        bench.terraform.apply(GUARD_SECONDS)
    assert caught.value.code == "quota_exceeded"


def test_an_output_without_end_is_not_held(tmp_path: Path) -> None:
    bench = fake(tmp_path, "endless")
    with pytest.raises(TerraformFailed, match="more than 16 MiB") as caught:
        bench.terraform.outputs()
    assert caught.value.code == "answer_too_large"


def test_a_long_diagnostic_is_cut_and_says_so(tmp_path: Path) -> None:
    said = {"severity": "error", "summary": "It broke", "detail": "x" * 50_000, "address": "aws_vpc.main"}
    line = json.dumps({"type": "diagnostic", "@level": "error", "diagnostic": said})
    bench = fake(tmp_path, "diagnostic", env={"FAKE_DIAGNOSTIC": line})
    with pytest.raises(TerraformFailed, match="It broke") as caught:
        bench.terraform.apply(GUARD_SECONDS)
    assert len(caught.value.detail) < 10_000
    assert "it had 50000 characters" in caught.value.detail


def test_a_missing_terraform(tmp_path: Path) -> None:
    bench = Bench(tmp_path, binary=tmp_path / "terraform")
    with pytest.raises(process.ToolMissing):
        bench.terraform.init()
