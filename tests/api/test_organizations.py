"""Organizations: made and deleted by platform admins, seen by their own members."""

from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from sqlalchemy import update
from tests.support import callers
from tests.support.configs import document
from tests.support.organized import caller, told

from beta9_provisioning.kit.database import Sessions, transaction
from beta9_provisioning.operations.records.model import EnvironmentRow
from beta9_provisioning.schemas.callers import Organization, OrganizationPage, Role

NOBODY = "org_" + "0" * 16


def test_an_organization_is_made_found_and_deleted(guarded: httpx.Client, sessions: Sessions) -> None:
    platform = caller(guarded, sessions, Role.PLATFORM_ADMIN)
    answer = platform.asks("POST", "/organizations", json={"name": "acme"})
    acme = Organization.model_validate_json(answer.content)
    assert answer.headers["location"] == f"/api/v1/organizations/{acme.id}"
    assert platform.asks("GET", f"/organizations/{acme.id}").content == answer.content
    assert told(platform.asks("POST", "/organizations", json={"name": "acme"})) == (409, "name-taken")
    first = OrganizationPage.model_validate_json(platform.asks("GET", "/organizations?limit=1").content)
    rest = platform.asks("GET", "/organizations", params={"cursor": first.next_cursor}).json()
    assert [first.items[0].id, rest["items"][0]["id"], rest["next_cursor"]] == [acme.id, "default", None]
    assert platform.asks("DELETE", f"/organizations/{acme.id}").status_code == 204
    for method in ("GET", "DELETE"):
        answer = platform.asks(method, f"/organizations/{acme.id}")
        assert told(answer) == (404, "organization-not-found")
    # Its name is free again.
    assert platform.asks("POST", "/organizations", json={"name": "acme"}).status_code == 201


@pytest.mark.parametrize("name", ["", "Acme", "-a", "a" * 41, "a_b", "a\nb", None, 5])
def test_what_is_no_name_is_refused(guarded: httpx.Client, sessions: Sessions, name: object) -> None:
    platform = caller(guarded, sessions, Role.PLATFORM_ADMIN)
    answer = platform.asks("POST", "/organizations", json={"name": name})
    assert told(answer) == (422, "invalid-request")


def test_one_of_several_at_once_gets_the_name(guarded: httpx.Client, sessions: Sessions) -> None:
    platform = caller(guarded, sessions, Role.PLATFORM_ADMIN)
    with ThreadPoolExecutor(5) as pool:
        ask = platform.asks
        answers = list(pool.map(lambda _: ask("POST", "/organizations", json={"name": "a"}), range(5)))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 4


def test_members_see_their_own_only(guarded: httpx.Client, sessions: Sessions) -> None:
    theirs = callers.organization(sessions, "theirs")
    anna = caller(guarded, sessions, Role.VIEWER)
    page = OrganizationPage.model_validate_json(anna.asks("GET", "/organizations").content)
    assert [one.id for one in page.items] == ["default"]
    foreign, unknown = (anna.asks("GET", f"/organizations/{id_}") for id_ in (theirs, NOBODY))
    assert told(foreign) == told(unknown) == (404, "organization-not-found")
    assert foreign.text.replace(theirs, "X") == unknown.text.replace(NOBODY, "X")


def test_members_and_keys_end_with_their_organization(guarded: httpx.Client, sessions: Sessions) -> None:
    platform = caller(guarded, sessions, Role.PLATFORM_ADMIN)
    theirs = callers.organization(sessions, "theirs")
    anna = caller(guarded, sessions, Role.ADMIN, of=theirs)
    assert anna.asks("GET", "/whoami").status_code == 200
    assert platform.asks("DELETE", f"/organizations/{theirs}").status_code == 204
    assert anna.asks("GET", "/whoami").status_code == 401
    assert told(platform.asks("GET", f"/members/{anna.member_id}")) == (404, "member-not-found")
    assert told(platform.asks("GET", f"/keys/{anna.key_id}")) == (404, "key-not-found")
    there = platform.asks("GET", "/environments", headers={"Beta9-Organization": theirs})
    assert told(there) == (403, "no-member")


def test_one_with_live_environments_stays(guarded: httpx.Client, sessions: Sessions) -> None:
    platform = caller(guarded, sessions, Role.PLATFORM_ADMIN)
    theirs = callers.organization(sessions, "theirs")
    anna = caller(guarded, sessions, Role.OPERATOR, of=theirs)
    assert anna.asks("POST", "/environments", json=document()).status_code == 202
    refused = platform.asks("DELETE", f"/organizations/{theirs}")
    assert told(refused) == (409, "organization-in-use")
    assert "1 live environments" in refused.json()["detail"]
    assert anna.asks("GET", "/whoami").status_code == 200
    with transaction(sessions) as session:
        session.execute(update(EnvironmentRow).values(status="destroyed"))
    assert platform.asks("DELETE", f"/organizations/{theirs}").status_code == 204


def test_the_first_organization_stays(guarded: httpx.Client, sessions: Sessions) -> None:
    platform = caller(guarded, sessions, Role.PLATFORM_ADMIN)
    assert told(platform.asks("DELETE", "/organizations/default")) == (409, "first-organization")


def test_the_last_platform_admins_organization_stays(guarded: httpx.Client, sessions: Sessions) -> None:
    theirs = callers.organization(sessions, "theirs")
    last = caller(guarded, sessions, Role.PLATFORM_ADMIN, of=theirs)
    assert told(last.asks("DELETE", f"/organizations/{theirs}")) == (409, "last-platform-admin")
    callers.member(sessions, Role.PLATFORM_ADMIN)
    assert last.asks("DELETE", f"/organizations/{theirs}").status_code == 204
