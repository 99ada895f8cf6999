"""Headers that say where a request comes from; they are strangers' words."""

import pytest

from beta9_provisioning.kit.origin import UNKNOWN, Origin, read, traceparent

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GOOD = f"00-{TRACE}-{PARENT}-01"


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (GOOD, GOOD),
        (f"00-{TRACE}-{PARENT}-00", f"00-{TRACE}-{PARENT}-00"),
        # Flags that this version does not know are not passed on.
        (f"00-{TRACE}-{PARENT}-ff", f"00-{TRACE}-{PARENT}-03"),
        # A later version is read as far as it is known, and passed on as the one that is known.
        (f"01-{TRACE}-{PARENT}-01", GOOD),
        (f"cc-{TRACE}-{PARENT}-01-what-the-future-will-be-like", GOOD),
    ],
)
def test_a_parent_is_read_as_w3c_wants_it(given: str, wanted: str) -> None:
    assert traceparent(given) == wanted
    assert Origin(None, wanted).trace_id == TRACE


@pytest.mark.parametrize(
    "given",
    [
        "",
        None,
        GOOD.upper(),
        f"ff-{TRACE}-{PARENT}-01",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"{GOOD}-more",
        f"{GOOD}-",
        f"cc-{TRACE}-{PARENT}-01.more",
        f"cc-{TRACE}-{PARENT}-01-{'x' * 10_000}",
        f"00-{TRACE[:-1]}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}",
        f"00-{TRACE}-{PARENT}-1",
        f"0-{TRACE}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}-01\n",
        f" {GOOD}",
        f"{GOOD},{GOOD}",
        f"00-{TRACE[:-1]}\u0663-{PARENT}-01",
    ],
)
def test_what_is_no_parent_is_none(given: str | None) -> None:
    assert traceparent(given) is None


@pytest.mark.parametrize(
    "given",
    [b"a", b"7f3c", b"5E6C1B9A-0f5e-4a53-9a36-0d4d2f0b2f11", b"AbC+/=:._~-", b"x" * 128],
)
def test_an_id_is_taken_as_it_is(given: bytes) -> None:
    assert read([(b"host", b"a"), (b"x-request-id", given)]) == Origin(given.decode(), None)


@pytest.mark.parametrize(
    "given",
    [
        b"",
        b"x" * 129,
        b"x" * 10_000,
        b"a b",
        b"a\nb",
        b"a\tb",
        b"a\0b",
        b'"a"',
        b"a,b",
        b"{a}",
        b"<a>",
        b"\xc3\xa4",
    ],
)
def test_an_id_of_another_form_is_none(given: bytes) -> None:
    assert read([(b"x-request-id", given)]) == UNKNOWN


def test_a_header_that_comes_twice_says_nothing() -> None:
    twice = [(b"x-request-id", b"a"), (b"traceparent", GOOD.encode())] * 2
    assert read(twice) == UNKNOWN
    assert read([*twice[:1], (b"traceparent", GOOD.encode())]) == Origin("a", GOOD)


def test_lines_of_log_have_what_is_known() -> None:
    assert UNKNOWN.fields() == {}
    assert Origin("a", None).fields() == {"request_id": "a"}
    assert Origin("a", GOOD).fields() == {"request_id": "a", "trace_id": TRACE}
