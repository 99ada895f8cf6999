"""Tokens of an OIDC issuer, good and forged, from a genuine server."""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from hashlib import sha256
from ipaddress import ip_network
from time import time
from typing import Any, TypeVar

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from structlog.testing import capture_logs
from tests.support.fake_sts import Answer, fake_sts, says, trickles
from tests.support.issuer import Issuer, SigningKey, issuing, part
from tests.support.waiting import GUARD_SECONDS

from beta9_provisioning.access.issuer_keys import (
    FIRST_PAUSE_SECONDS,
    FRESH_SECONDS,
    PAUSE_SECONDS,
    USABLE_SECONDS,
    IssuerUnavailable,
)
from beta9_provisioning.access.oidc import MAX_TOKEN, Claims, OidcVerifier, TokenRefused
from beta9_provisioning.kit.guarded import Bounds, GuardedClient

T = TypeVar("T")
DISCOVERY = "/.well-known/openid-configuration"
PATIENT = Bounds(seconds=GUARD_SECONDS)


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with issuing() as issuer:
        yield issuer


class Clock:
    """Time that passes when a test says so."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class Case:
    """A verifier in an event loop that lives as long as the test's."""

    def __init__(self, issuer_url: str, bounds: Bounds = PATIENT, **options: Any) -> None:
        self.clock = Clock()
        self.runner = asyncio.Runner()
        self.verifier = OidcVerifier(
            issuer_url,
            "beta9-provisioning",
            GuardedClient((ip_network("127.0.0.1/32"),), bounds=bounds),
            clock=self.clock,
            **options,
        )

    def verify(self, token: str) -> Claims:
        return self.runner.run(self.verifier.verify(token))

    def refuses(self, token: str) -> str:
        with pytest.raises(TokenRefused) as refused:
            self.verify(token)
        return str(refused.value)

    def together(self, *tokens: str) -> list[Claims | BaseException]:
        async def all_of_them() -> list[Claims | BaseException]:
            return await asyncio.gather(*map(self.verifier.verify, tokens), return_exceptions=True)

        return self.runner.run(all_of_them())

    def settle(self) -> None:
        """Wait for what goes on beside the calls."""

        async def others() -> None:
            await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}))

        self.runner.run(others())


@pytest.fixture
def make() -> Iterator[Callable[..., Case]]:
    cases: list[Case] = []

    def new(issuer_url: str, bounds: Bounds = PATIENT, **options: Any) -> Case:
        cases.append(Case(issuer_url, bounds, **options))
        return cases[-1]

    yield new
    for case in cases:
        case.runner.close()


@pytest.fixture
def case(issuer: Issuer, make: Callable[..., Case]) -> Case:
    return make(issuer.url)


def test_a_good_token_says_who_and_how_long(issuer: Issuer, case: Case) -> None:
    end = int(time()) + 300

    claims = case.verify(issuer.token("alice", exp=end))

    assert claims == Claims("alice", datetime.fromtimestamp(end, UTC))


@pytest.mark.parametrize("algorithm", ["RS256", "RS512", "PS256", "PS512", "ES256", "EdDSA"])
def test_every_usual_algorithm_is_taken(issuer: Issuer, case: Case, algorithm: str) -> None:
    issuer.rotate(algorithm)

    assert case.verify(issuer.token()).subject == "alice"


def test_a_key_set_may_leave_the_algorithm_out_and_hold_what_is_not_understood(
    make: Callable[..., Case],
) -> None:
    with fake_sts() as server:
        key = SigningKey.new("PS256")
        bare = {name: value for name, value in key.jwk.items() if name not in ("alg", "use")}
        odd: list[Any] = [
            None,
            1,
            {},
            {"kty": "XY", "kid": "x"},
            {"kty": "RSA", "kid": key.kid, "n": 5},
            {"kid": []},
        ]
        document = {"issuer": server.url, "jwks_uri": f"{server.url}/keys"}
        server.will(says(200, json.dumps(document)), says(200, json.dumps({"keys": [*odd, bare]})))
        claims = Issuer(url=server.url).claims()

        assert make(server.url).verify(key.sign(claims)).subject == "alice"


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": 1_000_000_000},
        {"exp": None},
        {"exp": "soon"},
        {"exp": 1e300},
        {"exp": 10**17},
        {"exp": float("inf")},
        {"nbf": 4_000_000_000},
        {"iat": 4_000_000_000},
        {"iat": None},
        {"iat": "x"},
        {"aud": "another"},
        {"aud": ["another", "third"]},
        {"aud": []},
        {"aud": None},
        {"aud": {"beta9-provisioning": 1}},
        {"iss": "https://another.example"},
        {"iss": None},
        {"iss": ["http://127.0.0.1"]},
        {"sub": None},
        {"sub": 5},
        {"sub": ""},
        {"sub": "a\nb"},
        {"sub": "a\x1b[31mb"},
        {"sub": "x" * 256},
    ],
    ids=str,
)
def test_a_signed_token_whose_claims_are_not_good_is_refused(
    issuer: Issuer, case: Case, changes: dict[str, Any]
) -> None:
    case.refuses(issuer.token(**changes))
    assert case.verify(issuer.token()).subject == "alice", "the key is good"


