"""Gives planned but still unknown attributes their values when an object is created or updated."""

from typing import Any

from beta9_simulator.cloud.behaviours import COMPUTED, Scope
from beta9_simulator.cloud.catalog import Entry, catalog
from beta9_simulator.cloud.provider.schema import Block
from beta9_simulator.cloud.provider.values import UNKNOWN, nested, zero
from beta9_simulator.cloud.store import Store
from beta9_simulator.cloud.templates import Context, render

State = dict[str, Any]
_UNIQUE_DIGITS = 26


def fill(
    store: Store, scope: Scope, type: str, block: Block, planned: State, *, id: str | None = None
) -> State:
    """Return ``planned`` with every unknown replaced, changed in place; ``id`` is None for a new object."""
    entry = catalog()[type]
    if entry.name and planned[entry.name] in (None, UNKNOWN):
        planned[entry.name] = _unique_name(entry, planned)
    computed = COMPUTED[type](store, scope, planned) if type in COMPUTED else {}
    for key, value in computed.items():
        if planned.get(key) is UNKNOWN:
            planned[key] = value
    context = Context(account=scope.account, region=scope.region).add(computed).add(planned)
    context["id"] = id or str(render(entry.id, context))
    _fill(block, planned, {**_merged(entry.computed, computed), "id": "$id"}, context)
    return planned


def _merged(data: dict[str, Any], computed: dict[str, Any]) -> dict[str, Any]:
    """The catalog's templates, where values worked out in code win; both may fill the same nested block."""
    return {
        **data,
        **{
            key: {**data.get(key, {}), **value} if isinstance(value, dict) else value
            for key, value in computed.items()
        },
    }


def _unique_name(entry: Entry, planned: State) -> str:
    prefix = planned.get(entry.name_prefix)
    if not isinstance(prefix, str):
        prefix = f"{entry.name_start}terraform-"
    return prefix + str(render(f"$digits{_UNIQUE_DIGITS}", Context()))


def _fill(block: Block, value: State, templates: dict[str, Any], context: Context) -> None:
    for key, attribute in block["attributes"].items():
        if value[key] is UNKNOWN:
            template = templates.get(key)
            value[key] = zero(attribute["type"]) if template is None else render(template, context)
    for key, inner in block["block_types"].items():
        for item in nested(value[key]):
            _fill(inner["block"], item, templates.get(key) or {}, context)
