"""Bodies in YAML through the served API: refused by name, or kept as the text that they are."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from sqlalchemy import select
from tests.security.attacks import KINDS, attacks
from tests.support.configs import document

from beta9_provisioning.api.bodies import MAX_YAML
from beta9_provisioning.kit.database import Sessions, transaction
from beta9_provisioning.kit.texts import is_plain_line
from beta9_provisioning.operations.records.model import EnvironmentRow

URL = "/api/v1/environments"
YAML = {"Content-Type": "application/yaml"}
HEAD = "name: demo\ncloud: " + json.dumps(document()["cloud"]) + "\nbeta9: {domain: beta9.example.com}\n"
TAGS = HEAD + "tags: "


def aliases(depth: int) -> str:
    """Return a text of which each line names the one before it nine times."""
    lines = ["l0: &l0 [x]"] + [f"l{n}: &l{n} [{','.join([f'*l{n - 1}'] * 9)}]" for n in range(1, depth)]
    return HEAD + "\n".join(lines)


# What is refused, and a word of what is said: of YAML's own means, of sizes, of encodings.
REFUSED: dict[str, tuple[str | bytes, str]] = {
    "alias bomb": (aliases(12), "anchors"),
    "many anchors": (HEAD + "\n".join(f"k{n}: &a{n} x" for n in range(3000)), "anchors"),
    "merge key": ("base: &base {a: b}\n" + TAGS + "{<<: *base}", "anchors"),
    "merge of a map": (TAGS + "{<<: {a: b}}", "tags.<<"),
    "python": (TAGS + '{a: !!python/object/apply:os.system ["touch /tmp/forged"]}', "tags are"),
    "python name": (TAGS + "{a: !!python/name:os.system }", "tags are"),
    "ruby": (TAGS + "{a: !ruby/object:Gem::Installer {i: x}}", "tags are"),
    "java": (TAGS + '{a: !!javax.script.ScriptEngineManager [!!java.net.URL ["http://x/"]]}', "tags are"),
    "verbatim tag": (TAGS + "{a: !<tag:yaml.org,2002:python/none> x}", "tags are"),
    "tag of a text": (TAGS + "{a: !!str x}", "tags are"),
    "named tag": ("%TAG !e! tag:example.com,2000:\n---\n" + TAGS + "{a: !e!x y}", "tags are"),
    "unknown tag": (TAGS + "{a: !e!x y}", "YAML"),
    "version": ("%YAML 3.1\n---\n" + HEAD, "YAML"),
    "two versions": ("%YAML 1.2\n%YAML 1.2\n---\n" + HEAD, "YAML"),
    "many documents": ("---\n" + HEAD + "---\nname: forged\n" * 1000, "one document"),
    "deep flow": (TAGS + "[" * 20_000, "nested too deeply"),
    "deep map": (TAGS + "{a: " * 10_000, "nested too deeply"),
    "deep block": (TAGS + "\n " + "- " * 10_000, "nested too deeply"),
    "deep keys": (TAGS + "\n " + "? " * 10_000, "."),
    "complex key": (TAGS + "{[a, b]: c}", "key must be text"),
    "map as key": (TAGS + "{? {a: b} : c}", "key must be text"),
    "twice": (TAGS + "{a: b, 'a': c}", "'a' comes twice"),
    "twice by escape": (TAGS + '{a: b, "\\x61": c}', "'a' comes twice"),
    "name twice": (HEAD + "name: other", "'name' comes twice"),
    "large float": (TAGS + "{a: 1e999999}", "too large"),
    "small integer": (TAGS + "{a: -" + "9" * 5000 + "}", "too large"),
    "large hexadecimal": (TAGS + "{a: 0x" + "f" * 50_000 + "}", "tags.a"),
    "large octal": (TAGS + "{a: 0o" + "7" * 50_000 + "}", "tags.a"),
    "infinite": (TAGS + "{a: -.inf}", "infinity"),
    "no number": (TAGS + "{a: .NaN}", "not-a-number"),
    "many keys": (TAGS + "{" + ",".join(f"k{n}: v" for n in range(5000)) + "}", "tags"),
    "huge text": (TAGS + "{a: '" + "x" * (MAX_YAML - 1000) + "'}", "tags.a"),
    "over the limit": (TAGS + "{a: '" + "x" * MAX_YAML + "'}", "64 KiB"),
    "NUL escaped": (TAGS + '{a: "\\0"}', "NUL character in tags.a"),
    "NUL in a key": (TAGS + '{"a\\0": b}', "NUL character in a key of tags"),
    "NUL raw": (TAGS + "{a: '\0'}", "YAML"),
    "escape raw": (TAGS + "{a: '\x1b[31m'}", "YAML"),
    "escape in a comment": (HEAD + "# \x1b]0;owned\x07\n", "YAML"),
    "half a surrogate": (TAGS + '{a: "\\ud800"}', "half a surrogate pair in tags.a"),
    "surrogates turned": (TAGS + '{a: "\\udc00\\ud800"}', "half a surrogate pair in tags.a"),
    "half a surrogate in bytes": (TAGS.encode() + b"{a: '\xed\xa0\x80'}", "UTF-8"),
    "beyond Unicode": (TAGS + '{a: "\\U00110000"}', "YAML"),
    "UTF-16": (HEAD.encode("utf-16"), "UTF-8"),
    "UTF-16 unmarked": (HEAD.encode("utf-16-be"), "YAML"),
    "UTF-32": (HEAD.encode("utf-32"), "UTF-8"),
    "UTF-32 unmarked": (HEAD.encode("utf-32-le"), "YAML"),
    "mark in the middle": (TAGS + "{\ufeffa: b}", "."),
    "only an end": ("...", "YAML"),
    "only a directive": ("%YAML 1.2", "YAML"),
    "tabs": ("name: demo\n\tcloud: x", "YAML"),
}

# What says the same as the JSON beside it.
SAME: dict[str, tuple[str, dict[str, Any]]] = {
    "mark of byte order": ("\ufeff" + TAGS + "{a: b}", {"a": "b"}),
    "two marks": ("\ufeff\ufeff" + TAGS + "{a: b}", {"a": "b"}),
    "version": ("%YAML 1.2\n---\n" + TAGS + "{a: b}\n...\n", {"a": "b"}),
    "old version": ("%YAML 1.1\n---\n" + TAGS + "{a: no, b: 'yes'}", {"a": "no", "b": "yes"}),
    "unknown directive": ("%FORGED x\n---\n" + TAGS + "{a: b}", {"a": "b"}),
    "unused tag": ("%TAG ! tag:example.com,2000:\n---\n" + TAGS + "{a: b}", {"a": "b"}),
    "words": (TAGS + "{a: no, b: on, c: 2024-01-01}", {"a": "no", "b": "on", "c": "2024-01-01"}),
    "carriage returns": ((TAGS + "{a: b}").replace("\n", "\r"), {"a": "b"}),
    "a comment": (TAGS + "{a: b} # {{ x }} ${y} !!python/none", {"a": "b"}),
    "folded": (TAGS + "\n  a: >-\n    b\n    c\n", {"a": "b c"}),
    "empty key": (TAGS + "{a: ''}", {"a": ""}),
}  # fmt: skip


def refused(answer: httpx.Response, why: str) -> None:
    where = f"{answer.status_code} {answer.text[:500]}"
    assert answer.status_code in (400, 422), where
    assert answer.headers["content-type"] == "application/problem+json", where
    assert len(answer.content) < 16 * 1024, where
    assert why in answer.text, where
    assert is_plain_line(answer.json()["detail"]), where


def tags(sessions: Sessions) -> dict[str, Any]:
    """Return the tags of every environment by its name."""
    with transaction(sessions) as session:
        return {row.config["name"]: row.config["tags"] for row in session.scalars(select(EnvironmentRow))}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_more_than_plain_data_is_refused(client: httpx.Client, sessions: Sessions, name: str) -> None:
    body, why = REFUSED[name]
    sent = body if isinstance(body, bytes) else body.encode()
    refused(client.post(URL, content=sent, headers=YAML), why)
    assert tags(sessions) == {}
    made = client.post(URL, json=document()).json()["environment_id"]
    refused(client.patch(f"{URL}/{made}", content=sent, headers=YAML), "")
    assert tags(sessions) == {"demo": {}}


@pytest.mark.parametrize("name", SAME)
def test_what_is_plain_data_is_what_json_says(client: httpx.Client, sessions: Sessions, name: str) -> None:
    body, said = SAME[name]
    answer = client.post(URL, content=body.encode(), headers=YAML)
    assert answer.status_code == 202, answer.text
    assert client.post(URL, json=document(name="json", tags=said)).status_code == 202
    kept = tags(sessions)
    assert kept["demo"] == kept["json"] == said


@pytest.mark.parametrize("form", ["double", "plain", "block"])
@pytest.mark.parametrize("kind", KINDS)
def test_an_attack_in_yaml_is_refused_or_kept(
    client: httpx.Client, sessions: Sessions, kind: str, form: str
) -> None:
    """Quoted it is the text, whatever it is; as it stands it may be other YAML, of which nothing is made."""
    texts = {}
    for number, attack in enumerate(attacks(kind)):
        body = HEAD.replace("demo", f"y{number}") + "tags:\n  a: " + written(attack, form)
        answer = client.post(URL, content=body.encode("utf-8", "surrogatepass"), headers=YAML)
        if answer.status_code == 202:
            texts[f"y{number}"] = attack
        else:
            refused(answer, "")
    kept = tags(sessions)
    assert set(kept) == set(texts)
    for name, attack in texts.items():
        if form == "double":
            assert kept[name] == {"a": attack}, f"{attack!a}"
        assert all(type(value) is str for value in kept[name].values()), f"{attack!a}"
    if form == "double":
        by_json = {
            f"y{number}"
            for number, attack in enumerate(attacks(kind))
            if client.post(
                URL, content=json.dumps(document(name=f"j{number}", tags={"a": attack}))
            ).is_success
        }
        assert by_json >= set(texts)


def written(attack: str, form: str) -> str:
    """Return the attack as a scalar of YAML, in a form that need not be able to hold it."""
    if form == "double":
        return json.dumps(attack, ensure_ascii=True)
    return attack if form == "plain" else f"|-\n    {attack}"
