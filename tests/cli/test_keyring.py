"""Where credentials lie: in a keyring that is one, and otherwise in the file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.test_login import KEY, OTHER, WHOAMI
from tests.client import fake_api
from tests.client.fake_api import BASE, FakeApi, answer_json
from tests.support.cli import Home

# Keyrings as the library loads them; what they hold is in a file beside this one.
BACKENDS = """
import json, pathlib
from keyring.backend import KeyringBackend
from keyring.errors import KeyringLocked, PasswordDeleteError

class Vault(KeyringBackend):
    priority = 5
    path = pathlib.Path(__file__).with_name("vault.json")

    def _read(self):
        return json.loads(self.path.read_text()) if self.path.exists() else {}

    def get_password(self, service, username):
        return self._read().get(f"{service}/{username}")

    def set_password(self, service, username, password):
        self.path.write_text(json.dumps({**self._read(), f"{service}/{username}": password}))

    def delete_password(self, service, username):
        held = self._read()
        if held.pop(f"{service}/{username}", None) is None:
            raise PasswordDeleteError("no such password")
        self.path.write_text(json.dumps(held))

class PlainText(Vault):
    priority = 0.5

class Nowhere(Vault):
    priority = -1

class Locked(Vault):
    def get_password(self, service, username):
        raise KeyringLocked(self.path.read_text())
    set_password = delete_password = lambda self, *_: self.get_password("", "")

class Full(Vault):
    def set_password(self, service, username, password):
        raise ValueError("full")

class Faulty(Vault):
    def get_password(self, service, username):
        raise ValueError(self.path.read_text() if self.path.exists() else "fault")
    set_password = lambda self, *_: self.get_password("", "")
"""


@pytest.fixture
def fake() -> Iterator[FakeApi]:
    with fake_api.serving() as running:
        running.on("GET", "/api/v1/auth", answer_json(fake_api.methods()))
        running.on("GET", WHOAMI, answer_json(fake_api.identity()))
        running.on("GET", BASE, answer_json({"items": [], "next_cursor": None}))
        yield running


@pytest.fixture
def vault(tmp_path: Path) -> Path:
    """Where the keyrings can be imported from, and where what they hold is."""
    (tmp_path / "vaults").mkdir()
    (tmp_path / "vaults" / "vaults.py").write_text(BACKENDS)
    return tmp_path / "vaults" / "vault.json"


def having(vault: Path, backend: str) -> dict[str, str]:
    module = backend if "." in backend else f"vaults.{backend}"
    return {"PYTHON_KEYRING_BACKEND": module, "PYTHONPATH": str(vault.parent)}


def test_a_credential_lies_in_the_keyring_and_in_no_file_of_ours(
    home: Home, fake: FakeApi, vault: Path
) -> None:
    there = having(vault, "Vault")
    login = ("auth", "login", "--with-key", "--server", fake.url)
    first = home.run(*login, stdin=KEY, **having(vault, "keyring.backends.fail.Keyring"))
    assert "a file that only you can read" in first.stderr
    again = home.run(*login, stdin=OTHER, **there)
    assert "the system's keyring" in again.stderr
    assert OTHER in vault.read_text()
    # The one before is gone, too.
    assert not [path for path in home.directory.iterdir() if {KEY, OTHER} & set(path.read_text().split('"'))]
    assert home.run("env", "list", **there).returncode == 0
    assert fake.received[-1].headers["authorization"] == f"Bearer {OTHER}"
    assert "the system's keyring" in home.run("auth", "status", **there).stdout
    assert home.run("auth", "logout", **there).returncode == 0
    assert OTHER not in vault.read_text()
    assert home.run("env", "list", **there).returncode == 0
    assert "authorization" not in fake.received[-1].headers


@pytest.mark.parametrize(
    "backend",
    [
        "PlainText",
        "Nowhere",
        "Locked",
        "Faulty",
        "keyring.backends.null.Keyring",
        "keyring.backends.fail.Keyring",
    ],
)
def test_what_keeps_no_secret_gets_none(home: Home, fake: FakeApi, vault: Path, backend: str) -> None:
    there = having(vault, backend)
    vault.write_text("{}")
    ended = home.run("auth", "login", "--with-key", "--server", fake.url, stdin=KEY, **there)
    assert (ended.returncode, "a file that only you can read" in ended.stderr) == (0, True), ended.stderr
    assert vault.read_text() == "{}"
    [login] = home.logins().values()
    assert login["bearer"] == KEY
    assert home.run("env", "list", **there).returncode == 0


def test_an_earlier_credential_does_not_stay_in_a_keyring_that_takes_no_other(
    home: Home, fake: FakeApi, vault: Path
) -> None:
    login = ("auth", "login", "--with-key", "--server", fake.url)
    home.run(*login, stdin=KEY, **having(vault, "Vault"))
    assert KEY in vault.read_text()
    again = home.run(*login, stdin=OTHER, **having(vault, "Full"))
    assert (again.returncode, "a file that only you can read" in again.stderr) == (0, True), again.stderr
    assert vault.read_text() == "{}"
    [stored] = home.logins().values()
    assert stored["bearer"] == OTHER


@pytest.mark.parametrize("backend", ["Locked", "Faulty", "keyring.backends.fail.Keyring"])
def test_a_keyring_that_has_closed_is_told_without_what_it_holds(
    home: Home, fake: FakeApi, vault: Path, backend: str
) -> None:
    home.run("auth", "login", "--with-key", "--server", fake.url, stdin=KEY, **having(vault, "Vault"))
    for command in (["env", "list"], ["auth", "status"], ["auth", "logout"]):
        ended = home.run(*command, **having(vault, backend))
        assert ended.returncode == 1
        assert "BETA9_API_KEY" in ended.stderr
        assert KEY not in ended.stderr
        assert ended.stderr.count("\n") == 1
    assert home.run("env", "list", BETA9_API_KEY=OTHER, **having(vault, backend)).returncode == 0


def test_what_another_program_wrote_there_is_told(home: Home, fake: FakeApi, vault: Path) -> None:
    there = having(vault, "Vault")
    home.run("auth", "login", "--with-key", "--server", fake.url, stdin=KEY, **there)
    vault.write_text(vault.read_text().replace("kind", "sort"))
    ended = home.run("env", "list", **there)
    assert (ended.returncode, KEY in ended.stderr) == (1, False)
    assert "no credential of this program" in ended.stderr


def test_deleting_a_context_forgets_its_credential(home: Home, fake: FakeApi, vault: Path) -> None:
    there = having(vault, "Vault")
    home.run("auth", "login", "--with-key", "--context", "own", "--server", fake.url, stdin=KEY, **there)
    asked = home.run("context", "delete", "own", **there)
    assert (asked.returncode, "add --yes" in asked.stderr) == (2, True)
    assert home.run("context", "delete", "own", "--yes", **there).returncode == 0
    assert KEY not in vault.read_text()
    assert home.contexts() == {"contexts": {}}
