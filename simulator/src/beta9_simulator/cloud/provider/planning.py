"""Works out a resource's planned state, and which changes force its replacement.

The rules are those of Terraform's plugin SDK: an attribute the configuration leaves open takes its
default, else keeps what it had, else is unknown until apply when the provider computes it.
"""

from dataclasses import dataclass
from typing import Any

from beta9_simulator.cloud.catalog import Entry
from beta9_simulator.cloud.provider.schema import Block
from beta9_simulator.cloud.provider.values import UNKNOWN, is_known, nested, walk
from beta9_simulator.cloud.rules import values_at

State = dict[str, Any]


@dataclass(frozen=True)
class ProviderDefaults:
    """What the provider's configuration adds to every resource."""

    region: str
    tags: dict[str, str]


def plan(
    entry: Entry, block: Block, prior: State | None, proposed: State, defaults: ProviderDefaults
) -> tuple[State, list[str]]:
    """Return the planned state and the attributes whose change forces replacement.

    ``proposed`` is Terraform's proposed new state, and is changed in place; ``prior`` is None for a create.
    """
    for part, value in walk(block, proposed):
        for key, attribute in part["attributes"].items():
            if attribute.get("write_only"):
                value[key] = None
    _complete(block, proposed, prior, entry.defaults)
    if prior is None and "region" in block["attributes"] and proposed["region"] is UNKNOWN:
        proposed["region"] = defaults.region
    if "tags_all" in block["attributes"]:
        proposed["tags_all"] = _all_tags(proposed.get("tags"), defaults.tags)
    if prior is None:
        return proposed, []
    if entry.counter and proposed != prior:
        proposed[entry.counter] = UNKNOWN
    return proposed, _replaced(entry, prior, proposed)


def _all_tags(tags: Any, defaults: dict[str, str]) -> Any:
    if tags is UNKNOWN:
        return UNKNOWN
    return {**defaults, **(tags or {})}


def _complete(block: Block, value: State, prior: State | None, defaults: dict[str, Any]) -> None:
    for key, attribute in block["attributes"].items():
        if value[key] is not None:
            continue
        if key in defaults:
            value[key] = defaults[key]
        elif attribute.get("computed") and prior is None:
            value[key] = UNKNOWN
    for key, inner in block["block_types"].items():
        before = nested(prior.get(key)) if prior is not None else []
        for position, item in enumerate(nested(value[key])):
            counterpart = _counterpart(inner["nesting_mode"], before, position, item)
            _complete(inner["block"], item, counterpart, defaults.get(key, {}))


def _counterpart(mode: str, before: list[State], position: int, item: State) -> State | None:
    """The block that ``item`` was before: by position in a list, by what is configured in a set."""
    if mode != "set":
        return before[position] if position < len(before) else None
    set_values = {key: value for key, value in item.items() if value not in (None, [])}
    matches = (old for old in before if all(old.get(key) == value for key, value in set_values.items()))
    return next(matches, None)


def _replaced(entry: Entry, prior: State, planned: State) -> list[str]:
    changed = []
    for path in entry.force_new:
        before, after = values_at(prior, path), values_at(planned, path)
        if _sorted(before) != _sorted(after) or not is_known(after):
            top = path.split(".", maxsplit=1)[0]
            if top not in changed and top in planned:
                changed.append(top)
    return changed


def _sorted(values: list[Any]) -> list[str]:
    """Values in an order of their own, since sets come in any."""
    return sorted(repr(value) for value in values)
