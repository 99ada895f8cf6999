"""`auth`, as a person uses it: in a terminal, from a pipe, with a browser; no secret anywhere."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from tests.cli.test_terminal import EVIL, STEERING
from tests.client import fake_api
from tests.client.fake_api import BASE, FakeApi, answer_json, problem
from tests.support import callers
from tests.support.cli import Home
from tests.support.issuer import Issuer, issuing
from tests.support.secrets import Secrets
from tests.support.serving import serving
from tests.support.terminals import CTRL_C, run
from tests.support.waiting import GUARD_SECONDS, until

from beta9_provisioning.api.app import create_app
from beta9_provisioning.kit.database import Sessions
from beta9_provisioning.schemas.callers import Role
from beta9_provisioning.settings import Settings

KEY = "b9p_0123456789abcdef_" + "k" * 43
OTHER = "b9p_fedcba9876543210_" + "o" * 43
WHOAMI = "/api/v1/whoami"
REFUSED = problem(401, "Unauthenticated", "Nobody knows who is asking.")


@pytest.fixture
def fake() -> Iterator[FakeApi]:
    """A service that takes any credential."""
    with fake_api.serving() as running:
        running.on("GET", "/api/v1/auth", answer_json(fake_api.methods()))
        running.on("GET", WHOAMI, answer_json(fake_api.identity()))
        running.on("GET", BASE, answer_json({"items": [], "next_cursor": None}))
        yield running


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with issuing() as running:
        yield running


@pytest.fixture
def with_issuer(fake: FakeApi, issuer: Issuer) -> FakeApi:
    """The same, and it offers a login with a browser."""
    oidc = {"issuer": issuer.url, "client_id": issuer.client_id, "audience": issuer.audience}
    fake.scripts["GET", "/api/v1/auth"].clear()
    fake.on("GET", "/api/v1/auth", answer_json(fake_api.methods(oidc=oidc)))
    fake.scripts["GET", WHOAMI].clear()
    fake.on("GET", WHOAMI, answer_json(fake_api.identity(authentication="oidc", key_id=None)))
    return fake


def log_in(home: Home, fake: FakeApi, *options: str) -> None:
    ended = home.run("auth", "login", "--with-key", "--server", fake.url, *options, stdin=f"{KEY}\n")
    assert ended.returncode == 0, ended.stderr


def bearer_of(fake: FakeApi) -> str | None:
    return fake.received[-1].headers.get("authorization")


def test_from_login_to_logout_with_a_key_of_a_real_service(
    home: Home, settings: Settings, sessions: Sessions
) -> None:
    key = callers.caller(sessions, Role.OPERATOR)
    with serving(create_app(settings.model_copy(update={"auth_mode": "required"}))) as server:
        at = {"BETA9_PROVISIONING_URL": server.url}
        before = home.run("env", "list", **at)
        assert (before.returncode, "beta9-provisioning auth login" in before.stderr) == (4, True)
        nobody = home.run("auth", "status", **at)
        assert (nobody.returncode, nobody.stderr) == (
            1,
            f"You are not logged in to {server.url}. Log in: beta9-provisioning auth login\n",
        )
        ended = run(
            ["auth", "login"],
            {**home.variables, **at},
            when="not shown",
            press=key.encode() + b"\n",
            columns=300,
        )
        assert ended.code == 0, ended.screen
        assert "operator of default" in ended.screen
        assert key not in ended.screen
        assert home.run("env", "list", **at).returncode == 0
        assert home.run("env", "list").returncode == 0  # it is the current context now
        status = json.loads(home.run("auth", "status", "-o", "json").stdout)
        assert (status["role"], status["credential"], status["server"]) == ("operator", "file", server.url)
        out = home.run("auth", "logout")
        assert out.returncode == 0
        assert "The key itself stays valid until it expires or is revoked" in out.stderr
        assert home.run("auth", "status").returncode == 1
        assert home.run("auth", "logout").returncode == 1
    assert home.logins() == {}


def test_a_key_is_in_one_private_file_and_nowhere_else(home: Home, fake: FakeApi) -> None:
    log_in(home, fake)
    credentials = home.directory / "credentials.json"
    assert credentials.stat().st_mode & 0o777 == 0o600
    fake.on("GET", f"{BASE}/env_refused", problem(403, "Forbidden", "It takes environments:write."))
    fake.on("GET", f"{BASE}/env_broken", fake_api.body(200, "{}"))
    secrets = Secrets()
    secrets.add("key", KEY)
    for command in (
        ["auth", "status"],
        ["auth", "status", "-o", "json"],
        ["context", "list", "-o", "json"],
        ["env", "list"],
        ["env", "get", "env_refused", "-o", "json"],
        ["env", "get", "env_broken"],
        ["env", "list", "--server", "http://127.0.0.1:1"],
        ["auth", "logout"],
    ):
        ended = home.run(*command)
        assert not list(secrets.in_text(" ".join(command), (ended.stdout + ended.stderr).encode()))
    assert not list(secrets.in_files(home.above))


def test_a_key_is_in_no_command_line(home: Home, fake: FakeApi) -> None:
    log_in(home, fake)
    seen: list[str] = []

    page = answer_json({"items": [], "next_cursor": None})

    def look(handler: BaseHTTPRequestHandler) -> None:
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError):  # it has ended meanwhile
                seen.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        page(handler)

    fake.scripts["GET", BASE].clear()
    fake.on("GET", BASE, look)
    assert home.run("env", "list").returncode == 0
    assert any("env list" in line for line in seen)
    assert not any(KEY in line for line in seen)


@pytest.mark.parametrize("output", [[], ["-o", "json"]], ids=["table", "json"])
def test_a_key_that_is_refused_is_stored_nowhere(home: Home, fake: FakeApi, output: list[str]) -> None:
    fake.scripts["GET", WHOAMI].clear()
    fake.on("GET", WHOAMI, REFUSED)
    ended = home.run("auth", "login", "--with-key", "--server", fake.url, stdin=KEY)
    assert ended.returncode == 4
    assert "Nothing was stored" in ended.stderr
    assert not list(home.above.rglob("*.json"))
    status = home.run("auth", "status", "--server", fake.url, *output)
    assert (status.returncode, status.stdout) == (1, "")
    assert not output or json.loads(status.stderr)["error"]["exit_code"] == 1


@pytest.mark.parametrize("stdin", ["", "\n", "two words", "k\x00y", "é", "\udcff", "x" * 10000])
def test_what_is_no_key_is_neither_sent_nor_told(home: Home, fake: FakeApi, stdin: str) -> None:
    ended = home.run("auth", "login", "--with-key", "--server", fake.url, stdin=stdin)
    assert ended.returncode == 2
    assert not stdin.strip() or stdin.strip() not in ended.stderr
    assert [one.path for one in fake.received] == ["/api/v1/auth"]
    variable = home.run("env", "list", "--server", fake.url, BETA9_API_KEY="two words")
    assert (variable.returncode, "two words" in variable.stderr) == (2, False)


def test_the_variable_goes_before_what_is_stored(home: Home, fake: FakeApi) -> None:
    log_in(home, fake)
    home.run("env", "list", BETA9_API_KEY=OTHER)
    assert bearer_of(fake) == f"Bearer {OTHER}"
    home.run("env", "list", BETA9_API_KEY="")
    assert bearer_of(fake) == f"Bearer {KEY}"
    status = json.loads(home.run("auth", "status", "-o", "json", BETA9_API_KEY=OTHER).stdout)
    assert status["credential"] == "BETA9_API_KEY"
    fake.scripts["GET", WHOAMI].clear()
    fake.on("GET", WHOAMI, REFUSED)
    ended = home.run("auth", "status", BETA9_API_KEY=OTHER)
    assert (ended.returncode, "the key in BETA9_API_KEY" in ended.stderr) == (1, True)
    again = home.run("auth", "status")
    assert (again.returncode, "any more. Log in again" in again.stderr) == (1, True)
    out = home.run("auth", "logout", BETA9_API_KEY=OTHER)
    assert "BETA9_API_KEY is still set" in out.stderr


def test_a_key_is_not_sent_in_plain_http_to_another_machine(home: Home) -> None:
    server = "http://service.invalid"
    for command in (["auth", "login", "--with-key"], ["env", "list"]):
        refused = home.run(*command, "--server", server, stdin=KEY, BETA9_API_KEY=KEY)
        # Whether one may log in is asked before, without a key.
        assert refused.returncode == (5 if "login" in command else 2)
        assert KEY not in refused.stderr
        assert "login" in command or "--plain-http" in refused.stderr
    for allowed in (["--plain-http"], []):
        variables = {} if allowed else {"BETA9_PLAIN_HTTP": "1"}
        ended = home.run("env", "list", "--server", server, *allowed, BETA9_API_KEY=KEY, **variables)
        assert ended.returncode == 5


def test_a_service_that_asks_for_nothing_needs_no_login(home: Home, fake: FakeApi) -> None:
    fake.scripts["GET", "/api/v1/auth"].clear()
    fake.on("GET", "/api/v1/auth", answer_json(fake_api.methods(required=False)))
    ended = home.run("auth", "login", "--server", fake.url, "--context", "local")
    assert (ended.returncode, "asks nobody for a credential" in ended.stderr) == (0, True)
    assert home.contexts()["current"] == "local"
    assert home.logins() == {}
    assert home.run("env", "list").returncode == 0


def test_a_second_login_does_not_take_over_another_services_context(home: Home, fake: FakeApi) -> None:
    log_in(home, fake)
    with fake_api.serving() as other:
        for path in ("/api/v1/auth", WHOAMI):
            other.scripts["GET", path] = fake.scripts["GET", path]
        ended = home.run(
            "auth", "login", "--with-key", "--context", "127.0.0.1", "--server", other.url, stdin=OTHER
        )
        assert (ended.returncode, f"is for {fake.url}" in ended.stderr) == (2, True)
        named = home.run("auth", "login", "--with-key", "--server", other.url, stdin=OTHER)
    assert named.returncode == 0
    assert home.contexts()["current"] == "127.0.0.1-2"
    assert {name: login["bearer"] for name, login in home.logins().items()} == {
        "127.0.0.1": KEY,
        "127.0.0.1-2": OTHER,
    }


@pytest.mark.parametrize(
    ("press", "code"), [(CTRL_C, 130), (b"\x04", 1), (b"\n", 2)], ids=["Ctrl-C", "Ctrl-D", "Enter"]
)
def test_whoever_enters_nothing_logs_in_nowhere(home: Home, fake: FakeApi, press: bytes, code: int) -> None:
    arguments = ["auth", "login", "--server", fake.url]
    ended = run(arguments, home.variables, when="not shown", press=press)
    assert ended.code == code, ended.screen
    assert "Traceback" not in ended.screen
    assert not list(home.above.rglob("*.json"))


def test_without_a_terminal_login_says_what_to_do(home: Home, with_issuer: FakeApi) -> None:
    ended = home.run("auth", "login", "--server", with_issuer.url)
    assert ended.returncode == 2
    assert all(word in ended.stderr for word in ("--with-key", "BETA9_API_KEY", "--oidc"))


def test_login_with_a_browser_where_there_is_none(home: Home, fake: FakeApi) -> None:
    ended = home.run("auth", "login", "--oidc", "--server", fake.url)
    assert (ended.returncode, "offers no login with a browser" in ended.stderr) == (1, True)
    both = home.run("auth", "login", "--oidc", "--with-key", "--server", fake.url, stdin=KEY)
    assert both.returncode == 2


def code_of(issuer: Issuer) -> str:
    until(lambda: issuer.devices, "somebody wants to log in")
    return issuer.devices[0].user_code


@pytest.mark.parametrize("way", ["option", "no key"])
def test_a_login_with_a_browser(home: Home, with_issuer: FakeApi, issuer: Issuer, way: str) -> None:
    issuer.polls.extend(["authorization_pending"] * 2)
    person = threading.Thread(target=lambda: issuer.approve(code_of(issuer)))
    person.start()
    options, press = (["--oidc"], b"") if way == "option" else ([], b"\n")
    arguments = ["auth", "login", "--server", with_issuer.url, *options]
    ended = run(arguments, home.variables, when="Enter to log in", press=press, columns=300)
    person.join(GUARD_SECONDS)
    assert ended.code == 0, ended.screen
    assert f"Open {issuer.url}/activate in a browser and enter the code" in ended.screen
    [login] = home.logins().values()
    assert not [secret for secret in (login["bearer"], login["refresh"]) if secret in ended.screen]
    home.run("env", "list")
    assert bearer_of(with_issuer) == f"Bearer {login['bearer']}"
    status = json.loads(home.run("auth", "status", "-o", "json").stdout)
    assert (status["authentication"], status["renews"]) == ("oidc", True)
    assert "in your browser" in home.run("auth", "logout").stderr


@pytest.mark.parametrize(("act", "code"), [("deny", 4), ("expire", 4), ("interrupt", 130)])
def test_a_login_with_a_browser_that_comes_to_nothing(
    home: Home, with_issuer: FakeApi, issuer: Issuer, act: str, code: int
) -> None:
    child = home.start("auth", "login", "--oidc", "--server", with_issuer.url)
    user_code = code_of(issuer)
    if act == "interrupt":
        until(lambda: issuer.count("/token"), "it asks whether somebody has logged in")
        child.send_signal(signal.SIGINT)
    else:
        getattr(issuer, act)(user_code)
    _, told = child.communicate(timeout=GUARD_SECONDS)
    assert child.returncode == code, told
    assert "Traceback" not in told
    assert not list(home.above.rglob("*.json"))


@pytest.fixture
def browser(home: Home, with_issuer: FakeApi, issuer: Issuer) -> str:
    """Somebody who has logged in with a browser; the name of the context."""
    child = home.start("auth", "login", "--oidc", "--server", with_issuer.url)
    issuer.approve(code_of(issuer))
    assert child.communicate(timeout=GUARD_SECONDS)[0] == ""
    assert child.returncode == 0
    [name] = home.logins()
    return name


def renewals(issuer: Issuer) -> int:
    return sum(form.get("grant_type") == "refresh_token" for _, form in issuer.asked)


def test_a_token_that_has_run_out_is_renewed_once_by_several_at_once(
    home: Home, with_issuer: FakeApi, issuer: Issuer, browser: str
) -> None:
    """The issuer takes each refresh token once: a second use would end the login."""
    old = home.logins()[browser]
    home.change_login(browser, {"expires_at": 1.0})
    running = [home.start("env", "list") for _ in range(5)]
    assert [child.communicate(timeout=GUARD_SECONDS)[1] for child in running] == [""] * 5
    assert renewals(issuer) == 1
    new = home.logins()[browser]
    assert new["bearer"] != old["bearer"]
    sent = {one.headers["authorization"] for one in with_issuer.requests("GET", BASE)}
    assert sent == {f"Bearer {new['bearer']}"}
    assert (home.directory / "credentials.json").stat().st_mode & 0o777 == 0o600


def test_a_token_that_the_service_takes_no_more_is_renewed(
    home: Home, with_issuer: FakeApi, issuer: Issuer, browser: str
) -> None:
    """Clocks differ, and an issuer may end a token early."""
    page = answer_json({"items": [], "next_cursor": None})
    with_issuer.scripts["GET", BASE].clear()
    with_issuer.on("GET", BASE, REFUSED, page)
    assert home.run("env", "list").returncode == 0
    assert renewals(issuer) == 1
    assert bearer_of(with_issuer) == f"Bearer {home.logins()[browser]['bearer']}"


def test_a_login_that_the_issuer_has_ended_is_told(
    home: Home, with_issuer: FakeApi, issuer: Issuer, browser: str
) -> None:
    home.change_login(browser, {"expires_at": 1.0})
    issuer.refreshable.clear()
    ended = home.run("env", "list", "-o", "json")
    assert ended.returncode == 4
    assert "Log in again: beta9-provisioning auth login" in json.loads(ended.stderr)["error"]["message"]
    assert not with_issuer.requests("GET", BASE)
    issuer.broken = 503
    assert home.run("env", "list").returncode == 5


def test_a_broken_file_of_credentials_is_told_without_what_it_holds(home: Home, fake: FakeApi) -> None:
    log_in(home, fake)
    path = home.directory / "credentials.json"
    path.write_text(path.read_text().replace('"kind"', '"kind'))
    ended = home.run("env", "list")
    assert (ended.returncode, KEY in ended.stderr) == (1, False)
    assert "is broken. Remove it and log in again" in ended.stderr
    path.unlink()
    gone = home.run("env", "list")
    assert (gone.returncode, "is gone. Log in again" in gone.stderr) == (4, True)
    log_in(home, fake)
    path.chmod(0o640)
    open_ = home.run("env", "list")
    assert (open_.returncode, f"chmod 600 {path}" in open_.stderr) == (1, True)


def test_a_service_and_an_issuer_that_steer_the_terminal(home: Home, fake: FakeApi, issuer: Issuer) -> None:
    log_in(home, fake)
    evil = fake_api.identity(member_name=EVIL, organization_name=f"[link=https://x]{EVIL}[/nothing]")
    fake.scripts["GET", WHOAMI].clear()
    fake.on("GET", WHOAMI, answer_json(evil))
    ended = run(["auth", "status"], home.variables)
    assert ended.code == 0
    assert "owned" in ended.screen
    assert not STEERING.search(ended.screen)
    oidc = {"issuer": issuer.url, "client_id": EVIL, "audience": EVIL}
    fake.scripts["GET", "/api/v1/auth"].clear()
    fake.on("GET", "/api/v1/auth", answer_json(fake_api.methods(oidc=oidc)))
    refused = run(["auth", "login", "--oidc", "--server", fake.url], home.variables)
    assert refused.code == 4
    assert not STEERING.search(refused.screen)