@pytest.mark.parametrize("end", ["/", ".evil.example", "/realm"])
def test_an_issuer_that_begins_alike_is_another(issuer: Issuer, case: Case, end: str) -> None:
    case.refuses(issuer.token(iss=issuer.url + end))


def test_one_audience_of_several_is_enough_and_clocks_may_differ_a_little(issuer: Issuer, case: Case) -> None:
    now = int(time())

    assert case.verify(issuer.token(aud=["another", "beta9-provisioning"]))
    assert case.verify(issuer.token(exp=now - 5, iat=now + 5, nbf=now + 5))


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "nOnE", ""])
def test_an_unsigned_token_is_refused(issuer: Issuer, case: Case, algorithm: str) -> None:
    header = {"alg": algorithm, "kid": issuer.key.kid, "typ": "JWT"}
    unsigned = f"{part(header)}.{part(issuer.claims())}"

    case.refuses(f"{unsigned}.")
    case.refuses(f"{unsigned}.{issuer.token().rpartition('.')[2]}")


@pytest.mark.parametrize("kind", ["ES256", "RS256"])
@pytest.mark.parametrize("form", [PublicFormat.SubjectPublicKeyInfo, "jwk"])
def test_the_public_key_is_no_secret_to_sign_with(
    issuer: Issuer, case: Case, kind: str, form: PublicFormat | str
) -> None:
    key = issuer.rotate(kind)
    secret = (
        key.private.public_key().public_bytes(Encoding.PEM, form)
        if isinstance(form, PublicFormat)
        else json.dumps(key.jwk).encode()
    )
    unsigned = f"{part({'alg': 'HS256', 'kid': key.kid})}.{part(issuer.claims())}"
    forged = f"{unsigned}.{part(hmac.new(secret, unsigned.encode(), sha256).digest())}"

    case.refuses(forged)


def test_a_symmetric_key_in_the_set_verifies_nothing(make: Callable[..., Case]) -> None:
    with fake_sts() as server:
        shared = {"kty": "oct", "kid": "shared", "alg": "HS256", "k": part(b"s" * 32)}
        good = SigningKey.new()
        document = {"issuer": server.url, "jwks_uri": f"{server.url}/keys"}
        server.will(says(200, json.dumps(document)), says(200, json.dumps({"keys": [shared, good.jwk]})))
        unsigned = f"{part({'alg': 'HS256', 'kid': 'shared'})}.{part(Issuer(url=server.url).claims())}"
        signature = part(hmac.new(b"s" * 32, unsigned.encode(), sha256).digest())

        make(server.url).refuses(f"{unsigned}.{signature}")


def test_a_key_is_taken_for_its_own_algorithm_only(issuer: Issuer, case: Case) -> None:
    key = issuer.rotate("RS256")
    other = SigningKey(key.kid, "PS256", key.private)

    case.refuses(other.sign(issuer.claims()))
    assert case.verify(issuer.token())


def test_a_short_key_verifies_nothing(issuer: Issuer, case: Case) -> None:
    weak = SigningKey("weak", "RS256", rsa.generate_private_key(65537, 1024))
    issuer.keys.append(weak)

    case.refuses(weak.sign(issuer.claims()))


