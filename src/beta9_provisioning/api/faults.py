"""From pydantic's errors to the API's: a path, a message for people, and what is allowed."""

import re
from collections.abc import Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from beta9_provisioning.schemas.environment import FieldProblem

_MOST = 50
_QUOTED = re.compile(r"'([^']*)'")
_PREFIX = re.compile(r"^(Value error|Assertion failed), ")


def of_body(error: ValidationError, model: type[BaseModel]) -> list[FieldProblem]:
    """Return what is wrong with a body that should be `model`; `field` is a path such as `cloud.region`."""
    found = error.errors(include_url=False, include_input=False)
    return [
        FieldProblem(
            field=_path(item["loc"]) or "body",
            message=_message(item, model),
            allowed=_allowed(item, model),
        )
        for item in found[:_MOST]
    ]


def of_request(found: Sequence[Any]) -> list[FieldProblem]:
    """Return what is wrong with a request's parameters; `field` is a path such as `query.limit`."""
    return [
        FieldProblem(field=_path(item["loc"]), message=_message(item), allowed=_choices(item))
        for item in found[:_MOST]
    ]


def _path(loc: Sequence[int | str]) -> str:
    return ".".join(str(part)[:100] for part in loc)


def _message(item: Any, model: type[BaseModel] | None = None) -> str:
    if item["type"] == "extra_forbidden":
        return "unknown field"
    if item["type"] == "missing":
        return "is required"
    if item["type"] == "string_pattern_mismatch" and (meaning := _meaning(item["loc"], model)):
        return f"does not match the pattern {item['ctx']['pattern']}. {meaning}"
    return _PREFIX.sub("", item["msg"])


def _meaning(loc: Sequence[int | str], model: type[BaseModel] | None) -> str | None:
    """Return what the model says in words of the field at a path; parameters have none."""
    section = _section(loc[:-1], model)
    field = section.model_fields.get(str(loc[-1])) if section else None
    return field.description if field else None


def _allowed(item: Any, model: type[BaseModel]) -> list[str] | None:
    if item["type"] == "extra_forbidden":
        section = _section(item["loc"][:-1], model)
        return sorted(section.model_fields) if section else None
    return _choices(item)


def _choices(item: Any) -> list[str] | None:
    if item["type"] in ("enum", "literal_error"):
        return _QUOTED.findall(item["ctx"]["expected"])
    return None


def _section(loc: Sequence[int | str], model: type[BaseModel] | None) -> type[BaseModel] | None:
    """Return the section of the model at a path, if there is one."""
    for part in loc:
        if isinstance(part, int):
            continue  # an item of a list: the list's items are the section
        field = model.model_fields.get(part) if model else None
        model = _model_in(field.annotation) if field else None
    return model


def _model_in(annotation: Any) -> type[BaseModel] | None:
    for candidate in (annotation, *get_args(annotation)):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None
