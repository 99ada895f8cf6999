"""The secrets of a simulated cloud and its clusters, and the search for them in what a program wrote."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import quote

from beta9_simulator.cloud.store import Store

# A token for a cluster holds a session token in base64, and is a secret itself.
_CLUSTER_TOKEN = re.compile(rb"k8s-aws-v1\.[\w-]{8,}")


class Secrets:
    """Secrets by what they are, and where to look for them."""

    def __init__(self) -> None:
        self.found: dict[str, set[str]] = {}

    def add(self, kind: str, *values: str) -> None:
        """Note secrets; empty ones are none."""
        self.found.setdefault(kind, set()).update(value for value in values if value)

    def add_of_cloud(self, store: Store) -> None:
        """Note what the cloud knows now: keys, tokens of sessions, passwords of databases."""
        for key, token in store.execute("select secret_key, session_token from credentials"):
            self.add("access key", key)
            self.add("session token", token)
        for name, value in store.execute("select name, value from secrets"):
            of_rds = str(name).startswith("rds!")
            self.add("master password" if of_rds else "redis password", json.loads(value)["password"])

    def in_text(self, place: str, content: bytes) -> Iterator[str]:
        """Yield what of them is in a text, in clear, as part of a URL, or in base64."""
        if _CLUSTER_TOKEN.search(content):
            yield f"a cluster's token in {place}"
        for kind, values in self.found.items():
            if any(form in content for value in values for form in _forms(value)):
                yield f"{kind} in {place}"

    def in_files(self, *directories: Path) -> Iterator[str]:
        """Yield what of them is in the files below directories."""
        for path in _files(directories):
            try:
                content = path.read_bytes()
            except FileNotFoundError:
                continue  # it was only passing
            yield from self.in_text(str(path), content)


def _files(directories: Iterable[Path]) -> Iterator[Path]:
    for directory in directories:
        yield from (path for path in directory.rglob("*") if path.is_file())


def _forms(value: str) -> Iterator[bytes]:
    yield value.encode()
    yield quote(value, safe="").encode()
    for offset in range(3):
        # Within a longer text in base64: without the characters that its neighbours share.
        encoded = base64.b64encode(bytes(offset) + value.encode()).rstrip(b"=")[(0, 2, 3)[offset] : -1]
        yield encoded
        yield encoded.translate(bytes.maketrans(b"+/", b"-_"))
