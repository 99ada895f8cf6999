"""PostgreSQL and Valkey for a test session: genuine, one of each, shared by all xdist workers.

`DATABASE_URL` and `REDIS_URL` name servers to use instead. Tests then make databases of their own on that
PostgreSQL and use the Redis databases 1 to 15, of which they delete the key prefix `provisioning:` only.
"""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from secrets import token_hex
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from beta9_provisioning.local.services import embedded_postgres, embedded_valkey
from beta9_provisioning.operations.records.migrate import init_db


@dataclass(frozen=True)
class Addresses:
    """Where the servers are."""

    postgres: str
    template: str
    """Name of a database that has the schema and no rows."""
    redis: str


class Servers:
    """The servers of a test session, started by the process that owns them."""

    def __init__(self, named: Mapping[str, str]) -> None:
        """Take the developer's variables; those two of them count."""
        self._named = named
        self._stack = ExitStack()

    def start(self) -> Addresses:
        """Start what no variable names, and make the template database."""
        postgres = self._named.get("DATABASE_URL") or self._stack.enter_context(embedded_postgres())
        redis = self._named.get("REDIS_URL") or self._stack.enter_context(embedded_valkey())
        template = f"beta9_test_{token_hex(4)}"
        create_database(postgres, template)
        self._stack.callback(drop_database, postgres, template)
        init_db(with_path(postgres, template))
        return Addresses(postgres, template, redis)

    def stop(self) -> None:
        """Stop what was started."""
        self._stack.close()


def with_path(url: str, path: str) -> str:
    """Return the URL of another database on the same server."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{path}"))


def create_database(server: str, name: str, *, template: str | None = None) -> str:
    """Create a database, empty or as a copy, and return its URL."""
    statement = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
    if template is not None:
        statement += sql.SQL(" TEMPLATE {}").format(sql.Identifier(template))
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(statement)
    return with_path(server, name)


def drop_database(server: str, name: str) -> None:
    """Drop a database, whoever is connected to it."""
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
