"""A PostgreSQL of its own, whose tables belong to one role and are used by another (docs/audit.md)."""

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote, urlsplit, urlunsplit

import psycopg
import pytest
from tests.support.documents import ROOT
from tests.support.page import blocks, script

from beta9_provisioning.local.services import embedded_postgres

PAGE = ROOT / "docs" / "audit.md"
_PASSWORDS = {
    "provisioning_owner": "a long random one, letters and digits",
    "provisioning": "another long random one",
}


@dataclass(frozen=True)
class Server:
    """A server's database, and who may come to it."""

    master: str

    def url(self, role: str) -> str:
        """Return the URL of a role that the page makes."""
        parts = urlsplit(self.master)
        place = parts.netloc.rpartition("@")[2]
        return urlunsplit(parts._replace(netloc=f"{role}:{quote(_PASSWORDS[role])}@{place}"))

    @property
    def owner(self) -> str:
        return self.url("provisioning_owner")

    @property
    def application(self) -> str:
        return self.url("provisioning")

    def runs(self, where: str, url: str) -> None:
        """Run the page's blocks of one kind."""
        assert where in {block.where for block in blocks(PAGE)}
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(script(PAGE, where).encode())


@pytest.fixture(scope="session")
def own_server() -> Iterator[Server]:
    """A server whose roles are no other test's."""
    with embedded_postgres() as url:
        yield Server(url)
