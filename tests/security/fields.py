"""Every place of a configuration that a text can be sent to, as its JSON Schema tells them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.support.configs import document

KEY, VALUE, ITEM = "{key}", "{value}", "[]"


@dataclass(frozen=True)
class Field:
    """One place, as a path; `{key}` and `{value}` are those of a map, `[]` is an item of a list.

    Attributes:
        path: the way to it.
        siblings: what an item of a list must hold beside it.
    """

    path: tuple[str, ...]
    siblings: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return ".".join(self.path)

    def holding(self, *texts: str) -> dict[str, Any]:
        """Return the smallest configuration with these texts there; only maps and lists hold several."""
        found = document()
        place: Any = found
        *sections, last = self.path
        if ITEM in sections:
            *sections, of_list, _ = sections
        elif last == ITEM:
            *sections, of_list = sections
        for section in sections:
            place = place.setdefault(section, {})
        if last == ITEM:
            place[of_list] = list(texts)
        elif ITEM in self.path:
            place[of_list] = [dict(self.siblings) | {last: text} for text in texts]
        elif last == KEY:
            place.update({text: "x" for text in texts})
        elif last == VALUE:
            place.update({f"k{number}": text for number, text in enumerate(texts)})
        else:
            (place[last],) = texts
        return found


def fields(schema: dict[str, Any]) -> list[Field]:
    """Return every place of a configuration's schema, and an unknown key in each section."""
    return list(_inside(schema, schema, (), ()))


def _inside(
    part: dict[str, Any], schema: dict[str, Any], path: tuple[str, ...], siblings: tuple[tuple[str, str], ...]
) -> Iterator[Field]:
    part = _resolved(part, schema)
    if part.get("type") == "array":
        item = _resolved(part["items"], schema)
        needed = {name: _sample(item["properties"][name], schema) for name in item.get("required", ())}
        yield from _inside(item, schema, (*path, ITEM), tuple(needed.items()))
    elif part.get("type") == "object":
        named = part.get("properties", {})
        for name, field in named.items():
            yield from _inside(field, schema, (*path, name), siblings)
        if ITEM not in path:
            yield Field((*path, KEY), siblings)
        if not named:
            yield Field((*path, VALUE), siblings)
    else:
        yield Field(path, siblings)


def _resolved(part: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in part:
        resolved: dict[str, Any] = schema["$defs"][part["$ref"].rsplit("/", 1)[1]]
        return resolved
    choices = [one for one in part.get("anyOf", ()) if one.get("type") != "null"]
    return _resolved(choices[0], schema) if choices else part


def _sample(part: dict[str, Any], schema: dict[str, Any]) -> str:
    return str(_resolved(part, schema).get("enum", ["x"])[0])
