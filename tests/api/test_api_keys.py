"""API keys: whoever has one may make others, and none of them is a way up."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import func, update
from tests.support import callers
from tests.support.organized import Caller, caller, made, told

from beta9_provisioning.access.allowance import MOST_KEYS
from beta9_provisioning.access.roles import PERMISSIONS
from beta9_provisioning.kit.database import Sessions, transaction
from beta9_provisioning.operations.records.model import ApiKeyRow
from beta9_provisioning.schemas.callers import Key, KeyPage, Permission, Role

P = Permission
DAY = timedelta(days=1)


def shown(by: Caller, key_id: str) -> Key:
    return Key.model_validate_json(by.asks("GET", f"/keys/{key_id}").content)


def listed(by: Caller, **parameters: Any) -> list[str]:
    page = KeyPage.model_validate_json(by.asks("GET", "/keys", params=parameters).content)
    return [key.id for key in page.items]


def counts(who: Caller) -> bool:
    return who.asks("GET", "/whoami").status_code == 200


class TestCreate:
    def test_a_new_key_lets_in_and_its_secret_is_nowhere_else(
        self, guarded: httpx.Client, sessions: Sessions
    ) -> None:
        anna = caller(guarded, sessions, Role.VIEWER)
        new = made(anna.makes_key(name="laptop"))
        assert new.key.expires_at is not None
        assert new.key.expires_at - new.key.created_at == 90 * DAY
        assert (new.key.name, new.key.scopes, new.key.member_id) == ("laptop", None, anna.member_id)
        assert counts(Caller(guarded, anna.member_id, new.secret))
        with sessions() as session:
            row = session.get_one(ApiKeyRow, new.key.id)
            assert new.secret[-16:] not in repr(vars(row))
        for path in (f"/keys/{new.key.id}", "/keys"):
            assert new.secret[-16:] not in anna.asks("GET", path).text

    def test_a_member_has_so_many_that_count(self, guarded: httpx.Client, sessions: Sessions) -> None:
        anna, other = (caller(guarded, sessions, Role.VIEWER) for _ in range(2))
        for number in range(MOST_KEYS - 3):
            past = datetime.now(UTC) - DAY if number == 0 else None
            callers.key(sessions, anna.member_id, expires_at=past)

        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: anna.makes_key(), range(8)))

        assert sorted(one.status_code for one in answers) == [201] * 3 + [403] * 5
        refused = next(one for one in answers if one.status_code == 403)
        assert told(refused) == (403, "too-many-keys")
        assert "Revoke" in refused.json()["detail"]
        assert other.makes_key().status_code == 201
        new = made(anna.asks("POST", f"/keys/{anna.key_id}/rotate"))
        holder = Caller(guarded, anna.member_id, new.secret)
        again = holder.asks("POST", f"/keys/{new.key.id}/rotate")
        assert told(again) == (403, "too-many-keys"), "or replacing would be a way to more"
        assert anna.asks("DELETE", f"/keys/{anna.key_id}").is_success
        assert told(holder.makes_key()) == (403, "too-many-keys")
        gone = next(id_ for id_ in listed(holder) if id_ != new.key.id)
        assert holder.asks("DELETE", f"/keys/{gone}").is_success
        assert holder.makes_key().status_code == 201

    def test_scopes_are_kept_in_one_order_and_once(self, guarded: httpx.Client, sessions: Sessions) -> None:
        anna = caller(guarded, sessions, Role.OPERATOR)
        new = made(anna.makes_key(scopes=[P.KEYS_READ, P.ENVIRONMENTS_READ, P.KEYS_READ]))
        assert new.key.scopes == [P.ENVIRONMENTS_READ, P.KEYS_READ]

    @pytest.mark.parametrize(
        "wrong",
        [
            {"name": ""},
            {"name": "x" * 101},
            {"name": "a\nb"},
            {"scopes": []},
            {"scopes": ["everything"]},
            {"expires_in_days": 0},
            {"expires_in_days": 3651},
            {"role": "admin"},
        ],
    )
    def test_what_is_no_key_is_refused_by_field(
        self, guarded: httpx.Client, sessions: Sessions, wrong: dict[str, Any]
    ) -> None:
        answer = caller(guarded, sessions, Role.ADMIN).makes_key(**wrong)
        assert told(answer) == (422, "invalid-request")
        assert answer.json()["errors"][0]["field"].startswith(next(iter(wrong)))

    def test_bodies_may_be_yaml(self, guarded: httpx.Client, sessions: Sessions) -> None:
        anna = caller(guarded, sessions, Role.VIEWER)
        assert made(anna.asks("POST", "/keys", content=b"name: from yaml\n")).key.name == "from yaml"


class TestEscalation:
    """Each is a way up that is closed."""

    @pytest.mark.parametrize("role", list(Role))
    @pytest.mark.parametrize("scope", list(Permission))
    def test_a_key_gives_no_scope_that_its_role_has_not(
        self, guarded: httpx.Client, sessions: Sessions, role: Role, scope: Permission
    ) -> None:
        answer = caller(guarded, sessions, role).makes_key(scopes=[scope])
        if scope in PERMISSIONS[role]:
            assert answer.status_code == 201
        else:
            assert told(answer) == (403, "exceeds-own-rights")
            assert scope in answer.json()["detail"]

    def test_a_scoped_key_makes_none_without_scopes(self, guarded: httpx.Client, sessions: Sessions) -> None:
        scoped = caller(guarded, sessions, Role.ADMIN, scopes=[P.KEYS_WRITE, P.ENVIRONMENTS_READ])
        assert told(scoped.makes_key()) == (403, "exceeds-own-rights")
        assert told(scoped.makes_key(scopes=[P.MEMBERS_WRITE])) == (403, "exceeds-own-rights")
        assert scoped.makes_key(scopes=[P.ENVIRONMENTS_READ]).status_code == 201

    def test_nor_when_its_scopes_are_all_that_the_role_has_today(
        self, guarded: httpx.Client, sessions: Sessions
    ) -> None:
        """The key without scopes would grow with the role, and the scoped one would not."""
        scoped = caller(guarded, sessions, Role.VIEWER, scopes=sorted(PERMISSIONS[Role.VIEWER]))
        assert told(scoped.makes_key()) == (403, "exceeds-own-rights")

    def test_a_scoped_key_rotates_into_nothing_more(self, guarded: httpx.Client, sessions: Sessions) -> None:
        anna = caller(guarded, sessions, Role.ADMIN)
        scoped = anna.with_key(scopes=[P.KEYS_WRITE])
        assert told(scoped.asks("POST", f"/keys/{anna.key_id}/rotate")) == (403, "exceeds-own-rights")
        wider = anna.with_key(scopes=[P.KEYS_WRITE, P.MEMBERS_WRITE])
        assert told(scoped.asks("POST", f"/keys/{wider.key_id}/rotate")) == (403, "exceeds-own-rights")
        assert counts(anna)
        assert made(scoped.asks("POST", f"/keys/{scoped.key_id}/rotate")).key.scopes == [P.KEYS_WRITE]

    def test_an_administrator_makes_keys_within_the_own_rights_only(
        self, guarded: httpx.Client, sessions: Sessions
    ) -> None:
        operator = caller(guarded, sessions, Role.OPERATOR)
        scoped = caller(
            guarded,
            sessions,
            Role.ADMIN,
            scopes=[P.MEMBERS_WRITE, P.KEYS_WRITE, P.KEYS_READ, P.ENVIRONMENTS_READ],
        )
        for scopes in (None, [P.ENVIRONMENTS_WRITE]):
            answer = scoped.makes_key(member_id=operator.member_id, scopes=scopes)
            assert told(answer) == (403, "exceeds-own-rights")
        answer = scoped.makes_key(member_id=operator.member_id, scopes=[P.ENVIRONMENTS_READ])
        assert made(answer).key.member_id == operator.member_id
        assert told(scoped.asks("POST", f"/keys/{operator.key_id}/rotate")) == (403, "exceeds-own-rights")

    def test_only_platform_admins_touch_keys_of_platform_admins(
        self, guarded: httpx.Client, sessions: Sessions
    ) -> None:
        platform = caller(guarded, sessions, Role.PLATFORM_ADMIN)
        admin = caller(guarded, sessions, Role.ADMIN)
        tried = [
            admin.makes_key(member_id=platform.member_id),
            admin.makes_key(member_id=platform.member_id, scopes=[P.ENVIRONMENTS_READ]),
            admin.asks("POST", f"/keys/{platform.key_id}/rotate"),
            admin.asks("DELETE", f"/keys/{platform.key_id}"),
        ]
        assert {told(answer) for answer in tried} == {(403, "platform-admins-only")}
        assert counts(platform)
        other = caller(guarded, sessions, Role.PLATFORM_ADMIN)
        assert other.asks("DELETE", f"/keys/{platform.key_id}").status_code == 200

    @pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR])
    def test_keys_of_others_are_an_administrators(
        self, guarded: httpx.Client, sessions: Sessions, role: Role
    ) -> None:
        anna, bert = caller(guarded, sessions, role), caller(guarded, sessions, Role.VIEWER)
        assert told(anna.makes_key(member_id=bert.member_id)) == (403, "forbidden")
        for parameters in ({"member": bert.member_id}, {"member": "all"}):
            assert told(anna.asks("GET", "/keys", params=parameters)) == (403, "forbidden")
        check_unknown(anna, bert.key_id)
        assert listed(anna) == listed(anna, member=anna.member_id) == [anna.key_id]
        admin = caller(guarded, sessions, Role.ADMIN)
        assert set(listed(admin, member="all")) == {anna.key_id, bert.key_id, admin.key_id}
        assert listed(admin, member=bert.member_id) == [bert.key_id]

    def test_keys_and_members_of_other_organizations_are_not_there(
        self, guarded: httpx.Client, sessions: Sessions
    ) -> None:
        theirs = caller(guarded, sessions, Role.VIEWER, of=callers.organization(sessions, "theirs"))
        admin = caller(guarded, sessions, Role.ADMIN)
        check_unknown(admin, theirs.key_id)
        nobody = "mem_" + "0" * 16
        made_for = [admin.makes_key(member_id=member) for member in (theirs.member_id, nobody)]
        asked_for = [
            admin.asks("GET", "/keys", params={"member": member}) for member in (theirs.member_id, nobody)
        ]
        for foreign, unknown in (made_for, asked_for):
            assert told(foreign) == told(unknown) == (404, "member-not-found")
            assert foreign.text.replace(theirs.member_id, "X") == unknown.text.replace(nobody, "X")
        assert listed(admin, member="all") == [admin.key_id]
        assert counts(theirs)

    def test_no_key_makes_one_that_lives_longer_than_it_was_given(
        self, guarded: httpx.Client, sessions: Sessions
    ) -> None:
        anna = caller(guarded, sessions, Role.ADMIN)
        short = anna.with_key(expires_in_days=7)
        for days in (8, None):
            answer = short.makes_key(expires_in_days=days)
            assert told(answer) == (403, "exceeds-own-rights")
            assert answer.json()["errors"][0]["field"] == "expires_in_days"
            bert = caller(guarded, sessions, Role.VIEWER)
            answer = short.makes_key(member_id=bert.member_id, expires_in_days=days)
            assert told(answer) == (403, "exceeds-own-rights")
        assert short.makes_key(expires_in_days=7).status_code == 201
        assert told(short.asks("POST", f"/keys/{anna.key_id}/rotate")) == (403, "exceeds-own-rights")
        assert short.asks("POST", f"/keys/{short.key_id}/rotate").status_code == 201


class TestRevoke:
    def test_a_revoked_key_ends_at_once_and_stays_in_the_list(
        self, guarded: httpx.Client, sessions: Sessions
    ) -> None:
        anna = caller(guarded, sessions, Role.VIEWER)
        second = anna.with_key()
        first = anna.asks("DELETE", f"/keys/{second.key_id}")
        assert not counts(second)
        assert first.content == anna.asks("DELETE", f"/keys/{second.key_id}").content
        assert shown(anna, second.key_id).revoked_at is not None

    def test_a_key_may_end_itself(self, guarded: httpx.Client, sessions: Sessions) -> None:
        anna = caller(guarded, sessions, Role.VIEWER)
        assert anna.asks("DELETE", f"/keys/{anna.key_id}").status_code == 200
        assert not counts(anna)


class TestRotate:
    def test_the_new_key_is_as_the_old_one(self, guarded: httpx.Client, sessions: Sessions) -> None:
        anna = caller(guarded, sessions, Role.OPERATOR)
        old = made(anna.makes_key(name="ci", scopes=[P.ENVIRONMENTS_READ], expires_in_days=30))
        new = made(anna.asks("POST", f"/keys/{old.key.id}/rotate", json={"overlap_hours": 2}))
        same = ("name", "member_id", "scopes", "organization_id")
        assert [getattr(new.key, one) for one in same] == [getattr(old.key, one) for one in same]
        assert life(new.key) == life(old.key) == 30 * DAY
        replaced = shown(anna, old.key.id)
        assert replaced.replaced_by == new.key.id
        assert replaced.expires_at == new.key.created_at + timedelta(hours=2)
        assert counts(Caller(guarded, anna.member_id, old.secret))
        assert counts(Caller(guarded, anna.member_id, new.secret))

    def test_without_an_overlap_the_old_key_ends_at_once(
        self, guarded: httpx.Client, sessions: Sessions
    ) -> None:
        anna = caller(guarded, sessions, Role.VIEWER)
        made(anna.asks("POST", f"/keys/{anna.key_id}/rotate", json={"overlap_hours": 0}))
        assert not counts(anna)

    def test_the_overlap_never_lengthens_a_life(self, guarded: httpx.Client, sessions: Sessions) -> None:
        anna = caller(guarded, sessions, Role.VIEWER)
        soon = datetime.now(UTC) + timedelta(hours=1)
        short = callers.key(sessions, anna.member_id, expires_at=soon)
        one = Caller(guarded, anna.member_id, short)
        made(anna.asks("POST", f"/keys/{one.key_id}/rotate", json={"overlap_hours": 720}))
        assert shown(anna, one.key_id).expires_at == soon

    def test_an_empty_body_means_a_day(self, guarded: httpx.Client, sessions: Sessions) -> None:
        anna = caller(guarded, sessions, Role.VIEWER)
        new = made(anna.asks("POST", f"/keys/{anna.key_id}/rotate"))
        assert new.key.expires_at is None
        assert shown(anna, anna.key_id).expires_at == new.key.created_at + DAY

    def test_twice_at_once_makes_one_key(self, guarded: httpx.Client, sessions: Sessions) -> None:
        anna = caller(guarded, sessions, Role.VIEWER)
        with ThreadPoolExecutor(6) as pool:
            path = f"/keys/{anna.key_id}/rotate"
            answers = list(pool.map(lambda _: anna.asks("POST", path), range(6)))
        assert sorted(answer.status_code for answer in answers) == [201] + [409] * 5
        assert {told(answer)[1] for answer in answers if answer.status_code == 409} == {"key-ended"}
        assert len(listed(anna)) == 2

    @pytest.mark.parametrize("how", ["revoked_at", "expires_at"])
    def test_what_counts_no_more_is_not_replaced(
        self, guarded: httpx.Client, sessions: Sessions, how: str
    ) -> None:
        anna = caller(guarded, sessions, Role.VIEWER)
        ended = anna.with_key()
        callers.change_key(sessions, ended.text, **{how: func.clock_timestamp()})
        assert told(anna.asks("POST", f"/keys/{ended.key_id}/rotate")) == (409, "key-ended")


def test_pages_hold_every_key_once(guarded: httpx.Client, sessions: Sessions) -> None:
    anna = caller(guarded, sessions, Role.VIEWER)
    every = {anna.key_id} | {made(anna.makes_key()).key.id for _ in range(4)}
    found: list[str] = []
    cursor: str | None = None
    while True:
        parameters = {"limit": "2"} | ({"cursor": cursor} if cursor else {})
        page = KeyPage.model_validate_json(anna.asks("GET", "/keys", params=parameters).content)
        found += [key.id for key in page.items]
        if (cursor := page.next_cursor) is None:
            break
    assert (len(found), set(found)) == (5, every)


def test_a_scope_of_another_release_is_none(guarded: httpx.Client, sessions: Sessions) -> None:
    anna = caller(guarded, sessions, Role.VIEWER)
    with transaction(sessions) as session:
        session.execute(update(ApiKeyRow).values(scopes=["stars:move", "keys:read", "keys:write"]))
    assert shown(anna, anna.key_id).scopes == [P.KEYS_READ, P.KEYS_WRITE]
    assert made(anna.asks("POST", f"/keys/{anna.key_id}/rotate")).key.scopes == [P.KEYS_READ, P.KEYS_WRITE]


def test_without_authentication_keys_are_made_for_members_only(
    client: httpx.Client, sessions: Sessions
) -> None:
    """So that one can prepare before authentication is turned on."""
    refused = client.post("/api/v1/keys", json={"name": "mine"})
    assert told(refused) == (409, "no-own-keys")
    assert "create a member first" in refused.json()["detail"]
    member = client.post("/api/v1/members", json={"name": "anna", "role": "admin"}).json()["id"]
    new = made(client.post("/api/v1/keys", json={"name": "first", "member_id": member}))
    assert client.get("/api/v1/keys").json()["items"] == []
    assert [key["id"] for key in client.get("/api/v1/keys?member=all").json()["items"]] == [new.key.id]
    assert client.post(f"/api/v1/keys/{new.key.id}/rotate").status_code == 201
    assert client.delete(f"/api/v1/keys/{new.key.id}").status_code == 200
    platform = client.post("/api/v1/members", json={"name": "bert", "role": "platform_admin"})
    assert told(platform) == (403, "platform-admins-only")


def life(key: Key) -> timedelta:
    assert key.expires_at is not None
    return key.expires_at - key.created_at


def check_unknown(by: Caller, key_id: str) -> None:
    """Check that a key is not there: with the words for one that nobody has."""
    unknown = "key_" + "0" * 16
    for method, end in (("GET", ""), ("DELETE", ""), ("POST", "/rotate")):
        answer = by.asks(method, f"/keys/{key_id}{end}")
        other = by.asks(method, f"/keys/{unknown}{end}")
        assert told(answer) == told(other) == (404, "key-not-found")
        assert answer.text.replace(key_id, "X") == other.text.replace(unknown, "X")
