"""What all tests run in: an environment that holds nothing a developer has set for a purpose of their own."""

import os
import signal
from collections.abc import Mapping

# What is needed to run programs at all, and what shapes the test run, not what is tested. A list of what must
# go would never be complete: every library reads variables of its own.
_KEPT = frozenset(
    {"CI", "HOME", "LOGNAME", "PATH", "PYTHONDONTWRITEBYTECODE", "PYTHONPATH", "SHELL", "TMPDIR", "USER"}
)
_KEPT_PREFIXES = ("COVERAGE_", "COV_", "LD_", "PIP_", "PYTEST_", "UV_")
# AWS clients would read files in the home directory, and ask the machine for its role.
_ADDED = {
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
    # So would our own command line, and it would ask the system's keyring. Nothing is there, nor can be made;
    # /dev/null would not do: Helm takes what is no directory for a fault.
    "XDG_CONFIG_HOME": "/proc/none",
    "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring",
}
taken: dict[str, str] = {}
"""What the developer had set, and tests do not see."""


def seal(taken_before: Mapping[str, str]) -> None:
    """Leave in this process's environment only what tests may depend on.

    An xdist worker is started in the sealed environment of its controller, which tells it what was taken.
    """
    taken.update(taken_before)
    for name, value in list(os.environ.items()):
        if not _is_kept(name):
            taken[name] = value
            del os.environ[name]
    os.environ.update(_ADDED)


def unsealed() -> dict[str, str]:
    """Return the environment as the developer has it: for fetching packages, which are not what is tested."""
    return {**{name: value for name, value in os.environ.items() if name not in _ADDED}, **taken}


def hear_signals() -> None:
    """Have children hear Ctrl-C and hangups although this run is in a shell's background, or under nohup."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        # What is handled is no more ignored by children, and the run itself survives its terminal.
        signal.signal(signal.SIGHUP, lambda *_: None)


def _is_kept(name: str) -> bool:
    return name in _KEPT or name.startswith(_KEPT_PREFIXES)
