"""The API beside the first release: rates, p99, processor time and statements of create, get and list.

One side asks for a key, and counts callers for limits. Each side has its own database on one PostgreSQL, with
its own, durable defaults, and 1,000 environments. The load comes from another process (`loader.py`) on the
same machine: API, PostgreSQL and load share its processors. In each round every side is measured once, one
after the other.
"""

from __future__ import annotations

import json
import os
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

import httpx
import psycopg

from benchmarks.api_servers import Api, Side, serving
from benchmarks.figures import Figure, Row, percentile
from benchmarks.loader import bearer
from benchmarks.processes import BenchmarkFailed, run
from benchmarks.released import first_release
from benchmarks.stacks import ROOT, example, scratch
from beta9_provisioning.local.postgres import DURABLE
from beta9_provisioning.local.services import embedded_postgres, embedded_valkey

_ENVIRONMENTS = 1000
_MANY = 100_000
_EVENTS = 50  # of each of them
_SCRAPE_MS = 50.0
_CLIENTS = (1, 8, 32)
_BUSY = 32
# Creating comes last, so that the others see just as many environments in every round.
_WHATS = ("get", "list", "create")
_LOGGED = {"log_statement": "all", "log_line_prefix": "%d "}
_REQUESTS = 50

_OURS, _TWO, _ASKS, _MANY_ROWS, _RELEASED = "ours", "two processes", "asks", "many", "released"
Cell = tuple[str, str, int]
"""A side, what is requested, and by how many clients at once."""


class _Samples:
    """What was measured, by cell; sample n of each cell comes from round n."""

    def __init__(self) -> None:
        self._rates: defaultdict[Cell, list[float]] = defaultdict(list)
        self._slowest: defaultdict[Cell, list[float]] = defaultdict(list)
        self._processor: defaultdict[Cell, list[float]] = defaultdict(list)

    def take(self, cell: Cell, api: Api, seconds: float, prefix: str) -> None:
        """Load a side once."""
        _, what, clients = cell
        before = api.cpu_seconds()
        found = _load(api, what, clients, seconds, prefix)
        self._processor[cell].append((api.cpu_seconds() - before) * 1000 / found["requests"])
        self._rates[cell].append(found["requests"] / found["seconds"])
        self._slowest[cell].append(percentile(found["latencies_ms"], 99))

    def rate(self, *cell: Any) -> Figure | None:
        """Return requests per second; None when the side was not there."""
        return _figure(self._rates.get(cell), "1/s")

    def p99(self, *cell: Any) -> Figure | None:
        """Return the latency that 99 % of the requests kept within."""
        return _figure(self._slowest.get(cell), "ms")

    def processor(self, *cell: Any) -> Figure | None:
        """Return the processor time of the API's processes for each request."""
        return _figure(self._processor.get(cell), "ms")


def measure(report: Callable[[str], None], *, quick: bool) -> list[Row]:
    """Return the rows of the table; those of one and two processes at 32 clients have aims.

    Raises:
        BenchmarkFailed: an answer was not as it should be.
    """
    rounds, seconds = (1, 1.0) if quick else (3, 3.0)
    first = first_release(report)
    released = {} if first is None else {_RELEASED: Side(_RELEASED, first)}
    sides = {**released, _OURS: Side("ours"), _TWO: Side("two", processes=2), _ASKS: Side("asks", asks=True)}
    statements = _statements(report, {name: sides[name] for name in (*released, _OURS, _ASKS)})
    samples = _Samples()
    with ExitStack() as stack:
        apis = _start(stack, {**sides, _MANY_ROWS: Side("many")}, DURABLE)
        report(f"making {_ENVIRONMENTS} environments each, and {_MANY} of which one side lists")
        for api in apis.values():
            _fill(api)
        environments, events = _multiply(apis[_MANY_ROWS], 1000 if quick else _MANY)
        scrapes = _load(apis[_MANY_ROWS], "metrics", 1, seconds, "")["latencies_ms"]
        for what in _WHATS:
            for number in range(rounds):
                report(f"{what}: round {number + 1} of {rounds}")
                for clients in _CLIENTS:
                    for side in apis if (what, clients) == ("list", _BUSY) else sides:
                        prefix = f"{what}-{number}-{clients}"
                        samples.take((side, what, clients), apis[side], seconds, prefix)
    scrape = Row(
        f"scrape, {environments} environments and {events} events",
        Figure.percentile(scrapes, 99, "ms"),
        aim=_SCRAPE_MS,
    )
    return [*(row for what in _WHATS for row in _rows(what, samples, statements)), scrape]


def _rows(what: str, samples: _Samples, statements: Mapping[str, Mapping[str, Figure]]) -> list[Row]:
    rows = []
    for clients in _CLIENTS:
        busy = clients == _BUSY
        theirs, ours = (_RELEASED, what, clients), (_OURS, what, clients)
        title = f"{what}, {clients} client{'s' if clients > 1 else ''}"
        rows += [
            _row(title, samples.rate(*ours), samples.rate(*theirs), 1.5 if busy else None),
            _row("  p99", samples.p99(*ours), samples.p99(*theirs)),
        ]
        if busy:
            two = _TWO, what, clients
            rows += [
                _row("  two processes", samples.rate(*two), samples.rate(*theirs), 2.0),
                _row("    p99", samples.p99(*two), samples.p99(*theirs)),
                _row("  processor time of the API", samples.processor(*ours), samples.processor(*theirs)),
                _row("  with a key, beside without", samples.rate(_ASKS, what, clients), samples.rate(*ours)),
                _row("    p99", samples.p99(_ASKS, what, clients), samples.p99(*ours)),
            ]
    rows.append(_row("  statements", statements[_OURS][what], statements.get(_RELEASED, {}).get(what)))
    rows.append(
        _row("  statements with a key, beside without", statements[_ASKS][what], statements[_OURS][what])
    )
    if what == "list":
        many, few = (samples.rate(side, what, _BUSY) for side in (_MANY_ROWS, _OURS))
        rows.append(_row(f"  {_MANY} environments beside {_ENVIRONMENTS}", many, few, 1.0))
    return rows


