"""A state that a command could not save (`errored.tfstate`), and the one that the backend has by now.

Terraform counts the versions of a state in its `serial`, and refuses to save one that is not newer. Another
worker may have gone on from the state that was saved: then the file can never be pushed any more.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ERRORED_STATE = "errored.tfstate"
SUPERSEDED_STATES = "superseded-*.tfstate"
"""How the names of files look that hold a state which came too late."""


@dataclass(frozen=True)
class Superseded:
    """A state that was set aside, because the backend's went on without it.

    Attributes:
        file: where it is now.
        unknown: the resources in it that the backend's state does not know.
    """

    file: Path
    unknown: tuple[str, ...]


def set_aside(errored: Path, saved: str) -> Superseded | None:
    """Rename a state that came too late, and return what was in it; None when it is still to be saved.

    `saved` is the backend's state. A file that is no state, or the state of something else, stays: Terraform
    is to say what is wrong with it.
    """
    ours, theirs = _state(errored.read_text(errors="replace")), _state(saved)
    if ours is None or theirs is None or ours["lineage"] != theirs["lineage"]:
        return None
    if ours["serial"] > theirs["serial"] or ours == theirs:
        return None
    file = errored.with_name(SUPERSEDED_STATES.replace("*", str(ours["serial"])))
    errored.replace(file)
    return Superseded(file, tuple(sorted(_resources(ours) - _resources(theirs))))


def _state(text: str) -> dict[str, Any] | None:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if isinstance(found, dict) and isinstance(found.get("serial"), int) and found.get("lineage"):
        return found
    return None


def _resources(state: dict[str, Any]) -> set[str]:
    return {
        f"{one.get('type')}.{one.get('name')}"
        for one in state.get("resources") or ()
        if isinstance(one, dict) and one.get("mode") == "managed" and one.get("instances")
    }
