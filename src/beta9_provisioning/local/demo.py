"""The demonstration: an environment from nothing to ready to nothing, by the commands that users type."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from beta9_provisioning.kit.signals import handling
from beta9_provisioning.local.checkout import project_root
from beta9_provisioning.local.stack import Stack
from beta9_provisioning.local.state import State

_PROGRAM = "beta9-provisioning"
_ID = re.compile(r"\benv_[0-9a-z]+\b")
_LISTED = 20


class DemoFailed(Exception):
    """The demonstration did not go as it should; the message says where."""


def run(time_scale: float) -> int:
    """Run it on a stack of its own, on free ports; return the exit code.

    Raises:
        ServiceError: the stack could not be started.
        ToolError: Terraform, Helm or kubectl is missing.
    """
    began = time.monotonic()
    root = project_root()
    directory = root / ".local" / f"demo-{uuid4().hex[:8]}"
    stack = Stack(directory, lambda sentence: _say(f"  {sentence}"), tied=True)
    failure = ""
    with _termination_interrupts():
        try:
            _heading("Starting the local stack on free ports")
            state = stack.up(api_port=0, time_scale=time_scale)
            _say(f"  Ready at {state.api_url} after {time.monotonic() - began:.1f} s")
            _show(root, directory, state, lambda: _leftovers(stack))
        except DemoFailed as error:
            failure = str(error)
        except KeyboardInterrupt:
            failure = "it was interrupted."
        except BaseException:
            _stop(stack)
            raise
    _stop(stack)
    if failure:
        _say(f"\nThe demo failed: {failure}\nThe logs are in {stack.logs}.")
        return 1
    shutil.rmtree(directory)
    _say(f"\nThe demo succeeded in {time.monotonic() - began:.0f} s.")
    return 0


def _show(root: Path, directory: Path, state: State, left: Callable[[], Mapping[str, list[str]]]) -> None:
    """The demonstration itself."""
    shell = _Shell(root, {**os.environ, **state.environment})
    _heading("Creating an environment")
    answer = shell.run("env", "create", "-f", "example-config.yaml", capture=True)
    found = _ID.search(answer)
    if found is None:
        raise DemoFailed("`env create` printed no ID.")
    environment_id = found[0]
    shell.run("env", "watch", environment_id)
    shell.run("env", "outputs", environment_id)

    _heading("Looking into its cluster with kubectl")
    kubeconfig = directory / "kubeconfig"
    text = shell.run("env", "kubeconfig", environment_id, capture=True, shown=f"> {_short(kubeconfig, root)}")
    kubeconfig.write_text(text)
    shell.run("--kubeconfig", _short(kubeconfig, root), "get", "deployments", "-A", program="kubectl")
    _say(f"\n  The simulated cloud now holds {_counts(left())}.")

    _heading("Deleting it")
    shell.run("env", "delete", environment_id, "--wait", "--yes")
    remaining = left()
    _say(f"\n  The simulated cloud now holds {_counts(remaining)}.")
    names = [name for kind in remaining.values() for name in kind]
    if names:
        raise DemoFailed("something is left:\n  " + "\n  ".join(names[:_LISTED]))


class _Shell:
    """Types commands as a user would, with the command line shown before each."""

    def __init__(self, root: Path, environment: Mapping[str, str]) -> None:
        self._root = root
        self._environment = environment

    def run(self, *arguments: str, program: str = _PROGRAM, capture: bool = False, shown: str = "") -> str:
        """Run a command.

        With `capture`, return what it printed, and print that unless `shown` says where it goes.

        Raises:
            DemoFailed: the command failed.
        """
        line = shlex.join([program, *arguments])
        _say(f"\n{_bold('$')} {_bold(' '.join(part for part in (line, shown) if part))}")
        # subprocess looks for the program on this process's PATH, which may lack it.
        path = shutil.which(program, path=self._environment["PATH"])
        if path is None:
            raise DemoFailed(f"there is no program {program} on PATH; run `make setup`.")
        done = subprocess.run(
            [path, *arguments],
            cwd=self._root,
            env=self._environment,
            stdout=subprocess.PIPE if capture else None,
            text=True,
            check=False,
        )
        output = done.stdout or ""
        if capture and not shown:
            _say(output.rstrip())
        if done.returncode != 0:
            raise DemoFailed(f"`{line}` ended with exit code {done.returncode}.")
        return output


def _leftovers(stack: Stack) -> dict[str, list[str]]:
    with urllib.request.urlopen(f"{stack.simulator().control_url}/leftovers", timeout=30) as response:  # noqa: S310
        found: dict[str, list[str]] = json.load(response)
    return found


def _counts(left: Mapping[str, list[str]]) -> str:
    cloud, clusters = len(left["cloud"]), len(left["clusters"])
    return f"{cloud} resources, and {clusters} load balancers and volumes made by clusters"


@contextmanager
def _termination_interrupts() -> Iterator[None]:
    """Let the signals that ask for an end interrupt the demonstration, so that the stack is stopped."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with handling(interrupt):
        yield


def _stop(stack: Stack) -> None:
    _heading("Stopping the local stack")
    # An impatient second Ctrl-C, or SIGHUP beside SIGTERM, would leave processes behind.
    with handling(lambda *_: None):
        stack.down()


def _short(path: Path, root: Path) -> str:
    return str(path.relative_to(root))


def _heading(text: str) -> None:
    _say(f"\n{_bold(f'== {text}')}")


def _bold(text: str) -> str:
    return f"\033[1m{text}\033[0m" if sys.stdout.isatty() else text


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
