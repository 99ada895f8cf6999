"""Bodies of Terraform blocks: checked against the provider's schema and rendered as Terraform JSON.

A Python string is always literal and only a `Ref` is an expression: nothing that a user wrote can become one.
"""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from beta9_provisioning.engine.errors import SynthesisError
from beta9_provisioning.engine.synthesis.providers import AttributeType, Block, NestedBlock

_PATH_STEP = re.compile(r"(?P<name>[a-z0-9_]+)(?:\[(?P<index>\d+|\*)\])?")


@dataclass(frozen=True)
class Ref:
    """A reference to an attribute of another block, such as `terraform_data.one.id`, and its type."""

    expression: str
    type: AttributeType

    def __str__(self) -> str:
        """Refuse to become part of a string, where it would be taken literally."""
        raise TypeError(f"{self.expression} is a reference and cannot be part of a string")


Value: TypeAlias = "str | int | float | bool | Ref | Sequence[Value] | Mapping[str, Value] | None"
"""What an attribute or a nested block can be given; None leaves it out."""


def literal(text: str) -> str:
    """Escape a string so that Terraform, which reads strings as templates, yields exactly this string.

    Rules: https://developer.hashicorp.com/terraform/language/expressions/strings (escape sequences).
    """
    return text.replace("${", "$${").replace("%{", "%%{")


@dataclass(frozen=True)
class Place:
    """Where a check stands, for its errors: the block's type, the provider, and the path inside the block."""

    block_type: str
    provider: str
    path: str = ""

    def inside(self, name: str) -> "Place":
        """Return the place of an attribute or nested block."""
        return replace(self, path=f"{self.path}.{name}" if self.path else name)

    def item(self, index: int) -> "Place":
        """Return the place of one of several nested blocks."""
        return replace(self, path=f"{self.path}[{index}]")

    def error(self, problem: str, remedy: str = "") -> SynthesisError:
        """Return the error that something is wrong at this place."""
        return SynthesisError(
            f"{self.block_type}: {self.path} {problem}.",
            detail=f"Checked against the schema of {self.provider}.",
            remedy=remedy,
        )


def one(reference: Ref) -> Ref:
    """Return a reference to the only item of a list, or to null when there is none."""
    return Ref(f"one({reference.expression})", _element(reference.type))


def text(reference: Ref) -> Ref:
    """Return a reference to a number as text, for what takes nothing else."""
    return Ref(f"tostring({reference.expression})", "string")


def render_reference(reference: Ref) -> str:
    """Return the Terraform template that yields the referenced value."""
    return f"${{{reference.expression}}}"


def render_block(place: Place, block: Block, values: Mapping[str, Value]) -> dict[str, Any]:
    """Check the body of a block against its schema and return it as Terraform JSON.

    Raises `SynthesisError` for an unknown, read-only, missing or wrongly typed attribute, and for too many or
    too few nested blocks.
    """
    given = {name: value for name, value in values.items() if value is not None}
    required = [name for name, attribute in block["attributes"].items() if attribute.get("required")]
    required += [name for name, nested in block["block_types"].items() if nested.get("min_items")]
    for name in required:
        if name not in given:
            raise place.inside(name).error("is required and missing")
    return {name: _render_entry(place.inside(name), block, name, value) for name, value in given.items()}


def type_at(place: Place, block: Block, path: str) -> AttributeType:
    """Return the type of what is at a path: `id`, `network[0].id`, `secret[*].name`, `a[*].b[*].c`.

    One of several nested blocks is chosen by its index. The items of a list that the provider makes are taken
    all together, because it may be empty: after a failed create, a plain index would break even the destroy.

    Raises `SynthesisError` when a reference to that path would not be valid.
    """
    step, _, rest = path.partition(".")
    match = _PATH_STEP.fullmatch(step)
    if match is None:
        raise place.inside(step).error("is not the name of an attribute")
    name, index = match["name"], match["index"]
    here = place.inside(step)
    if nested := block["block_types"].get(name):
        if not rest or nested["nesting_mode"] != "list" or index in (None, "*"):
            raise here.error(f"is a {nested['nesting_mode']} of blocks and cannot be referred to like this")
        return type_at(here, nested["block"], rest)
    attribute = block["attributes"].get(name)
    if attribute is None:
        raise here.error("is not an attribute", closest(name, [*block["attributes"], *block["block_types"]]))
    if index is None and not rest:
        return attribute["type"]
    if index != "*" or attribute["type"][0] != "list":
        raise here.error(f"is {_spell(attribute['type'])} and cannot be referred to like this")
    return ["list", _object_attribute(here, _element(attribute["type"]), rest)]


