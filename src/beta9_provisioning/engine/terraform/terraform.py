"""Run Terraform (or OpenTofu) in a directory that holds its configuration.

What it prints may hold secrets, so that it stays in memory; `terraform.log` is told its events without them.

One object serves one working directory. Commands that write the state share one log, `terraform.log`, and
with it a lock: two of them never run in the same directory at once, not even when one was left behind by a
worker that died.

The lock on the state is not Terraform's: whoever runs it holds that lock for longer than one command, so
commands that would lock it get `-lock=false`.
"""

from __future__ import annotations

import json
import re
import signal
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from beta9_provisioning.engine.errors import Interrupted, Stopped
from beta9_provisioning.engine.processes import process
from beta9_provisioning.engine.processes.child_variables import SET_FOR_TERRAFORM
from beta9_provisioning.engine.processes.memory import memory_file, path_of
from beta9_provisioning.engine.synthesis.blocks import literal
from beta9_provisioning.engine.terraform.errors import (
    UNREACHABLE,
    Diagnostic,
    Rule,
    TerraformFailed,
    TerraformKilled,
    diagnostics,
    failure,
)
from beta9_provisioning.engine.terraform.event_log import append_to
from beta9_provisioning.engine.terraform.events import TEXT, TerraformEvent, parse
from beta9_provisioning.engine.terraform.plan import PLAN, Plan, plan_of
from beta9_provisioning.engine.terraform.state_reading import State, state_of
from beta9_provisioning.engine.terraform.unsaved_state import ERRORED_STATE, Superseded, set_aside
from beta9_provisioning.kit import runtime
from beta9_provisioning.kit.backoff import Backoff
from beta9_provisioning.kit.masking import LineMasker
from beta9_provisioning.kit.texts import ANSWER_BYTES

LOG = "terraform.log"
READ_TIMEOUT = 120.0
TEXT_LINES = 40
# Exit codes above this stand for signals, see process.Finished.
SIGNALLED = 128

ADOPTED = "adopt.tf.json"
"""The file beside the configuration that names what an apply takes into the state."""

READ_TRIES = 3
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 8.0
# A command that tried for longer before it gave up was patient itself.
_CUT_OFF_SECONDS = 60.0

_T = TypeVar("_T")

_NO_LOCK = "-lock=false"
_NO_QUESTION = "-auto-approve"
_NO_JSON = "flag provided but not defined: -json"


class Outputs(dict[str, object]):
    """The values of all outputs, by name.

    Attributes:
        sensitive: the names of those that the configuration declares as sensitive.
    """

    def __init__(self, document: Mapping[str, Mapping[str, object]]) -> None:
        super().__init__((name, output["value"]) for name, output in document.items())
        self.sensitive = frozenset(name for name, output in document.items() if output.get("sensitive"))

    def __repr__(self) -> str:
        return f"Outputs({', '.join(self)})"


