"""Who owns which field, and what server-side apply makes of it."""

from __future__ import annotations

from typing import Any

import pytest

from beta9_simulator.cluster.errors import ApiError
from beta9_simulator.cluster.ownership import (
    Shape,
    Writer,
    apply_configuration,
    managers,
    owned_paths,
    owners_after_update,
    write_managers,
)

BUILTIN, CUSTOM = Shape(custom=False), Shape(custom=True)
ONE, TWO = Writer("one", "Apply"), Writer("two", "Apply")
EDITOR = Writer("editor", "Update")


def pod(*containers: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    return {"metadata": {"name": "p", **metadata}, "spec": {"containers": list(containers)}}


def apply(
    live: dict[str, Any], config: dict[str, Any], writer: Writer, force: bool = False
) -> dict[str, Any]:
    merged, owners = apply_configuration(live, config, writer, BUILTIN, force=force)
    write_managers(merged, owners, writer, "v1", "now")
    return merged


def test_paths_are_spelled_as_kubernetes_does() -> None:
    body = pod({"name": "a", "ports": [{"containerPort": 80}]}, labels={"x": "y"}, uid="u", generation=3)
    assert owned_paths(body, BUILTIN) == {
        ("f:metadata", "f:labels", "f:x"),
        ("f:spec", "f:containers", 'k:{"name":"a"}', "."),
        ("f:spec", "f:containers", 'k:{"name":"a"}', "f:name"),
        (
            "f:spec",
            "f:containers",
            'k:{"name":"a"}',
            "f:ports",
            'k:{"containerPort":80,"protocol":"TCP"}',
            ".",
        ),
        (
            "f:spec",
            "f:containers",
            'k:{"name":"a"}',
            "f:ports",
            'k:{"containerPort":80,"protocol":"TCP"}',
            "f:containerPort",
        ),
    }
    assert owned_paths({"spec": {"containers": [{"name": "a"}]}}, CUSTOM) == {("f:spec", "f:containers")}


def test_what_is_written_can_be_read_back() -> None:
    body = pod({"name": "a", "image": "1"})
    owners = {ONE: owned_paths(body, BUILTIN), TWO: frozenset[Any]()}
    write_managers(body, owners, ONE, "v1", "now")
    assert managers(body) == {ONE: owners[ONE]}  # who owns nothing is left out


def test_applied_fields_that_are_left_out_go_away() -> None:
    live = apply(pod(), pod({"name": "a", "image": "1", "tty": True}, {"name": "b"}, labels={"x": "y"}), ONE)
    live = apply(live, pod({"name": "a", "image": "2"}), ONE)
    assert live["spec"]["containers"] == [{"name": "a", "image": "2"}]
    assert "labels" not in live["metadata"]


def test_fields_of_others_stay() -> None:
    live = apply(pod(), pod({"name": "a", "image": "1"}, labels={"x": "y"}), ONE)
    live = apply(live, pod({"name": "a", "image": "1", "tty": True}, labels={"x": "y"}), TWO)
    live = apply(live, pod({"name": "a", "image": "1"}), ONE)
    assert live["metadata"]["labels"] == {"x": "y"}  # two still wants it
    assert live["spec"]["containers"] == [{"name": "a", "image": "1", "tty": True}]
    live = apply(live, {"metadata": {"name": "p"}}, TWO)
    assert live["spec"]["containers"] == [{"name": "a", "image": "1"}]


def test_a_field_of_another_with_another_value_is_a_conflict() -> None:
    live = apply(pod(), pod({"name": "a", "image": "1"}), ONE)
    with pytest.raises(ApiError, match="Apply failed with 1 conflict") as refused:
        apply(live, pod({"name": "a", "image": "2"}), TWO)
    assert refused.value.code == 409
    assert refused.value.details["causes"] == [
        {
            "reason": "FieldManagerConflict",
            "message": 'conflict with "one"',
            "field": '.spec.containers[name="a"].image',
        }
    ]
    forced = apply(live, pod({"name": "a", "image": "2"}), TWO, force=True)
    image = ("f:spec", "f:containers", 'k:{"name":"a"}', "f:image")
    assert [owner for owner, paths in managers(forced).items() if image in paths] == [TWO]


def test_an_update_takes_over_what_it_changes() -> None:
    live = apply(pod(), pod({"name": "a", "image": "1"}, labels={"x": "y"}), ONE)
    edited = pod(
        {"name": "a", "image": "2"}, labels={"x": "y"}, managedFields=live["metadata"]["managedFields"]
    )
    owners = owners_after_update(live, edited, EDITOR, BUILTIN)
    assert owners[EDITOR] == {("f:spec", "f:containers", 'k:{"name":"a"}', "f:image")}
    assert ("f:metadata", "f:labels", "f:x") in owners[ONE]
    assert not owners[EDITOR] & owners[ONE]


def test_applying_the_same_again_changes_nothing() -> None:
    live = apply(pod(), pod({"name": "a", "image": "1"}), ONE)
    merged, owners = apply_configuration(live, pod({"name": "a", "image": "1"}), ONE, BUILTIN, force=False)
    write_managers(merged, owners, ONE, "v1", "later")
    assert merged == live
