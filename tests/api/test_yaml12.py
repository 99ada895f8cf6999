import pytest

from beta9_provisioning.api.yaml12 import YamlRefused, parse


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: 1", {"a": 1}),
        ("{a: 1, b: [x, 'y', \"z\"]}", {"a": 1, "b": ["x", "y", "z"]}),
        ("a: no\nb: on\nc: yes\nd: y", {"a": "no", "b": "on", "c": "yes", "d": "y"}),
        ("[true, True, false, FALSE]", [True, True, False, False]),
        ("[~, null, Null, ]", [None, None, None]),
        ("a:", {"a": None}),
        ("[012, 0o17, 0x1F, -3, +4]", [12, 15, 31, -3, 4]),
        ("[1.5, .5, 1., 1e3, -2.5E-1]", [1.5, 0.5, 1.0, 1000.0, -0.25]),
        ("[1_000, 12:30:45, 2024-01-01, 1.2.3]", ["1_000", "12:30:45", "2024-01-01", "1.2.3"]),
        ("['1', \"true\", 'null']", ["1", "true", "null"]),
        ("a: |\n  two\n  lines\n", {"a": "two\nlines\n"}),
        ("1042: x\ntrue: y", {"1042": "x", "true": "y"}),
        ("'': x", {"": "x"}),
        ("# only a comment", None),
        ("", None),
        ("---\na: 1\n...\n", {"a": 1}),
        ("<<: {a: 1}", {"<<": {"a": 1}}),
    ],
)
def test_reads_the_core_schema(text: str, value: object) -> None:
    parsed = parse(text)
    assert parsed == value
    assert repr(parsed) == repr(value)  # 1, 1.0 and True are equal, and not the same


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a: 1\na: 2", r"'a' comes twice \(line 2, column 1\)"),
        ("{a: {b: 1, 'b': 2}}", "'b' comes twice"),
        ("a: &x 1", "anchors"),
        ("a: &x [1]\nb: *x", "anchors"),
        ("a: *x", "anchors"),
        ("&k a: 1", "anchors"),
        ("a: !!str 1", "tags"),
        ("a: !!python/object:os.system x", "tags"),
        ("!x {a: 1}", "tags"),
        ("[.inf]", "infinity"),
        ("[-.INF]", "infinity"),
        ("[.nan]", "not-a-number"),
        ("[1e999]", "too large"),
        ("[" + "9" * 5000 + "]", "too large"),
        ("a: 1\n---\nb: 2", "one document"),
        ("{a: 1", "line 1"),
        ("a: b: c", "line 1"),
        ("\ta: 1", "line 1"),
        ("? [a, b]\n: 1", "key must be text"),
        ("? {a: b}\n: 1", "key must be text"),
        ("[" * 10_000, "nested too deeply|line"),
        ("{a: " * 10_000, "nested too deeply|line"),
        ("- " * 10_000, "nested too deeply|line"),
        ("a: \x01", "."),
        ("%YAML 3.0\n---\na: 1", "."),
        ("a: 'x", "line"),
        ('a: "\\U00110000"', "0x110000"),
        ('"\\UFFFFFFFF"', "too large"),
        ("%YAML 1.3\n---\na: 1", r"\(1, 3\)"),
        ("%YAML 1." + "9" * 5000 + "\n---\na: 1", "4300 digits"),
    ],
)
def test_refuses(text: str, why: str) -> None:
    with pytest.raises(YamlRefused, match=why):
        parse(text)
