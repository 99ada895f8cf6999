"""A login with a browser at an issuer whose tokens a real service verifies."""

from __future__ import annotations

import json
from ipaddress import ip_network

from tests.support import callers
from tests.support.cli import Home
from tests.support.issuer import issuing
from tests.support.serving import serving
from tests.support.waiting import GUARD_SECONDS, until

from beta9_provisioning.api.app import create_app
from beta9_provisioning.kit.database import Sessions
from beta9_provisioning.schemas.callers import Role
from beta9_provisioning.settings import Settings


def test_from_login_to_logout_with_a_browser(home: Home, settings: Settings, sessions: Sessions) -> None:
    callers.member(sessions, Role.OPERATOR, name="alice", subject="alice")
    with issuing() as issuer:
        given = {
            "auth_mode": "required",
            "oidc_issuer": issuer.url,
            "oidc_audience": issuer.audience,
            "oidc_client_id": issuer.client_id,
            "outgoing_allowed_networks": (ip_network("127.0.0.1/32"),),
        }
        with serving(create_app(settings.model_copy(update=given))) as server:

            def log_in_as(subject: str) -> tuple[int, str]:
                child = home.start("auth", "login", "--oidc", "--server", server.url)
                issuer.approve(until(lambda: issuer.devices, "it wants to log in")[0].user_code, subject)
                told = child.communicate(timeout=GUARD_SECONDS)[1]
                return child.returncode, told

            stranger = log_in_as("mallory")
            assert (stranger[0], "you are no member. Nothing was stored" in stranger[1]) == (4, True)
            assert home.logins() == {}
            assert log_in_as("alice")[0] == 0
            [name] = home.logins()
            before = home.logins()[name]["bearer"]
            home.change_login(name, {"expires_at": 1.0})
            assert home.run("env", "list").stdout.strip() == "No environments."
            assert home.logins()[name]["bearer"] != before
            status = json.loads(home.run("auth", "status", "-o", "json").stdout)
            assert (status["authentication"], status["role"], status["renews"]) == ("oidc", "operator", True)
            assert home.run("auth", "logout").returncode == 0
            assert home.run("env", "list").returncode == 4