def _row(measure: str, ours: Figure | None, baseline: Figure | None, at_least: float | None = None) -> Row:
    assert ours is not None
    return Row(measure, ours, baseline, at_least if baseline else None, is_floor=True)


def _figure(samples: list[float] | None, unit: str) -> Figure | None:
    return Figure.median(samples, unit) if samples else None


def _start(stack: ExitStack, sides: Mapping[str, Side], settings: Mapping[str, str]) -> dict[str, Api]:
    """Run PostgreSQL with these settings, Valkey and all programs until the stack ends."""
    directory = stack.enter_context(scratch())
    server = stack.enter_context(embedded_postgres(settings, log=directory / "postgres.log"))
    redis = stack.enter_context(embedded_valkey())
    return {
        name: stack.enter_context(serving(side, server, redis, directory)) for name, side in sides.items()
    }


def _statements(report: Callable[[str], None], sides: Mapping[str, Side]) -> dict[str, dict[str, Figure]]:
    """Return how many statements a request costs, as PostgreSQL's own log has them, by side."""
    report("counting statements")
    with ExitStack() as stack:
        apis = _start(stack, sides, _LOGGED)
        return {
            name: {what: _count(api, sides[name].name, what) for what in _WHATS} for name, api in apis.items()
        }


def _count(api: Api, database: str, what: str) -> Figure:
    log = api.directory / "postgres.log"
    path = "/api/v1/environments"
    with httpx.Client(base_url=api.url, headers=bearer(api.key), trust_env=False, timeout=60) as client:

        def ask(number: int) -> None:
            config = example() | {"name": f"{what}-{number}"}
            answer = client.post(path, json=config) if what == "create" else client.get(target)
            answer.raise_for_status()

        made = client.post(path, json=example() | {"name": f"for-{what}"}).raise_for_status().json()
        target = f"{path}/{made['environment_id']}" if what == "get" else path
        ask(0)
        began = log.stat().st_size
        for number in range(1, _REQUESTS + 1):
            ask(number)
    with log.open("rb") as file:
        file.seek(began)
        lines = file.read().decode(errors="replace").splitlines()
    logged = tuple(f"{database} LOG:  {how}" for how in ("statement:", "execute"))
    said = [line for line in lines if line.startswith(logged)]
    return Figure(len(said) / _REQUESTS, "", (len(said) / _REQUESTS,))


def _fill(api: Api) -> None:
    """Create environments until there are as many as are wanted."""
    made = 0
    while made < _ENVIRONMENTS:
        made += _load(api, "create", 8, 1.0, f"filling-{made}")["requests"]


def _multiply(api: Api, wanted: int) -> tuple[int, int]:
    """Copy what there is, with other ids, names and times, until there are as many as are wanted.

    The copies are ready, and each gets events. Returns how many environments and events there are.
    """
    copy = """
        INSERT INTO {table} SELECT copy.* FROM {table} row, generate_series(1, %(times)s) turn,
        LATERAL jsonb_populate_record(row, {changes}) copy
    """
    other = "row.{0} || '-' || turn".format
    changes = {
        "environments": {"id": other("id"), "name": other("name"), "status": "'ready'"},
        "operations": {
            "id": other("id"),
            "environment_id": other("environment_id"),
            "status": "'succeeded'",
            "started_at": "row.created_at",
            "finished_at": "row.created_at",
        },
    }
    with psycopg.connect(api.database, autocommit=True) as connection:
        there = connection.execute("SELECT count(*) FROM environments").fetchone()
        assert there is not None
        for table, columns in changes.items():
            pairs = ", ".join(f"'{name}', {value}" for name, value in columns.items())
            statement = copy.format(table=table, changes=f"jsonb_build_object({pairs})")
            connection.execute(statement, {"times": wanted // there[0]})
        connection.execute(
            "INSERT INTO events SELECT id, 2 + turn, created_at, NULL, 'terraform.resource', 'Created.', "
            "'{}' FROM environments, generate_series(1, %(times)s) turn",
            {"times": _EVENTS},
        )
        connection.execute("VACUUM ANALYZE")
        counted = connection.execute("SELECT (SELECT count(*) FROM environments), count(*) FROM events")
        environments, events = counted.fetchone() or (0, 0)
    return environments, events


def _load(api: Api, what: str, clients: int, seconds: float, prefix: str) -> dict[str, Any]:
    arguments = [api.url, what, str(clients), str(seconds), prefix]
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    done = run(
        [sys.executable, "-m", "benchmarks.loader", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path, "BETA9_API_KEY": api.key},
    )
    document: dict[str, Any] = json.loads(done.output)
    if not document["requests"]:
        raise BenchmarkFailed(f"no request to {what} was answered within {seconds:g} s")
    return document
