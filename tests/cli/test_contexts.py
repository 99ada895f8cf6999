"""Contexts: which service is meant, and a file that cannot be trusted, or that several write at once."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.client import fake_api
from tests.client.fake_api import BASE, FakeApi, answer_json
from tests.support.cli import Home

from beta9_provisioning.cli.target import DEFAULT_SERVER, Service

KEY = "b9p_0123456789abcdef_" + "k" * 43
A, B = "https://a.example.com", "https://b.example.com"


@pytest.fixture
def two(home: Home) -> Home:
    """A user with the contexts `a`, which is the current one, and `b`."""
    for name, server in ("a", A), ("b", B):
        assert home.run("context", "create", name, "--server", server).returncode == 0
    return home


def test_without_contexts_everything_is_as_it_was(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home.above))
    target = Service().target()
    assert (target.server, target.name, target.credential()) == (DEFAULT_SERVER, None, None)
    assert not home.directory.exists()  # reading makes nothing


@pytest.mark.parametrize(
    ("options", "variables", "expected"),
    [
        ({}, {}, (A, "a")),
        ({"context": "b"}, {}, (B, "b")),
        ({}, {"BETA9_CONTEXT": "b"}, (B, "b")),
        ({"context": "a"}, {"BETA9_CONTEXT": "b"}, (A, "a")),
        ({}, {"BETA9_PROVISIONING_URL": B}, (B, "b")),
        ({}, {"BETA9_PROVISIONING_URL": B, "BETA9_CONTEXT": "a"}, (B, None)),
        # What is typed goes before what some shell has set.
        ({"context": "a"}, {"BETA9_PROVISIONING_URL": B}, (A, "a")),
        ({"server": B}, {"BETA9_PROVISIONING_URL": A}, (B, "b")),
        ({"server": f"{B.upper().replace('HTTPS', 'https')}:443/"}, {}, (None, "b")),
        ({"server": "https://c.example.com"}, {}, ("https://c.example.com", None)),
        ({"server": "https://c.example.com", "context": "a"}, {}, ("https://c.example.com", None)),
        ({"server": "http://a.example.com"}, {}, ("http://a.example.com", None)),
        ({"server": f"{A}:8443"}, {}, (f"{A}:8443", None)),
        ({"server": f"{A}/other"}, {}, (f"{A}/other", None)),
        ({}, {"BETA9_PROVISIONING_URL": "", "BETA9_CONTEXT": ""}, (A, "a")),
    ],
)
def test_which_service_is_meant(
    two: Home,
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, str],
    variables: dict[str, str],
    expected: tuple[str | None, str | None],
) -> None:
    for name, value in {"XDG_CONFIG_HOME": str(two.above), **variables}.items():
        monkeypatch.setenv(name, value)
    target = Service(server=options.get("server"), context=options.get("context")).target()
    server, context = expected
    assert target.server == (server or options["server"])
    assert (target.name if target.context else None) == context


@pytest.mark.parametrize("variables", [{}, {"BETA9_CONTEXT": "absent"}], ids=["option", "variable"])
def test_a_context_that_is_not_there_is_told(two: Home, variables: dict[str, str]) -> None:
    options = [] if variables else ["--context", "absent"]
    ended = two.run("env", "list", *options, **variables)
    assert (ended.returncode, ended.stderr) == (3, "There is no context 'absent'; there are: a, b.\n")


def test_contexts_are_listed_used_and_deleted(two: Home) -> None:
    assert two.run("context", "list", "-q").stdout == "a\nb\n"
    assert two.run("context", "use", "b").returncode == 0
    listed = json.loads(two.run("context", "list", "-o", "json").stdout)
    assert [(one["name"], one["current"], one["server"]) for one in listed] == [
        ("a", False, A),
        ("b", True, B),
    ]
    assert two.run("context", "use", "absent").returncode == 3
    gone = two.run("context", "delete", "b")
    assert (gone.returncode, "no current context" in gone.stderr) == (0, True)
    assert two.run("context", "delete", "b").returncode == 3
    assert list(two.contexts()["contexts"]) == ["a"]
    twice = two.run("context", "create", "a", "--server", B)
    assert (twice.returncode, "already" in twice.stderr) == (2, True)


@pytest.mark.parametrize("name", ["", "-x", "../up", "a b", "a/b", "x" * 64, "\x1b[31m", "a\n"])
def test_a_name_that_is_a_path_or_worse_is_refused(home: Home, name: str) -> None:
    ended = home.run("context", "create", "--server", A, "--", name)
    assert ended.returncode == 2
    assert not list(home.above.rglob("*.json"))


@pytest.mark.parametrize(
    "server", ["a.example.com", "ftp://a", "https://", "https://h:x", "https://h:0", "http://["]
)
def test_an_address_that_is_none_is_refused(home: Home, server: str) -> None:
    assert home.run("context", "create", "a", "--server", server).returncode == 2


def test_a_password_in_an_address_is_refused_and_not_told(home: Home) -> None:
    ended = home.run("context", "create", "a", "--server", "https://u:hunter2@a.example.com")
    assert ended.returncode == 2
    assert "hunter2" not in ended.stderr
    assert not list(home.above.rglob("*.json"))


def spoil(path: Path, how: str) -> None:
    match how:
        case "broken":
            path.write_text('{"contexts": {"a": {"server": ')
        case "other":
            path.write_text('{"contexts": {"a": {"server": 7}}}')
        case "bytes":
            path.write_bytes(b"\xff\x00\xfe")
        case "list":
            path.write_text("[]")
        case "name":
            path.write_text('{"contexts": {"../up": {"server": "https://a"}}}')
        case "address":
            path.write_text('{"contexts": {"a": {"server": "file:///etc/passwd"}}}')
        case "readable":
            path.chmod(0o644)
        case "pipe":
            path.unlink()
            os.mkfifo(path, 0o600)
        case "foreign":
            os.chown(path, 12345, 12345)


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("broken", "is broken"),
        ("other", "is broken (contexts.a.server"),
        ("bytes", "is broken"),
        ("list", "is broken"),
        ("name", "cannot be a context's name"),
        ("address", "The service's address must be like"),
        ("readable", "chmod 600"),
        ("pipe", "no plain file"),
        pytest.param(
            "foreign",
            "belongs to another user",
            marks=pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away"),
        ),
    ],
)
def test_a_file_that_cannot_be_trusted_is_one_sentence(two: Home, how: str, told: str) -> None:
    path = two.directory / "contexts.json"
    spoil(path, how)
    before = None if how == "pipe" else path.read_bytes()
    for command in (["env", "list"], ["context", "use", "b"], ["auth", "login", "--with-key"]):
        ended = two.run(*command, stdin=KEY)
        assert ended.returncode in (1, 2), ended.stderr
        assert told in ended.stderr
        assert ended.stderr.count("\n") == 1
    assert before is None or path.read_bytes() == before  # nothing was made of what is not understood


def test_two_at_once_lose_nothing(home: Home) -> None:
    running = [home.start("context", "create", f"c{number}", "--server", A) for number in range(8)]
    assert [child.communicate()[1] for child in running] == [""] * 8
    assert sorted(home.contexts()["contexts"]) == [f"c{number}" for number in range(8)]
    assert {path.stat().st_mode & 0o777 for path in home.directory.iterdir()} == {0o600}


def test_what_a_later_release_added_is_kept(two: Home) -> None:
    path = two.directory / "contexts.json"
    document = two.contexts()
    document["colour"] = document["contexts"]["a"]["colour"] = "blue"
    path.write_text(json.dumps(document))
    assert two.run("context", "use", "b").returncode == 0
    assert two.contexts() == {**document, "current": "b"}


def test_a_user_without_a_home_has_no_contexts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", "relative/is/ignored")
    monkeypatch.setattr(Path, "home", lambda: (_ for _ in ()).throw(RuntimeError))
    assert Service().target().server == DEFAULT_SERVER


@pytest.fixture
def fakes() -> Iterator[tuple[FakeApi, FakeApi]]:
    with fake_api.serving() as one, fake_api.serving() as other:
        for fake in (one, other):
            fake.on("GET", BASE, answer_json({"items": [], "next_cursor": None}))
            fake.on("GET", "/api/v1/auth", answer_json(fake_api.methods()))
            fake.on("GET", "/api/v1/whoami", answer_json(fake_api.identity()))
        yield one, other


def test_a_credential_and_an_organization_stay_with_their_service(
    home: Home, fakes: tuple[FakeApi, FakeApi]
) -> None:
    own, other = fakes
    options = ("--context", "own", "--organization", "org_1", "--server", own.url)
    assert home.run("auth", "login", "--with-key", *options, stdin=KEY).returncode == 0
    for command in (
        ["--server", other.url],
        ["--server", other.url, "--context", "own"],
        ["--server", own.url.replace("127.0.0.1", "localhost")],
    ):
        home.run("env", "list", *command)
    assert home.run("env", "list", BETA9_PROVISIONING_URL=other.url).returncode == 0
    strangers = [*other.received, *(one for one in own.received if "localhost" in one.headers["host"])]
    assert len(strangers) == 4
    assert not any({"authorization", "beta9-organization"} & one.headers.keys() for one in strangers)
    home.run("env", "list")
    last = own.received[-1].headers
    assert (last["authorization"], last["beta9-organization"]) == (f"Bearer {KEY}", "org_1")


def test_a_context_that_was_turned_to_another_service_takes_no_credential_with_it(
    home: Home, fakes: tuple[FakeApi, FakeApi]
) -> None:
    own, other = fakes
    home.run("auth", "login", "--with-key", "--context", "own", "--server", own.url, stdin=KEY)
    path = home.directory / "contexts.json"
    path.write_text(path.read_text().replace(own.url, other.url))
    ended = home.run("env", "list")
    assert (ended.returncode, other.received) == (4, [])
    assert f"is for {own.url}" in ended.stderr


def test_names_of_contexts_complete(two: Home) -> None:
    def complete(words: str) -> list[str]:
        variables = {
            "_BETA9_PROVISIONING_COMPLETE": "complete_bash",
            "COMP_WORDS": f"beta9-provisioning {words}",
            "COMP_CWORD": str(len(words.split(" "))),
        }
        ended = two.run(**variables)
        assert ended.stderr == ""
        return ended.stdout.split()

    assert complete("env list --context ") == ["a", "b"]
    assert complete("context use b") == ["b"]
    (two.directory / "contexts.json").chmod(0o644)
    assert complete("context use b") == []


def test_a_ca_file_of_a_context_counts(two: Home, tmp_path: Path) -> None:
    absent = str(tmp_path / "absent.pem")
    two.run("context", "create", "c", "--server", A, "--ca-file", absent)
    ended = two.run("env", "list", "--context", "c")
    assert ended.returncode == 2
    assert f"The CA file of the context c is {absent}" in ended.stderr


def test_a_directory_that_cannot_be_made_is_one_sentence(home: Home) -> None:
    home.directory.touch()
    ended = home.run("context", "create", "a", "--server", A)
    assert (ended.returncode, ended.stderr.count("\n"), "Traceback" in ended.stderr) == (1, 1, False)
