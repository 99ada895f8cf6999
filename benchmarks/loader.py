"""Loads the API with concurrent clients for some seconds, in a process of its own.

    python -m benchmarks.loader URL WHAT CLIENTS SECONDS PREFIX

The key to show, if any, is in BETA9_API_KEY.
WHAT is `health`, `create`, `get`, `list` or `metrics`; PREFIX begins the names of what is created. Each
client has one connection and sends its next request when it has the answer to the last. Prints
`{"requests": n, "seconds": s, "latencies_ms": [...]}`.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import aiohttp

from benchmarks.stacks import example

_PATH = "/api/v1/environments"


class UnexpectedAnswer(Exception):
    """The API did not answer as it should; the message shows its answer."""


async def load(url: str, what: str, clients: int, seconds: float, prefix: str) -> dict[str, Any]:
    """Return the number of requests, the time they took, and the latency of each.

    Raises:
        UnexpectedAnswer: to one of the requests.
    """
    latencies: list[float] = []
    connector = aiohttp.TCPConnector(limit=clients)
    headers = bearer(os.environ.get("BETA9_API_KEY", ""))
    async with aiohttp.ClientSession(url, connector=connector, headers=headers) as session:
        request = await _request(session, what, prefix)
        began = time.perf_counter()
        deadline = began + seconds

        async def client() -> None:
            while (sent := time.perf_counter()) < deadline:
                method, path, body = request()
                async with session.request(method, path, json=body) as response:
                    answer = await response.read()
                if response.status not in (200, 202):
                    raise UnexpectedAnswer(f"{method} {path}: {response.status} {answer.decode()[:1000]}")
                latencies.append((time.perf_counter() - sent) * 1000)

        async with asyncio.TaskGroup() as group:
            for _ in range(clients):
                group.create_task(client())
        took = time.perf_counter() - began
    return {"requests": len(latencies), "seconds": took, "latencies_ms": latencies}


def bearer(key: str) -> dict[str, str]:
    """Return the header that shows a key, if there is one."""
    return {"Authorization": f"Bearer {key}"} if key else {}


async def _request(
    session: aiohttp.ClientSession, what: str, prefix: str
) -> Callable[[], tuple[str, str, dict[str, Any] | None]]:
    """Return what makes the next request: method, path and body."""
    if what == "create":
        config, numbers = example(), itertools.count()
        return lambda: ("POST", _PATH, config | {"name": f"{prefix}-{next(numbers)}"})
    if what == "get":
        async with session.get(_PATH, params={"limit": 100}) as response:
            ids = [item["environment_id"] for item in (await response.json())["items"]]
        turn = itertools.cycle(ids)
        return lambda: ("GET", f"{_PATH}/{next(turn)}", None)
    path = {"health": "/health", "list": _PATH, "metrics": "/metrics"}[what]
    return lambda: ("GET", path, None)


def main() -> None:
    """Run it from the command line."""
    url, what, clients, seconds, prefix = sys.argv[1:]
    print(json.dumps(asyncio.run(load(url, what, int(clients), float(seconds), prefix))))


if __name__ == "__main__":
    main()
