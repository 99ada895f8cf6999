"""Which environment variables child processes get: one table, by exact names.

What is not named here stays outside, so that the environment in which somebody happened to start the worker
does not decide what its tools do: a TF_WORKSPACE would lead Terraform to another state, a TF_CLI_ARGS break
every command, a TF_LOG write secrets. The cloud's own names are in `Cloud.child_variables`.
"""

from collections.abc import Collection, Iterable, Mapping
from fnmatch import fnmatchcase

PROCESS = ("PATH", "TMPDIR", "TZ", "LANG", "LC_ALL", "LC_CTYPE")
"""Where programs and temporary files are, and how text and times look."""

_WAY_OUT = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR")
NETWORK = (*_WAY_OUT, *(name.lower() for name in _WAY_OUT))
"""The way through a proxy, and whom to trust there (`kit.certificates.for_tools`). Tools read either case."""

TERRAFORM = (*PROCESS, "HOME", *NETWORK)
"""Beside what its cloud needs. HOME holds the files of cloud and Terraform that the settings do not name."""

SET_FOR_TERRAFORM = {"TF_IN_AUTOMATION": "1", "TF_INPUT": "0", "CHECKPOINT_DISABLE": "1"}
"""Set, whatever the worker has: no advice about commands to type, no questions, no call to HashiCorp."""

HELM = (*PROCESS, *NETWORK, "HELM_REGISTRY_CONFIG")
"""Helm gets a HOME of its own, and no cloud's credentials."""

SYNTHESIS = (*PROCESS, "PYTHONPATH", "JSII_NODE")
"""It never leaves the machine."""

_TOOLS_OWN = ("TF_*", "TOFU_*", "HELM_*")


def chosen(source: Mapping[str, str], names: Iterable[str]) -> dict[str, str]:
    """Return what of `source` has one of these names. A `*` at the end of a name stands for anything."""
    patterns = tuple(names)
    return {name: value for name, value in source.items() if any(fnmatchcase(name, one) for one in patterns)}


def ignored(source: Mapping[str, str], passed: Collection[str] = ()) -> list[str]:
    """Return the names in `source` that would steer a tool or a cloud's SDK, and that none gets.

    `passed` are the names of the cloud's own that Terraform gets.
    """
    families = (*_TOOLS_OWN, *{f"{name.partition('_')[0]}_*" for name in passed})
    return sorted(chosen(source, families).keys() - chosen(source, (*HELM, *passed)).keys())