@pytest.mark.parametrize("bits", [1024, 16_384])
def test_keys_of_odd_lengths_are_none(make: Callable[..., Case], bits: int) -> None:
    """A short one can be broken; a long one takes long, in the event loop."""
    with fake_sts() as server:
        modulus = ((1 << bits) - 1).to_bytes(bits // 8, "big")
        jwk = {"kty": "RSA", "kid": "odd", "alg": "RS256", "n": part(modulus), "e": "AQAB"}
        document = {"issuer": server.url, "jwks_uri": f"{server.url}/keys"}
        server.will(says(200, json.dumps(document)), says(200, json.dumps({"keys": [jwk]})))

        with pytest.raises(IssuerUnavailable, match="holds no key"):
            make(server.url).verify(issuer_token_named("odd"))


def issuer_token_named(kid: str) -> str:
    return f"{part({'alg': 'RS256', 'kid': kid})}.{part({})}.AAAA"


def test_a_key_for_encryption_verifies_nothing(make: Callable[..., Case]) -> None:
    with fake_sts() as server:
        good, other = SigningKey.new(), SigningKey.new()
        keys = [good.jwk, {**other.jwk, "use": "enc"}]
        document = {"issuer": server.url, "jwks_uri": f"{server.url}/keys"}
        server.will(says(200, json.dumps(document)), says(200, json.dumps({"keys": keys})))

        make(server.url).refuses(other.sign(Issuer(url=server.url).claims()))


def test_another_issuers_key_under_our_keys_name_is_refused(issuer: Issuer, case: Case) -> None:
    forger = SigningKey.new()

    case.refuses(forger.sign(issuer.claims()))
    case.refuses(SigningKey(issuer.key.kid, "ES256", forger.private).sign(issuer.claims()))


@pytest.mark.parametrize("name", ["jku", "x5u", "jwk", "x5c"])
def test_a_token_does_not_say_where_its_key_is(issuer: Issuer, case: Case, name: str) -> None:
    with fake_sts() as evil:
        forger = SigningKey.new()
        evil.will(says(200, json.dumps({"keys": [forger.jwk]})))
        value = {"jwk": forger.jwk, "x5c": ["MIIB"]}.get(name, f"{evil.url}/keys")

        case.refuses(forger.sign(issuer.claims(), **{name: value}))
        case.refuses(
            SigningKey(issuer.key.kid, "ES256", forger.private).sign(issuer.claims(), **{name: value})
        )
        assert evil.asked == []
        assert case.verify(issuer.key.sign(issuer.claims(), **{name: value})), "it is just not looked at"


@pytest.mark.parametrize(
    "headers",
    [
        {"crit": ["exp"], "exp": 1},
        {"crit": []},
        {"crit": ["b64"], "b64": True},
        {"typ": "logout+jwt"},
        {"typ": "dpop+jwt"},
        {"typ": 5},
        {"kid": None},
    ],
    ids=str,
)
def test_tokens_of_other_kinds_are_refused(issuer: Issuer, case: Case, headers: dict[str, Any]) -> None:
    case.refuses(issuer.key.sign(issuer.claims(), **headers))
    assert case.verify(issuer.key.sign(issuer.claims()))


def test_a_payload_is_not_taken_unencoded(issuer: Issuer, case: Case) -> None:
    header = part({"alg": "ES256", "kid": issuer.key.kid, "b64": False, "crit": ["b64"]})

    signature = issuer.key.seal(f"{header}.{json.dumps(issuer.claims())}").rpartition(".")[2]

    case.refuses(f"{header}..{signature}")


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "..",
        "...",
        "a.b.c",
        "a.b.c.d.e",
        "é.ü.ö",
        "\udcff.\udcff.\udcff",
        "\x00.\x00.\x00",
        f"{part(b'null')}.e30.e30",
        f"{part([])}.e30.e30",
        f"{part('text')}.e30.e30",
        f"{part(b'[' * 5000)}.e30.e30",
        f"{part(b'{' + b'9' * 5000)}.e30.e30",
        f"{part({'alg': [], 'kid': 'x'})}.e30.e30",
        f"{part({'alg': 'ES256', 'kid': []})}.e30.e30",
        f"{part({'alg': 'ES256', 'kid': 'x' * 5000})}.e30.e30",
        "a" * (MAX_TOKEN + 1),
        "." * (MAX_TOKEN + 1),
        f"{'a' * 5_000_000}.b.c",
    ],
    ids=lambda token: ascii(token[:20]),
)
def test_garbage_is_refused(case: Case, token: str) -> None:
    case.refuses(token)


def test_a_large_token_is_refused_though_it_is_signed(issuer: Issuer, case: Case) -> None:
    case.refuses(issuer.token(more="x" * MAX_TOKEN))
    assert issuer.asked == []


def test_no_change_of_a_signed_token_is_taken(issuer: Issuer, case: Case) -> None:
    token = issuer.token()
    head, payload, signature = token.split(".")
    changed = part({**issuer.claims(), "sub": "admin"})

    case.refuses(f"{head}.{changed}.{signature}")
    for cut in range(0, len(signature), 7):
        case.refuses(f"{head}.{payload}.{signature[:cut]}")
        case.refuses(f"{head}.{payload}.{signature}{signature[:cut]}A")
    assert case.verify(token)


def test_a_payload_of_depths_is_refused_though_it_is_signed(issuer: Issuer, case: Case) -> None:
    header = part({"alg": "ES256", "kid": issuer.key.kid})

    case.refuses(issuer.key.seal(f"{header}.{part(b'[' * 5000)}"))


