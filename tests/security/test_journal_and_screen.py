"""Every attack in what is said of an operation: journal, API, and the screen of somebody who looks."""

import json
from pathlib import Path

import httpx
import pytest
from tests.cli.test_terminal import STEERING
from tests.operations.rows import events
from tests.operations.run.provisions import Provision
from tests.security.attacks import every_attack
from tests.support.configs import document
from tests.support.serving import Serving
from tests.support.terminals import run

from beta9_provisioning.engine.errors import EngineError
from beta9_provisioning.kit.database import Sessions
from beta9_provisioning.kit.texts import clean_text
from beta9_provisioning.lifecycle import OperationStatus
from beta9_provisioning.operations.run.context import Context

ATTACKS = [attack for attack in every_attack() if len(attack) <= 1225]


@pytest.fixture
def variables(api: Serving) -> dict[str, str]:
    return {"BETA9_PROVISIONING_URL": api.url}


def test_the_journal_keeps_words_and_no_screen_obeys_them(
    *, client: httpx.Client, sessions: Sessions, tmp_path: Path, variables: dict[str, str]
) -> None:
    """As if Terraform, Helm, AWS or the cluster had said them."""
    provision = Provision(sessions, tmp_path)

    def fail(context: Context) -> None:
        for attack in ATTACKS:
            context.recorder.emit("test", attack, said=[attack])
        raise EngineError(" ".join(ATTACKS[:40]), detail=" ".join(ATTACKS), remedy=ATTACKS[0])

    assert provision.run(fail) is OperationStatus.FAILED
    environment = provision.made.environment_id
    told = [data["said"] for _, kind, data in events(sessions, environment) if kind == "test"]
    expected = [[clean_text(attack)] for attack in ATTACKS]
    assert told == expected
    page = client.get(f"/api/v1/environments/{environment}/events?limit=1000").json()["items"]
    assert [item["data"]["said"] for item in page if item["type"] == "test"] == expected
    for command in (["events", "--limit", "1000"], ["watch"], ["get"]):
        ended = run(["env", command[0], environment, *command[1:]], variables)
        assert "file(" in ended.screen, command
        assert not STEERING.search(ended.screen), command


def test_a_refusal_that_quotes_attacks_steers_no_screen(tmp_path: Path, variables: dict[str, str]) -> None:
    keys = [attack for attack in ATTACKS if "\0" not in attack and attack.isascii()]
    for number in range(0, len(keys), 40):
        sent = tmp_path / f"{number}.json"
        sent.write_text(json.dumps(document() | dict.fromkeys(keys[number : number + 40], "x")))
        ended = run(["env", "create", "-f", str(sent)], variables)
        assert ended.code == 4
        assert "unknown field" in ended.screen
        assert not STEERING.search(ended.screen)