def closest(name: str, known: Iterable[str]) -> str:
    """Return what to do about an unknown name: the names that it resembles, and all that are known."""
    known = sorted(known)
    matches = difflib.get_close_matches(name, known, n=3)
    guess = f"Did you mean {' or '.join(matches)}? " if matches else ""
    return f"{guess}Known are: {', '.join(known)}."


def _object_attribute(place: Place, type_: AttributeType, name: str) -> AttributeType:
    attributes = type_[1] if type_[0] == "object" else None
    if not isinstance(attributes, dict):
        raise place.error(f"is {_spell(type_)} and has no attributes")
    step, splat, rest = name.partition("[*].")
    if step not in attributes:
        raise place.inside(step).error("is not an attribute", closest(step, attributes))
    inner = attributes[step]
    if not splat:
        return inner
    if inner[0] != "list":
        raise place.inside(step).error(f"is {_spell(inner)} and cannot be referred to like this")
    return ["list", _object_attribute(place.inside(step), _element(inner), rest)]


def _element(type_: AttributeType) -> AttributeType:
    element = type_[1]
    assert not isinstance(element, dict), "only objects have named attributes"
    return element


def _render_entry(place: Place, block: Block, name: str, value: Value) -> Any:
    if nested := block["block_types"].get(name):
        return _render_nested(place, nested, value)
    attribute = block["attributes"].get(name)
    if attribute is None:
        remedy = closest(name, [*block["attributes"], *block["block_types"]])
        raise place.error("is not an attribute or block", remedy)
    if not attribute.get("required") and not attribute.get("optional"):
        raise place.error("is read-only: the provider sets it")
    return _render_value(place, attribute["type"], value)


def _render_nested(place: Place, nested: NestedBlock, value: Value) -> Any:
    if nested["nesting_mode"] == "single":
        return render_block(place, nested["block"], _mapping(place, value))
    items = _sequence(place, value)
    least, most = nested.get("min_items", 0), nested.get("max_items")
    if len(items) < least or (most is not None and len(items) > most):
        allowed = f"at least {least}" if most is None else f"between {least} and {most}"
        raise place.error(f"is given {len(items)} times, but must be given {allowed} times")
    return [
        render_block(place.item(index), nested["block"], _mapping(place.item(index), item))
        for index, item in enumerate(items)
    ]


def _render_value(place: Place, type_: AttributeType, value: Value) -> Any:
    if isinstance(value, Ref):
        if value.type != type_:
            raise place.error(f"takes {_spell(type_)}, but {value.expression} is {_spell(value.type)}")
        return render_reference(value)
    if isinstance(type_, str):
        return _render_primitive(place, type_, value)
    if type_[0] == "map":
        entries = _mapping(place, value).items()
        return {
            literal(key): _render_value(place.inside(key), _element(type_), item) for key, item in entries
        }
    if type_[0] in ("list", "set"):
        return [_render_value(place, _element(type_), item) for item in _sequence(place, value)]
    raise place.error(f"is {_spell(type_)}, which can be referred to but not written")


def _render_primitive(place: Place, type_: str, value: Value) -> str | int | float | bool:
    if type_ == "string" and isinstance(value, str):
        return literal(value)
    if type_ == "bool" and isinstance(value, bool):
        return value
    if type_ == "number" and isinstance(value, int | float) and not isinstance(value, bool):
        return value
    raise place.error(f"takes {_spell(type_)}, not {value!r}")


def _mapping(place: Place, value: Value) -> Mapping[str, Value]:
    if not isinstance(value, Mapping):
        raise place.error(f"takes a mapping, not {value!r}")
    return value


def _sequence(place: Place, value: Value) -> Sequence[Value]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise place.error(f"takes a list, not {value!r}")
    return value


def _spell(type_: AttributeType) -> str:
    if isinstance(type_, str):
        return f"a {type_}"
    kind, element = type_
    return f"a {kind}" if isinstance(element, dict) else f"a {kind} of {_spell(element).split(' ', 1)[1]}"