def test_neither_token_nor_reason_goes_where_it_should_not(issuer: Issuer, case: Case) -> None:
    token = issuer.token(aud="another")

    with capture_logs() as logs:
        case.refuses(token)

    told = [line for line in logs if line["event"] == "oidc_token_refused"]
    assert "Audience" in told[0]["reason"]
    assert token.rpartition(".")[2] not in str(logs)


class TestMembers:
    def test_another_claim_can_name_the_member(self, issuer: Issuer, make: Callable[..., Case]) -> None:
        case = make(issuer.url, member_claim="preferred_username")

        assert case.verify(issuer.token(preferred_username="ally")).subject == "ally"
        case.refuses(issuer.token())
        case.refuses(issuer.token(preferred_username={"a": 1}))

    @pytest.mark.parametrize("verified", [None, False, "true", "false", 1])
    def test_an_address_that_nobody_verified_names_nobody(
        self, issuer: Issuer, make: Callable[..., Case], verified: object
    ) -> None:
        case = make(issuer.url, member_claim="email")

        case.refuses(issuer.token(email="ceo@example.com", email_verified=verified))
        good = issuer.token(email="ceo@example.com", email_verified=True)
        assert case.verify(good).subject == "ceo@example.com"


class TestKeys:
    def test_they_are_fetched_once_for_many(self, issuer: Issuer, case: Case) -> None:
        for _ in range(20):
            case.verify(issuer.token())

        assert (issuer.count(DISCOVERY), issuer.count("/keys")) == (1, 1)

    def test_many_at_once_make_one_request(self, issuer: Issuer, case: Case) -> None:
        found = case.together(*(issuer.token(f"user{n}") for n in range(50)))

        assert [one.subject for one in found if isinstance(one, Claims)] == [f"user{n}" for n in range(50)]
        assert issuer.count("/keys") == 1

    def test_a_new_key_is_found_when_it_is_first_used(self, issuer: Issuer, case: Case) -> None:
        case.verify(issuer.token())
        old = issuer.token("still good")
        issuer.rotate("RS256")
        case.clock.now += PAUSE_SECONDS

        assert case.verify(issuer.token("new")).subject == "new"
        assert case.verify(old).subject == "still good"
        assert issuer.count("/keys") == 2

    def test_unknown_keys_make_one_request_in_a_pause(self, issuer: Issuer, case: Case) -> None:
        case.verify(issuer.token())
        forged = [SigningKey.new().sign(issuer.claims()) for _ in range(40)]

        for _ in range(3):
            case.clock.now += PAUSE_SECONDS
            found = case.together(*forged)
            assert all(isinstance(one, TokenRefused) for one in found)
            for token in forged:
                case.refuses(token)

        assert issuer.count("/keys") == 4
        assert case.verify(issuer.token())

    def test_a_key_taken_back_is_refused_after_its_age(self, issuer: Issuer, case: Case) -> None:
        stolen = issuer.token()
        case.verify(stolen)
        issuer.rotate(keep=False)

        case.clock.now += FRESH_SECONDS + 1
        assert case.verify(stolen), "the one that makes it look does not wait"
        case.settle()

        assert "does not have" in case.refuses(stolen)

    def test_they_outlive_an_issuer_that_is_away_for_a_while(self, issuer: Issuer, case: Case) -> None:
        case.verify(issuer.token())
        issuer.broken = 503

        case.clock.now += USABLE_SECONDS
        assert case.verify(issuer.token())
        case.settle()
        assert case.verify(issuer.token())

        case.clock.now += 1
        with pytest.raises(IssuerUnavailable):
            case.verify(issuer.token())

    def test_an_issuer_that_is_away_is_asked_once_in_a_pause(self, issuer: Issuer, case: Case) -> None:
        case.verify(issuer.token())
        issuer.broken = 500
        case.clock.now += FRESH_SECONDS + 1

        for _ in range(10):
            assert case.verify(issuer.token())
            case.settle()
        assert issuer.count(DISCOVERY) == 2

    def test_a_token_of_an_unknown_key_is_not_judged_while_the_issuer_is_away(
        self, issuer: Issuer, case: Case
    ) -> None:
        case.verify(issuer.token())
        issuer.rotate()
        issuer.broken = 500
        case.clock.now += PAUSE_SECONDS

        for _ in range(2):
            with pytest.raises(IssuerUnavailable, match="status 500"):
                case.verify(issuer.token())
        issuer.broken = 0
        case.clock.now += PAUSE_SECONDS
        assert case.verify(issuer.token())

    def test_it_recovers_soon_from_a_start_without_an_issuer(self, issuer: Issuer, case: Case) -> None:
        issuer.broken = 502
        for _ in range(3):
            with pytest.raises(IssuerUnavailable):
                case.verify(issuer.token())
        assert issuer.count(DISCOVERY) == 1

        issuer.broken = 0
        case.clock.now += FIRST_PAUSE_SECONDS
        assert case.verify(issuer.token())

    def test_who_gives_up_waiting_takes_the_keys_from_nobody(self, issuer: Issuer, case: Case) -> None:
        async def one_leaves() -> Claims:
            leaving = asyncio.create_task(case.verifier.verify(issuer.token()))
            staying = asyncio.create_task(case.verifier.verify(issuer.token("bob")))
            await asyncio.sleep(0)
            leaving.cancel()
            with suppress(asyncio.CancelledError):
                await leaving
            return await staying

        assert _run(case, one_leaves()).subject == "bob"
        assert issuer.count("/keys") == 1


