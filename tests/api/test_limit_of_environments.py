"""MAX_ENVIRONMENTS_PER_USER and unique names, when several create at the same time."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from tests.support import callers
from tests.support.configs import document
from tests.support.organized import Caller, caller
from tests.support.serving import serving

from beta9_provisioning.api.app import create_app
from beta9_provisioning.kit.database import Sessions
from beta9_provisioning.schemas.callers import Role
from beta9_provisioning.settings import Settings


@pytest.fixture
def client(settings: Settings) -> Iterator[httpx.Client]:
    """A client of a service that allows two environments."""
    few = settings.model_copy(update={"auth_mode": "required", "max_environments_per_user": 2})
    with serving(create_app(few)) as server, server.client() as client:
        yield client


def create(by: Caller, name: str) -> str:
    answer = by.asks("POST", "/environments", json=document(name=name))
    return "made" if answer.status_code == 202 else answer.json()["type"].rpartition(":")[2]


def at_once(*asked: tuple[Caller, str]) -> Counter[str]:
    with ThreadPoolExecutor(len(asked)) as pool:
        return Counter(pool.map(lambda one: create(*one), asked))


def test_of_two_at_the_limit_one_passes(client: httpx.Client, sessions: Sessions) -> None:
    anna = caller(client, sessions, Role.OPERATOR)
    assert create(anna, "first") == "made"
    assert at_once((anna, "second"), (anna, "third")) == {"made": 1, "quota-exceeded": 1}
    assert at_once(*((anna, f"more-{n}") for n in range(4))) == {"quota-exceeded": 4}


def test_all_keys_of_a_member_count_together(client: httpx.Client, sessions: Sessions) -> None:
    anna = caller(client, sessions, Role.OPERATOR)
    other = anna.with_key()
    assert create(anna, "first") == "made"
    assert at_once((anna, "second"), (other, "third")) == {"made": 1, "quota-exceeded": 1}


def test_each_caller_has_the_limit_for_itself(client: httpx.Client, sessions: Sessions) -> None:
    anna, bert = (caller(client, sessions, Role.OPERATOR) for _ in range(2))
    asked = [(who, f"{name}-{n}") for who, name in ((anna, "anna"), (bert, "bert")) for n in range(3)]
    assert at_once(*asked) == {"made": 4, "quota-exceeded": 2}
    made = anna.asks("GET", "/environments").json()["items"]
    assert Counter(item["name"].partition("-")[0] for item in made) == {"anna": 2, "bert": 2}


def test_a_name_is_given_once_in_an_organization(client: httpx.Client, sessions: Sessions) -> None:
    anna, bert = (caller(client, sessions, Role.OPERATOR) for _ in range(2))
    other = caller(client, sessions, Role.OPERATOR, of=callers.organization(sessions, "other"))
    assert at_once((anna, "demo"), (bert, "demo"), (other, "demo")) == {"made": 2, "name-taken": 1}
    assert len(other.asks("GET", "/environments").json()["items"]) == 1
