"""Whether what the worker takes for AWS is the simulator, and what that offers in place of genuine charts."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from botocore.exceptions import BotoCoreError

from beta9_provisioning.clouds.aws.session import core_session

# The simulator's own name for the question; no bucket can be called so.
_ABOUT = "/_beta9_simulator"
_SECONDS = 5.0


def endpoint(region: str) -> str:
    """Return the address at which the worker asks for clusters, as AWS_ENDPOINT_URL* and profiles have it.

    It is empty when they cannot be read; the next call to AWS says why.
    """
    try:
        return str(core_session().create_client("eks", region_name=region).meta.endpoint_url)
    except (BotoCoreError, ValueError):
        return ""


def stand_in_charts(address: str) -> Path | None:
    """Return the directory of stand-in charts that the simulator names; None if it does not answer there."""
    if not _is_loopback(address):
        return None
    try:
        answer = httpx.get(address.rstrip("/") + _ABOUT, timeout=_SECONDS, trust_env=False)
        about = answer.raise_for_status().json()
        charts = Path(about["charts"]) if about["simulator"] == "beta9" else None
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, TypeError, KeyError):
        return None
    return charts if charts is not None and charts.is_dir() else None


def _is_loopback(address: str) -> bool:
    host = urlsplit(address).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
