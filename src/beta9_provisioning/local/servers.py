"""Start a server as a child process: find its program, give it a port, wait until it is ready, end it."""

import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from beta9_provisioning.kit.orphans import dies_with_parent
from beta9_provisioning.local.ports import free_port, is_free
from beta9_provisioning.local.processes import tail, wait_until

_ATTEMPTS = 5
_READY_SECONDS = 60.0
_STOP_SECONDS = 20.0


class ServiceError(Exception):
    """A server could not be started; the message says why, and what to do."""


def start_on_port(
    name: str,
    launch: Callable[[int], subprocess.Popen[bytes]],
    is_ready: Callable[[int, int], bool],
    log: Path,
    wanted: int = 0,
) -> tuple[subprocess.Popen[bytes], int]:
    """Launch the server and return it with its port once it is ready.

    Args:
        name: for messages.
        launch: starts it on the given port.
        is_ready: tells by pid and port whether it answers.
        log: what it writes.
        wanted: the port; 0 takes a free one, and another one when somebody else is quicker.

    Raises:
        ServiceError: the server did not become ready; the message ends with its log.
    """
    for _ in range(_ATTEMPTS):
        port = wanted or free_port()
        child = launch(port)
        ready = partial(is_ready, child.pid, port)
        try:
            wait_until(lambda: child.poll() is not None or ready(), _READY_SECONDS)  # noqa: B023
            if child.poll() is None and ready():
                return child, port
        except BaseException:  # an interrupt, too, must leave no server behind that nobody knows
            end(child, signal.SIGKILL)
            raise
        end(child, signal.SIGKILL)
        if wanted or is_free(port):  # so the port was not the reason
            break
    raise ServiceError(f"{name} did not start. Its log ({log}) ends:\n{tail(log)}")


def spawn(
    command: Sequence[str], environment: Mapping[str, str], *, cwd: Path, log: Path, tied: bool
) -> subprocess.Popen[bytes]:
    """Start a process in a session of its own that writes into a log of its own.

    With `tied` it is told to stop when the thread that started it ends, otherwise it outlives that.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as file:
        return subprocess.Popen(
            command,
            env=environment,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=dies_with_parent(signal.SIGTERM) if tied else None,
        )


def answers(url: str) -> bool:
    """Tell whether a GET of this URL succeeds now."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=5) as response:
            return bool(response.status < 300)
    except (OSError, urllib.error.HTTPError):
        return False


def end(child: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Send the signal and wait; a server that does not end in time is killed."""
    child.send_signal(number)
    try:
        child.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def package_directory(name: str) -> Path:
    """Return where an installed package lies, without importing it.

    Raises:
        ServiceError: it is not installed.
    """
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        raise ServiceError(
            f"the package {name} is not installed, so there is no server to start; run `make setup`, "
            "or name a server of your own in DATABASE_URL and REDIS_URL"
        )
    return Path(spec.origin).parent
