import json
import time
from collections.abc import Callable
from contextlib import suppress

import pytest
from tests.support.configs import config, document

from beta9_provisioning.api.bodies import (
    MAX_YAML,
    BodyRefused,
    InvalidConfiguration,
    configuration,
    parse,
)

BLOCK = b"""
name: demo
cloud:
  provider: aws
  region: us-east-1
  account_id: "123456789012"
  role_arn: arn:aws:iam::123456789012:role/Beta9Provisioner
  external_id: b9-0123456789abcdef
beta9:
  domain: beta9.example.com
"""


def stripped(body: bytes) -> bytes:
    """What `curl -d @file` makes of a file."""
    return body.replace(b"\r", b"").replace(b"\n", b"").replace(b"\0", b"")


@pytest.mark.parametrize(
    "body",
    [
        json.dumps(document()).encode(),
        b"\xef\xbb\xbf" + json.dumps(document()).encode(),
        json.dumps(document(), indent=2).encode(),
        BLOCK,
        BLOCK.replace(b"\n", b"\r\n"),
        b"---\n" + BLOCK,
    ],
)
def test_json_and_yaml_say_the_same(body: bytes) -> None:
    assert configuration(body) == config()


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "empty"),
        (b" \n\t ", "empty"),
        (b"\xff\xfe", "not UTF-8"),
        (b'{"name": "caf\xe9"}', r"not UTF-8 \(byte 14\)"),
        (b"[]", "mapping"),
        (b"3", "mapping"),
        (b'"text"', "mapping"),
        (b"null", "mapping"),
        (b"- a\n- b", "mapping"),
        (b"# only a comment\n# and another", "mapping"),
        (b'{"a": 1, "a": 2}', "'a' comes twice"),
        (b'{"a": {"b": 1, "b": 2}}', "'b' comes twice"),
        (b"a: 1\na: 2", "'a' comes twice"),
        (b'{"a": NaN}', "NaN"),
        (b'{"a": -Infinity}', "Infinity"),
        (b'{"a": 1e999}', "too large"),
        (b'{"a": ' + b"9" * 5000 + b"}", "too large"),
        (b'{"a": "\\u0000"}', "NUL character in a, "),
        (b'{"a": [{"b": ["\\u0000"]}]}', r"NUL character in a\.0\.b\.0, "),
        (b'{"\\u0000": 1}', "NUL character in a key of the body"),
        (b'a: "\\0"', "NUL"),
        (b'{"a": "\\ud800"}', "surrogate pair in a, "),
        (b'{"a": {"\\ud800": 1}}', "surrogate pair in a key of a, "),
        (b"[" * 10_000, "nested too deeply"),
        (b'{"a":' * 10_000, "nested too deeply"),
        (b'{"a":' + b"[" * 100 + b"]" * 100 + b"}", "nested too deeply"),
        (b"[" * 500_000, "64 KiB|nested too deeply"),
        (b"a: &x [1]\nb: *x", "anchors"),
        (b"a: 1\n---\nb: 2", "one document"),
        (b"a: " + b"x" * MAX_YAML, "64 KiB"),
        (b'{"a": 1,', "neither JSON nor YAML"),
    ],
)
def test_refuses_what_is_no_plain_data(body: bytes, why: str) -> None:
    with pytest.raises(BodyRefused, match=why) as caught:
        parse(body)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    "body",
    [
        BLOCK,
        b"# The demo\n" + BLOCK,
        b"name: demo\ncloud:\n  provider: aws\n",
        b'name: "demo"\ncloud:\n  provider: aws\n',
        b"beta9:\n  domain: a.example.com\nname: demo\n",
    ],
)
def test_stripped_newlines_are_named_with_the_remedy(body: bytes) -> None:
    with pytest.raises(BodyRefused, match=r"newlines were stripped.*--data-binary"):
        parse(stripped(body))


def test_the_hint_about_newlines_does_not_hide_what_the_parser_says() -> None:
    with pytest.raises(BodyRefused, match=r"newlines were stripped.*mapping values.*\(line 1, column \d+\)"):
        parse(b"name: demo cloud: x")


def test_a_comment_that_swallows_the_rest_is_named() -> None:
    with pytest.raises(BodyRefused, match=r"# comments out the rest.*--data-binary"):
        parse(stripped(b"{\n  name: demo, # its name\n  cloud: {provider: aws}\n}\n"))


def test_other_faults_of_one_line_are_not_blamed_on_newlines() -> None:
    with pytest.raises(BodyRefused) as caught:
        parse(b"{name: demo, cloud: [}")
    assert "newlines" not in caught.value.message


@pytest.mark.parametrize("account", [b"123456789012", b"012345678901", b"1.5"])
def test_an_unquoted_account_id_is_told_to_be_quoted(account: bytes) -> None:
    with pytest.raises(InvalidConfiguration, match="quote it"):
        configuration(BLOCK.replace(b'"123456789012"', account))


def work(body: bytes) -> float:
    """The processor's time that parsing takes, in seconds: the least of three tries."""

    def once() -> float:
        began = time.thread_time()
        with suppress(BodyRefused):
            parse(body)
        return time.thread_time() - began

    return min(once() for _ in range(3))


@pytest.mark.parametrize(
    "body",
    [
        lambda size: b"[" * size,
        lambda size: b"{" * size,
        lambda size: b"{" + b"a: [" * (size // 4),
        lambda size: b"- " * (size // 2),
        lambda size: b"? " * (size // 2),
        lambda size: b'a: "' + b"\\" * size,
        lambda size: b"{" + b",".join(b"k%d: v" % n for n in range(size // 9)) + b"}",
        lambda size: b"a: >\n" + b" \n" * (size // 2),
        lambda size: b'"' + b" " * size,
        lambda size: b"#" * size,
        lambda size: b"--- " * (size // 4),
        lambda size: b"%X\n" * (size // 3),
    ],
)
def test_hostile_yaml_takes_no_more_work_than_its_size(body: Callable[[int], bytes]) -> None:
    size = MAX_YAML - 1000
    quarter = max(work(body(size // 4)), 0.01)  # less cannot be compared
    # Four times as much if the work grows with the size, 16 times as much if with its square.
    assert work(body(size)) < 8 * quarter
