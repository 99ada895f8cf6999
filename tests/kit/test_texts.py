"""What becomes of others' words before they are stored; that PostgreSQL takes them is asked of PostgreSQL."""

import json
from pathlib import PurePath
from typing import Any

import pytest
from sqlalchemy import Engine, Text, bindparam, select
from sqlalchemy.dialects.postgresql import JSONB

from beta9_provisioning.kit.texts import DOCUMENT_BYTES, TEXT_BYTES, clean_document, clean_text


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("plain, \u00e9\u4e16\U0001f600\tand\r\nso on", "plain, \u00e9\u4e16\U0001f600\tand\r\nso on"),
        ("a\0b", "a\ufffdb"),
        ("half \ud800 of one", "half \ufffd of one"),
        ("the other \udfff half", "the other \ufffd half"),
        ("\x1b[2J\x07\x9b", "\ufffd[2J\ufffd\ufffd"),
        ("x" * TEXT_BYTES, "x" * TEXT_BYTES),
    ],
)
def test_a_text_is_stored_readable(engine: Engine, said: str, kept: str) -> None:
    assert clean_text(said) == kept
    with engine.connect() as connection:
        assert connection.scalar(select(bindparam("text", clean_text(said), Text))) == kept


@pytest.mark.parametrize("letter", ["x", "\u4e16", "\0", "\U0001f600"])
def test_a_long_text_is_cut_and_says_so(letter: str) -> None:
    cut = clean_text(letter * 5_000_000)
    assert TEXT_BYTES - 8 < len(cut.encode()) <= TEXT_BYTES
    assert cut.endswith("\u2026 (cut; it had 5000000 characters)")
    assert clean_text(cut) == cut


def nested(depth: int) -> Any:
    return {"a": [nested(depth - 1)]} if depth else "deep"


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ({"a\0": "b\0", "\ud800": ["\udfff"]}, {"a\ufffd": "b\ufffd", "\ufffd": ["\ufffd"]}),
        ({"a": [1, -2.5, True, None, 10**30]}, {"a": [1, -2.5, True, None, 10**30]}),
        ([float("nan"), float("inf")], ["nan", "inf"]),
        ({1: (b"\xff", PurePath("/x"))}, {"1": ["\ufffd", "/x"]}),
        ([10**4000], ["(left out: a number of 13288 bits)"]),
    ],
)
def test_a_document_is_stored_as_it_was_said(engine: Engine, said: Any, kept: Any) -> None:
    assert clean_document(said) == kept
    with engine.connect() as connection:
        assert connection.scalar(select(bindparam("document", clean_document(said), JSONB))) == kept


@pytest.mark.parametrize(
    "said",
    [
        {"texts": ["x" * 5000] * 1000},
        {f"key {number}": number for number in range(100_000)},
        {"k" * 5_000_000: "v" * 5_000_000},
        [0] * 3_000_000,
        [[[]] * 1000] * 1000,
        nested(5000 // 100),
    ],
    ids=["texts", "keys", "a long key", "numbers", "lists", "depth"],
)
def test_a_large_document_is_bounded_as_a_whole(engine: Engine, said: Any) -> None:
    kept = clean_document(said)
    written = json.dumps(kept, ensure_ascii=False)
    assert len(written.encode()) < 1.5 * DOCUMENT_BYTES
    assert any(mark in written for mark in ("left out", "cut; it had"))
    with engine.connect() as connection:
        assert connection.scalar(select(bindparam("document", kept, JSONB))) == kept
