"""Whether what the worker takes for AWS is the simulator, and what that offers in place of genuine charts."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from botocore.exceptions import BotoCoreError

from beta9_provisioning.clouds.aws.session import core_session
from beta9_provisioning.clouds.cloud import Simulation
from beta9_provisioning.kit.listening import is_loopback

# The simulator's own name for the question; no bucket can be called so.
_ABOUT = "/_beta9_simulator"
_SECONDS = 5.0
# As name services of container networks give them; no address in any notation is one.
_ONE_LABEL = re.compile(r"[a-z][a-z0-9-]*")


def endpoint(region: str) -> str:
    """Return the address at which the worker asks for clusters, as AWS_ENDPOINT_URL* and profiles have it.

    It is empty when they cannot be read; the next call to AWS says why.
    """
    try:
        return str(core_session().create_client("eks", region_name=region).meta.endpoint_url)
    except (BotoCoreError, ValueError):
        return ""


def ask(address: str) -> Simulation:
    """Return whether the simulator answers at this address.

    Only what is near is asked: this machine, and hosts with a name of one label, as containers of one network
    have them. No public host, AWS's least of all, has such a name. The directory that it names for its charts
    counts on this machine alone.
    """
    host = urlsplit(address).hostname or ""
    on_this_machine = is_loopback(host)
    named = _named_charts(address) if on_this_machine or _ONE_LABEL.fullmatch(host) else None
    charts = named if named is not None and on_this_machine and named.is_dir() else None
    return Simulation(address, answers=named is not None, charts=charts)


def _named_charts(address: str) -> Path | None:
    """Return the directory of stand-in charts that the simulator names; None if it does not answer there."""
    try:
        answer = httpx.get(address.rstrip("/") + _ABOUT, timeout=_SECONDS, trust_env=False)
        about = answer.raise_for_status().json()
        return Path(about["charts"]) if about["simulator"] == "beta9" else None
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, TypeError, KeyError):
        return None