class Terraform:
    """Terraform in one working directory.

    Every method raises `Stopped` when `stop` was set before the command had ended, and `TerraformFailed`
    when it failed or took longer than its timeout (in seconds). Either way Terraform was interrupted once
    and given `grace` seconds to save its state; only then was it killed (code `terraform_killed`).
    """

    def __init__(
        self,
        *,
        binary: Path | str,
        directory: Path,
        env: Mapping[str, str],
        stop: runtime.Event,
        on_event: Callable[[TerraformEvent], None],
        rules: Sequence[Rule] = (),
        lock_timeout: float = 60.0,
        grace: float = 60.0,
        run: process.Run = process.run,
    ) -> None:
        """Prepare; nothing is started.

        Args:
            binary: path of the program, or its name, which is then looked up in the PATH of `env`.
            directory: holds the configuration; Terraform's own files and `terraform.log` go there too.
            env: the complete environment of Terraform, credentials included.
            stop: set by the caller to have the running command stop.
            on_event: gets every event of init, apply and destroy, without secrets, on the calling thread.
            rules: what errors of the cloud's provider and state backend mean.
            lock_timeout: seconds to wait for another command in this directory.
            grace: seconds between the interrupt and the kill.
            run: runs the program; a simulation has its own.
        """
        self._binary = str(binary)
        self._directory = directory
        self._env = {**env, **SET_FOR_TERRAFORM}
        self._stop = stop
        self._on_event = on_event
        self._rules = rules
        self._lock_timeout = lock_timeout
        self._grace = grace
        self._run_process = run

    @property
    def is_running(self) -> bool:
        """Whether a command that may write the state still runs here, perhaps one that nobody waits for."""
        return process.is_claimed(self._directory / LOG)

    @property
    def errored_state(self) -> Path | None:
        """The state that an earlier command could not save to the backend, if there is one."""
        path = self._directory / ERRORED_STATE
        return path if path.exists() else None

    def init(self, timeout: float = 300) -> None:
        """Prepare backend and providers. The configuration's backend replaces the one of an earlier init."""
        self._persist(lambda: self._init(timeout))

    def plan(self, timeout: float, targets: Sequence[str] = (), *, refresh: bool = True) -> Plan:
        """Save a plan that makes the cloud match the configuration, and return what it would do.

        Nothing is changed, in the cloud or in the state. Ephemeral variables are not in it: the apply must be
        given them again.

        Args:
            timeout: in seconds.
            targets: the addresses that alone are planned, with what they depend on.
            refresh: whether the cloud is asked for what the state knows; for what is adopted it always is.
        """
        file = self._directory / PLAN
        file.unlink(missing_ok=True)
        more = [f"-out={PLAN}", *(() if refresh else ("-refresh=false",)), *_only(targets)]
        self._persist(lambda: self._change("plan", timeout, more))
        text = self._read("show", ["show", "-json", "-no-color", PLAN])
        document = _document(text)
        if document is None:
            raise failure("show", (), text, 0)
        return plan_of(file, document)

    def apply(self, timeout: float, plan: Plan | None = None) -> None:
        """Make the cloud match the configuration, by a saved plan or, without one, by a plan of its own."""
        if plan is None:
            self._change("apply", timeout, [_NO_QUESTION])
            return
        try:
            self._change("apply", timeout, [plan.file.name])
        finally:
            # It is good for one apply.
            plan.file.unlink(missing_ok=True)

    def adopt(self, ids: Mapping[str, str]) -> None:
        """Have the next plan take what exists into the state: import ids by address.

        It replaces what an earlier call has said. What the state has already is left as it is; an id that
        names nothing fails the whole plan.
        """
        file = self._directory / ADOPTED
        if not ids:
            file.unlink(missing_ok=True)
            return
        blocks = [{"to": address, "id": literal(id_)} for address, id_ in sorted(ids.items())]
        file.write_text(f"{json.dumps({'import': blocks}, indent=1)}\n", encoding="utf-8")

    def untaint(self, addresses: Sequence[str]) -> None:
        """Mark resources in the state as made to their end, so that no apply replaces them.

        One that the state does not have is no error.
        """
        self._refuse_unsaved("untaint")
        for address in addresses:
            self._write(
                "untaint", ["untaint", "-no-color", _NO_LOCK, "-allow-missing", address], READ_TIMEOUT
            )

    def destroy(self, timeout: float, targets: Sequence[str] = ()) -> None:
        """Delete everything that the state holds; or these addresses only, with all that depends on them."""
        self._change("destroy", timeout, [_NO_QUESTION, *_only(targets)])

    def recover_state(self) -> Superseded | None:
        """Push the state that an earlier command left in `errored.tfstate`; does nothing if there is none.

        One that the backend's state has left behind is set aside and returned: it cannot be saved any more.
        """
        errored = self.errored_state
        if errored is None:
            return None
        late = set_aside(errored, self._pull())
        if late is None:
            self._write("state push", ["state", "push", _NO_LOCK, errored.name], READ_TIMEOUT)
            errored.unlink()
        return late

    def outputs(self) -> Outputs:
        """Return the values of all outputs as Terraform gives them: nothing is hidden, cut or replaced."""
        text = self._read("output", ["output", "-json", "-no-color"])
        document = _document(text)
        if document is None:
            raise failure("output", (), text, 0)
        return Outputs(document)

    def state(self) -> State:
        """Return what the state holds; nothing if there is no state yet."""
        return state_of(_document(self._pull()) or {})

    def resources(self) -> list[str]:
        """Return the addresses of the managed resources in the state; none if there is no state yet."""
        return list(self.state().resources)

    def _pull(self) -> str:
        """Return the state as the backend has it; nothing is printed where there is none yet."""
        return self._read("state pull", ["state", "pull", "-no-color"])

    def _init(self, timeout: float) -> None:
        arguments = ["init", "-input=false", "-no-color", "-reconfigure"]
        try:
            self._write("init", [*arguments, "-json"], timeout)
        except TerraformFailed as error:
            if _NO_JSON not in error.detail:
                raise
            self._write("init", arguments, timeout)

    def _persist(self, run: Callable[[], _T]) -> _T:
        """Run what changes nothing anew when the cloud was not reached.

        Terraform asks for a role's credentials three times only: some connections that break in a row would
        fail an operation that has worked for a quarter of an hour.
        """
        backoff = Backoff(_FIRST_PAUSE, _LONGEST_PAUSE)
        for _ in range(READ_TRIES - 1):
            begun = runtime.monotonic()
            try:
                return run()
            except TerraformFailed as error:
                tried = runtime.monotonic() - begun
                if error.code != UNREACHABLE or tried > _CUT_OFF_SECONDS or self._stop.is_set():
                    raise
                backoff.pause(self._stop)
        return run()

    def _change(self, command: str, timeout: float, more: Sequence[str] = ()) -> None:
        """Run plan, apply or destroy, unless an earlier one left a state that the backend does not have."""
        self._refuse_unsaved(command)
        self._write(command, [command, "-json", "-input=false", "-no-color", _NO_LOCK, *more], timeout)

    def _refuse_unsaved(self, command: str) -> None:
        if self.errored_state is not None:
            raise self._state_not_saved(f"terraform {command} was not started", ())

    def _write(self, command: str, arguments: Sequence[str], timeout: float) -> None:
        """Run a command that may write the state; report its events."""
        reported: list[TerraformEvent] = []
        texts: deque[str] = deque(maxlen=TEXT_LINES)
        hide = LineMasker()

        def take(line: str) -> None:
            event = parse(line, hide)
            if event is None:
                return
            if event.type == "diagnostic":
                reported.append(event)
            elif event.type == TEXT:
                texts.append(event.message)
            self._on_event(event)
            log.write(event)

        with append_to(self._directory / LOG) as log:
            finished = self._run_alone(arguments, timeout, take)
        if finished.returncode == 0:
            return
        errors = diagnostics(reported)
        if self.errored_state is not None:
            raise self._state_not_saved(
                f"terraform {command} could not save the state", errors, "\n".join(texts)
            )
        self._fail(command, finished, errors, "\n".join(texts))

    def _run_alone(
        self, arguments: Sequence[str], timeout: float, on_line: Callable[[str], None]
    ) -> process.Finished:
        """Run a command as soon as no other one writes in this directory."""
        deadline = runtime.monotonic() + self._lock_timeout
        while True:
            try:
                return self._run(arguments, self._directory / LOG, timeout, on_line, secret_output=True)
            except process.AlreadyRunning:
                if runtime.monotonic() >= deadline:
                    raise
                self._stop.wait(0.2)

    def _read(self, command: str, arguments: Sequence[str]) -> str:
        """Run a command that only reads, and return its output. That stays in memory: it may hold secrets.

        Raises:
            TerraformFailed: `answer_too_large` when it is longer than anything that we asked it to keep.
        """
        return self._persist(lambda: self._read_once(command, arguments))

    def _read_once(self, command: str, arguments: Sequence[str]) -> str:
        with memory_file(f"terraform {command}") as output:
            finished = self._run(arguments, path_of(output), READ_TIMEOUT, None)
            with path_of(output).open("rb") as file:
                content = file.read(ANSWER_BYTES + 1)
        if finished.returncode != 0:
            self._fail(command, finished, (), finished.output)
        if len(content) > ANSWER_BYTES:
            raise TerraformFailed(
                f"terraform {command} printed more than {ANSWER_BYTES >> 20} MiB.",
                code="answer_too_large",
                remedy="Look into the state: somebody else may have written to it.",
            )
        return content.decode(errors="replace")

    def _run(
        self,
        arguments: Sequence[str],
        log: Path,
        timeout: float,
        on_line: Callable[[str], None] | None,
        *,
        secret_output: bool = False,
    ) -> process.Finished:
        return self._run_process(
            [self._binary, *arguments],
            cwd=self._directory,
            env=self._env,
            log=log,
            stop=self._stop,
            timeout=timeout,
            on_line=on_line,
            # Providers run in Terraform's group: they ignore SIGINT, but SIGTERM ends them in mid-request.
            interrupt=signal.SIGINT,
            grace=self._grace,
            secret_output=secret_output,
        )

    def _fail(
        self, command: str, finished: process.Finished, errors: tuple[Diagnostic, ...], text: str
    ) -> NoReturn:
        """Raise the error that says most about how a command ended."""
        what = f"terraform {command}"
        if finished.stood_still:
            raise Interrupted(
                f"{what} was stopped, because the worker had stood still for too long.",
                code="worker_stood_still",
            )
        if finished.stopped and finished.killed:
            raise Stopped(
                f"{what} was stopped, and killed after {self._grace:g} s of grace.",
                detail="What it did in the last 20 s may be missing in the state.",
            )
        if finished.stopped:
            raise Stopped(
                f"{what} was stopped before it had finished.",
                detail="The state is saved; what was being created, if anything, is marked as tainted in it.",
            )
        if finished.timed_out:
            how = f"killed after {self._grace:g} s of grace" if finished.killed else "the state is saved"
            raise TerraformFailed(
                f"{what} was stopped because its time was up; {how}.",
                code="timeout",
                detail="\n\n".join(str(error) for error in errors),
                remedy="See what it was waiting for in the events, then try again.",
                diagnostics=errors,
            )
        if finished.returncode > SIGNALLED:
            raise _killed(f"{what} was ended by signal {finished.returncode - SIGNALLED}.", errors)
        raise failure(command, errors, text, finished.returncode, self._rules)

    def _state_not_saved(self, what: str, errors: tuple[Diagnostic, ...], text: str = "") -> TerraformFailed:
        return TerraformFailed(
            f"{what}: {ERRORED_STATE} holds a state that the backend does not have.",
            code="state_not_saved",
            detail="\n\n".join(str(error) for error in errors) or text,
            remedy="Keep the working directory and push that state (recover_state) before the next run.",
            diagnostics=errors,
            errored_state=self.errored_state,
        )


def _only(targets: Sequence[str]) -> list[str]:
    return [f"-target={address}" for address in targets]


def _document(text: str) -> dict[str, Any] | None:
    """Return the JSON object that Terraform printed; warnings about its own configuration come before it."""
    start = re.search(r"^\{", text, re.MULTILINE)
    if start is None:
        return None
    document: dict[str, Any] = json.JSONDecoder().raw_decode(text, start.start())[0]
    return document


def _killed(what: str, errors: tuple[Diagnostic, ...]) -> TerraformKilled:
    return TerraformKilled(
        what,
        code="terraform_killed",
        detail="What it did in the last 20 s may be missing in the state.",
        remedy="The next attempt, or a delete, looks in the account for what is missing there.",
        diagnostics=errors,
    )
