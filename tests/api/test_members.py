"""Members and their roles: nobody raises himself or others above what he is."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from tests.support import callers
from tests.support.organized import Caller, caller, made, told

from beta9_provisioning.access.roles import PERMISSIONS
from beta9_provisioning.kit.database import Sessions
from beta9_provisioning.schemas.callers import Member, MemberPage, Permission, Role

NOBODY = "mem_" + "0" * 16


def adds(by: Caller, **fields: Any) -> httpx.Response:
    return by.asks("POST", "/members", json={"name": "new", **fields})


def added(by: Caller, **fields: Any) -> Member:
    answer = adds(by, **fields)
    assert answer.status_code == 201, answer.text
    return Member.model_validate_json(answer.content)


def gives(by: Caller, member_id: str, role: Role) -> httpx.Response:
    return by.asks("PATCH", f"/members/{member_id}", json={"role": role})


def counts(who: Caller) -> bool:
    return who.asks("GET", "/whoami").status_code == 200


def test_a_member_is_added_found_and_listed(guarded: httpx.Client, sessions: Sessions) -> None:
    admin = caller(guarded, sessions, Role.ADMIN)
    new = added(admin, name="anna@example.com", kind="service_account", subject="auth0|1", role="operator")
    assert (new.organization_id, new.kind, new.role) == ("default", "service_account", "operator")
    assert Member.model_validate_json(admin.asks("GET", f"/members/{new.id}").content) == new
    page = MemberPage.model_validate_json(admin.asks("GET", "/members").content)
    assert [member.id for member in page.items] == [new.id, admin.member_id]
    first = MemberPage.model_validate_json(admin.asks("GET", "/members?limit=1").content)
    rest = admin.asks("GET", "/members", params={"cursor": first.next_cursor})
    assert [*first.items, *MemberPage.model_validate_json(rest.content).items] == page.items


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"name": "a b"},
        {"name": "a" * 101},
        {"name": "<script>"},
        {"kind": "robot"},
        {"subject": "x" * 256},
        {"subject": "a\nb"},
        {"role": "owner"},
        {"organization_id": "default"},
    ],
)
def test_what_is_no_member_is_refused_by_field(
    guarded: httpx.Client, sessions: Sessions, wrong: dict[str, Any]
) -> None:
    answer = adds(caller(guarded, sessions, Role.ADMIN), **wrong)
    assert told(answer) == (422, "invalid-request")
    assert answer.json()["errors"][0]["field"] == next(iter(wrong))


@pytest.mark.parametrize("field", ["name", "subject"])
def test_names_and_subjects_are_taken_once(guarded: httpx.Client, sessions: Sessions, field: str) -> None:
    admin = caller(guarded, sessions, Role.ADMIN)

    def ask(number: int) -> httpx.Response:
        return adds(admin, **({"name": f"n{number}", "subject": f"s{number}"} | {field: "same"}))

    with ThreadPoolExecutor(5) as pool:
        answers = list(pool.map(ask, range(5)))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 4
    refused = next(answer for answer in answers if answer.status_code == 409)
    assert told(refused) == (409, "name-taken")
    assert refused.json()["errors"][0]["field"] == field
    theirs = caller(guarded, sessions, Role.ADMIN, of=callers.organization(sessions, "theirs"))
    elsewhere = adds(theirs, **{"name": "n"} | {field: "same"})
    if field == "name":
        assert elsewhere.status_code == 201
        return
    assert {**elsewhere.json(), "request_id": ""} == {**refused.json(), "request_id": ""}, "nor where it is"
    platform = caller(guarded, sessions, Role.PLATFORM_ADMIN)
    there = {"Beta9-Organization": callers.organization(sessions, "third")}
    meant = platform.asks("POST", "/members", json={"name": "n", "subject": "same"}, headers=there)
    assert meant.status_code == 201


def test_of_two_organizations_that_give_a_subject_at_once_one_does(
    guarded: httpx.Client, sessions: Sessions
) -> None:
    admins = [
        caller(guarded, sessions, Role.ADMIN, of=callers.organization(sessions, f"o{n}")) for n in range(6)
    ]
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda admin: adds(admin, subject="same"), admins))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 5


def test_a_removed_members_name_is_free_again_and_its_keys_end(
    guarded: httpx.Client, sessions: Sessions
) -> None:
    admin = caller(guarded, sessions, Role.ADMIN)
    old = added(admin, name="anna", subject="s")
    of_old = Caller(guarded, old.id, made(admin.makes_key(member_id=old.id)).secret)
    assert counts(of_old)
    assert admin.asks("DELETE", f"/members/{old.id}").status_code == 204
    assert not counts(of_old)
    assert told(admin.asks("GET", f"/keys/{of_old.key_id}")) == (404, "key-not-found")
    for method, body in (("GET", b""), ("DELETE", b""), ("PATCH", b'{"role": "viewer"}')):
        answer = admin.asks(method, f"/members/{old.id}", content=body)
        assert told(answer) == (404, "member-not-found")
    assert added(admin, name="anna", subject="s").id != old.id


@pytest.mark.parametrize("given", list(Role))
@pytest.mark.parametrize("own", list(Role))
def test_nobody_gives_a_role_above_the_own_one(
    guarded: httpx.Client, sessions: Sessions, own: Role, given: Role
) -> None:
    by = caller(guarded, sessions, own)
    other = callers.member(sessions, Role.VIEWER)
    callers.member(sessions, Role.PLATFORM_ADMIN)  # so that no other may not step down
    administers = Permission.MEMBERS_WRITE in PERMISSIONS[own]
    may = administers and PERMISSIONS[given] <= PERMISSIONS[own]
    assert adds(by, role=given).status_code == (201 if may else 403)
    assert gives(by, other, given).status_code == (200 if may else 403)
    assert gives(by, by.member_id, given).status_code == (200 if may else 403)


def test_nobody_but_a_platform_admin_names_the_role(guarded: httpx.Client, sessions: Sessions) -> None:
    admin = caller(guarded, sessions, Role.ADMIN)
    assert told(adds(admin, role="platform_admin")) == (403, "platform-admins-only")
    assert told(gives(admin, admin.member_id, Role.PLATFORM_ADMIN)) == (403, "platform-admins-only")
    scoped = caller(guarded, sessions, Role.PLATFORM_ADMIN, scopes=[Permission.MEMBERS_WRITE])
    assert told(adds(scoped, role="platform_admin")) == (403, "exceeds-own-rights")


def test_a_scoped_key_gives_no_role_that_may_more(guarded: httpx.Client, sessions: Sessions) -> None:
    """Else it would make an administrator with a subject of its owner, and come back by OIDC."""
    scoped = caller(guarded, sessions, Role.ADMIN, scopes=[Permission.MEMBERS_WRITE])
    for role in (Role.VIEWER, Role.OPERATOR, Role.ADMIN):
        assert told(adds(scoped, role=role, subject="me")) == (403, "exceeds-own-rights")
    scopes = [*PERMISSIONS[Role.VIEWER], Permission.MEMBERS_WRITE]
    wider = caller(guarded, sessions, Role.ADMIN, scopes=scopes)
    assert added(wider, role="viewer").role is Role.VIEWER
    assert told(adds(wider, name="other", role="operator")) == (403, "exceeds-own-rights")


def test_only_platform_admins_touch_platform_admins(guarded: httpx.Client, sessions: Sessions) -> None:
    platform = caller(guarded, sessions, Role.PLATFORM_ADMIN)
    other = caller(guarded, sessions, Role.PLATFORM_ADMIN)
    admin = caller(guarded, sessions, Role.ADMIN)
    tried = [
        gives(admin, platform.member_id, Role.VIEWER),
        gives(admin, platform.member_id, Role.PLATFORM_ADMIN),
        admin.asks("DELETE", f"/members/{platform.member_id}"),
    ]
    assert {told(answer) for answer in tried} == {(403, "platform-admins-only")}
    assert counts(platform)
    assert gives(other, platform.member_id, Role.ADMIN).status_code == 200
    assert other.asks("DELETE", f"/members/{platform.member_id}").status_code == 204


def test_the_last_platform_admin_stays_one(guarded: httpx.Client, sessions: Sessions) -> None:
    last = caller(guarded, sessions, Role.PLATFORM_ADMIN)
    assert told(gives(last, last.member_id, Role.ADMIN)) == (409, "last-platform-admin")
    assert told(last.asks("DELETE", f"/members/{last.member_id}")) == (409, "last-platform-admin")
    assert gives(last, last.member_id, Role.PLATFORM_ADMIN).status_code == 200


@pytest.mark.parametrize("how", ["demote", "remove"])
def test_two_platform_admins_cannot_end_each_other_at_once(
    guarded: httpx.Client, sessions: Sessions, how: str
) -> None:
    both = [caller(guarded, sessions, Role.PLATFORM_ADMIN) for _ in range(2)]

    def end(number: int) -> int:
        other = both[1 - number].member_id
        if how == "remove":
            return both[number].asks("DELETE", f"/members/{other}").status_code
        return gives(both[number], other, Role.VIEWER).status_code

    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(end, range(2)))
    still = [who for who in both if counts(who) and who.asks("GET", "/whoami").json()["role"] != "viewer"]
    assert len(still) == 1
    assert sum(status < 300 for status in answers) == 1


def test_a_new_platform_admin_loses_the_keys_that_others_made(
    guarded: httpx.Client, sessions: Sessions
) -> None:
    """An administrator of one organization would hold the key of a platform admin otherwise."""
    admin, platform = (caller(guarded, sessions, role) for role in (Role.ADMIN, Role.PLATFORM_ADMIN))
    anna = added(admin, name="anna")
    known = Caller(guarded, anna.id, made(admin.makes_key(member_id=anna.id)).secret)
    assert gives(admin, anna.id, Role.OPERATOR).status_code == 200
    assert counts(known)
    assert gives(platform, anna.id, Role.PLATFORM_ADMIN).status_code == 200
    assert not counts(known)


def test_a_new_platform_admin_loses_the_subject_that_others_gave(
    guarded: httpx.Client, sessions: Sessions
) -> None:
    """It may be that of an accomplice."""
    admin, platform = (caller(guarded, sessions, role) for role in (Role.ADMIN, Role.PLATFORM_ADMIN))
    anna = added(admin, name="anna", subject="accomplice")
    assert gives(admin, anna.id, Role.OPERATOR).json()["subject"] == "accomplice"
    assert gives(platform, anna.id, Role.PLATFORM_ADMIN).json()["subject"] is None
    assert admin.asks("GET", f"/members/{anna.id}").json()["subject"] is None
    again = added(platform, name="anna-2", role="platform_admin", subject="anna")
    assert again.subject == "anna", "a platform admin gives it"


def test_a_role_counts_from_the_next_request_on(guarded: httpx.Client, sessions: Sessions) -> None:
    admin, anna = caller(guarded, sessions, Role.ADMIN), caller(guarded, sessions, Role.ADMIN)
    assert gives(admin, anna.member_id, Role.VIEWER).status_code == 200
    assert told(adds(anna)) == (403, "forbidden")


def test_members_of_other_organizations_are_not_there(guarded: httpx.Client, sessions: Sessions) -> None:
    theirs = caller(guarded, sessions, Role.VIEWER, of=callers.organization(sessions, "theirs"))
    admin = caller(guarded, sessions, Role.ADMIN)
    for method, body in (("GET", b""), ("PATCH", b'{"role": "admin"}'), ("DELETE", b"")):
        answer = admin.asks(method, f"/members/{theirs.member_id}", content=body)
        unknown = admin.asks(method, f"/members/{NOBODY}", content=body)
        assert told(answer) == told(unknown) == (404, "member-not-found")
        assert answer.text.replace(theirs.member_id, "X") == unknown.text.replace(NOBODY, "X")
    page = MemberPage.model_validate_json(admin.asks("GET", "/members").content)
    assert [member.id for member in page.items] == [admin.member_id]
    assert counts(theirs)


def test_a_platform_admin_acts_in_the_organization_that_is_named(
    guarded: httpx.Client, sessions: Sessions
) -> None:
    platform = caller(guarded, sessions, Role.PLATFORM_ADMIN)
    theirs = callers.organization(sessions, "theirs")
    there = {"Beta9-Organization": theirs}
    new = platform.asks("POST", "/members", json={"name": "anna"}, headers=there)
    assert new.json()["organization_id"] == theirs
    assert [one["id"] for one in platform.asks("GET", "/members", headers=there).json()["items"]] == [
        new.json()["id"]
    ]
    assert len(platform.asks("GET", "/members").json()["items"]) == 2


@pytest.mark.parametrize(
    "strange", ["x", "mem_", "mem_" + "A" * 16, "..", "a%00b", "%F0%9F%92%A9", "' OR 1=1"]
)
def test_strange_ids_are_unknown_ids(guarded: httpx.Client, sessions: Sessions, strange: str) -> None:
    admin = caller(guarded, sessions, Role.ADMIN)
    for kind in ("members", "keys", "organizations"):
        assert admin.asks("GET", f"/{kind}/{strange}").status_code == 404