def _run(case: Case, work: Awaitable[T]) -> T:
    async def run() -> T:
        return await work

    return case.runner.run(run())


class TestIssuersThatMeanIll:
    @pytest.mark.parametrize(
        "issuer_in_document", ["https://another.example", "", None, "http://127.0.0.1", ["x"]]
    )
    def test_the_document_is_of_the_issuer_exactly(
        self, issuer: Issuer, case: Case, issuer_in_document: object
    ) -> None:
        issuer.changed = {"issuer": issuer_in_document}

        with pytest.raises(IssuerUnavailable, match=r"that of another issuer\. Set OIDC_ISSUER"):
            case.verify(issuer.token())

    def test_a_slash_at_the_end_belongs_to_the_name(self, issuer: Issuer, make: Callable[..., Case]) -> None:
        issuer.changed = {"issuer": f"{issuer.url}/"}

        assert make(f"{issuer.url}/").verify(issuer.token(iss=f"{issuer.url}/"))

    @pytest.mark.parametrize(
        "where",
        [
            None,
            5,
            "",
            "/keys",
            "file:///etc/passwd",
            "https://169.254.169.254/keys",
            "http://[fd00:ec2::254]/keys",
            "https://127.0.0.2/keys",
            "https://10.0.0.1/keys",
        ],
    )
    def test_it_sends_us_nowhere(self, issuer: Issuer, case: Case, where: object) -> None:
        issuer.changed = {"jwks_uri": where}

        with pytest.raises(IssuerUnavailable):
            case.verify(issuer.token())
        assert issuer.count("/keys") == 0

    @pytest.mark.parametrize(
        "answer",
        [
            says(200, ""),
            says(200, "[]"),
            says(200, "null"),
            says(200, "{}"),
            says(200, '{"keys": null}'),
            says(200, '{"keys": []}'),
            says(200, '{"keys": [null, {}]}'),
            says(200, b"\xff\xfe"),
            says(200, "[" * 100_000),
            says(200, '{"keys": ' + "9" * 100_000 + "}"),
            says(200, '{"keys": [' + ",".join(['"x"'] * 60_000) + "]}"),
            says(200, "x" * 2_000_000),
            says(404, "{}"),
            says(500, "{}"),
            says(302, "", Location="http://169.254.169.254/latest/meta-data/"),
            says(302, "", Location="/keys2"),
            says(200, "{}", Content_Encoding="gzip"),
        ],
    )
    def test_a_key_set_that_is_none_is_told(self, make: Callable[..., Case], answer: Answer) -> None:
        with fake_sts() as server:
            document = {"issuer": server.url, "jwks_uri": f"{server.url}/keys"}
            server.will(says(200, json.dumps(document)), answer)
            token = SigningKey.new().sign(Issuer(url=server.url).claims())

            with pytest.raises(IssuerUnavailable):
                make(server.url).verify(token)
            assert len(server.asked) == 2

    def test_one_that_trickles_ends_and_keeps_nobody(self, make: Callable[..., Case]) -> None:
        with fake_sts() as server:
            server.will(trickles(b"HTTP/1.1 200 OK\r\n\r\n", b" "))
            case = make(server.url, Bounds(seconds=1.0))
            token = SigningKey.new().sign(Issuer(url=server.url).claims())

            found = case.together(*[token] * 20)

            assert all(isinstance(one, IssuerUnavailable) for one in found)
            assert len(server.asked) == 1

    def test_one_that_is_gone_is_told(self, make: Callable[..., Case]) -> None:
        with issuing() as issuer:
            token = issuer.token()
        with pytest.raises(IssuerUnavailable, match="cannot be connected to"):
            make(issuer.url).verify(token)
