"""What AWS takes for a resource, as JSON Schema: from botocore's service models, and from cfn-lint's data.

Terraform's arguments have other names than AWS's. They are matched by their letters, and by `also` where
those differ; what has no counterpart is not judged.
"""

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import jsonschema_rs
from botocore.model import ListShape, MapShape, Shape, StringShape, StructureShape

from beta9_provisioning.clouds.aws.session import core_session

_DATA = files("cfnlint") / "data" / "schemas"
_TYPES = {
    "string": "string",
    "character": "string",
    "timestamp": "string",
    "blob": "string",
    "boolean": "boolean",
    "integer": "integer",
    "long": "integer",
    "float": "number",
    "double": "number",
}
_KEPT = {
    "$ref", "type", "enum", "const", "pattern", "minLength", "maxLength", "minimum", "maximum", "minItems",
    "maxItems", "uniqueItems", "items", "properties", "definitions", "patternProperties",
}  # fmt: skip
Schema = dict[str, Any]
Document = dict[str, Any]


@cache
def _extension(kind: str, name: str) -> Schema:
    found: Schema = json.loads((_DATA / "extensions" / kind / f"{name}.json").read_text())
    return found


@cache
def list_of_cfn_lint(kind: str, name: str, region: str = "") -> jsonschema_rs.Draft7Validator:
    """Return one of cfn-lint's lists of what AWS offers; most are by region."""
    schema = _extension(kind, name)
    return jsonschema_rs.Draft7Validator(schema[region] if region else schema)


@cache
def of_cloudformation(kind: str, region: str = "us-east-1") -> Schema:
    """Return the properties of a type of CloudFormation, without what a whole resource must have."""
    name = json.loads((_DATA / "providers" / f"{region}.json").read_text())[kind]
    return _bounds_only(json.loads((_DATA / "resources" / f"{name}.json").read_text()))


def _bounds_only(schema: Schema) -> Schema:
    kept = {key: value for key, value in schema.items() if key in _KEPT}
    for key in ("properties", "definitions", "patternProperties"):
        if key in kept:
            kept[key] = {name: _bounds_only(inner) for name, inner in kept[key].items()}
    if "pattern" in kept:  # JSON Schema's regular expressions know no `\A` and `\Z`
        kept["pattern"] = re.sub(r"\\[AZ]", lambda found: "^" if found[0] == r"\A" else "$", kept["pattern"])
    if isinstance(kept.get("items"), dict):
        kept["items"] = _bounds_only(kept["items"])
    return kept


@cache
def of_request(service: str, operation: str) -> Schema:
    """Return the parameters of an operation of AWS's API."""
    shape = core_session().get_service_model(service).operation_model(operation).input_shape
    assert shape is not None, operation
    definitions: dict[str, Schema] = {}
    _define(shape, definitions)
    return {"$ref": f"#/definitions/{shape.name}", "definitions": definitions}


def _define(shape: Shape, definitions: dict[str, Schema]) -> Schema:
    if shape.name not in definitions:
        definitions[shape.name] = {}
        definitions[shape.name].update(_schema(shape, definitions))
    return {"$ref": f"#/definitions/{shape.name}"}


def _schema(shape: Shape, definitions: dict[str, Schema]) -> Schema:
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    if isinstance(shape, StructureShape):
        members = {name: _define(member, definitions) for name, member in shape.members.items()}
        return {"type": "object", "properties": members}
    if isinstance(shape, ListShape):
        return {"type": "array", "items": _define(shape.member, definitions), **_range("Items", low, high)}
    if isinstance(shape, MapShape):
        inner = _define(shape.value, definitions)
        keys = _define(shape.key, definitions)
        return {"type": "object", "additionalProperties": inner, "propertyNames": keys}
    schema: Schema = {"type": _TYPES[shape.type_name]}
    if schema["type"] != "string":
        return schema | {
            key: value for key, value in (("minimum", low), ("maximum", high)) if value is not None
        }
    if isinstance(shape, StringShape) and shape.enum:
        schema["enum"] = list(shape.enum)
    if pattern := shape.metadata.get("pattern"):
        schema["pattern"] = f"^(?:{pattern})$"
    return schema | _range("Length", low, high)


def _range(what: str, low: int | None, high: int | None) -> Schema:
    return {key: value for key, value in ((f"min{what}", low), (f"max{what}", high)) if value is not None}


class Translation:
    """A resource of Terraform in the words of a schema; `paths` are the arguments that had a counterpart."""

    def __init__(self, body: Mapping[str, Any], schema: Schema, also: Mapping[str, str]) -> None:
        self._root = schema
        self._also = also
        self.paths: list[str] = []
        self.document = self._object(body, schema, "")

    def faults(self) -> list[str]:
        """Return what the schema does not take."""
        validator = jsonschema_rs.Draft7Validator(self._root)
        return [
            f"{'.'.join(map(str, error.instance_path))}: {error.message}"
            for error in validator.iter_errors(self.document)
        ]

    def _resolved(self, schema: Schema) -> Schema:
        while "$ref" in schema:
            schema = self._root["definitions"][schema["$ref"].rpartition("/")[2]]
        return schema

    def _object(self, body: Mapping[str, Any], schema: Schema, path: str) -> Document:
        properties = self._resolved(schema).get("properties", {})
        made = {}
        for name, value in body.items():
            member = _member(name, properties, self._also)
            if member is not None and value is not None:
                translated = self._value(value, properties[member], f"{path}{name}")
                if translated is not None:
                    made[member] = translated
        return made

    def _value(self, value: Any, schema: Schema, path: str) -> Any:
        """Return a value as the schema writes it; None for what is known only when it is applied."""
        wanted = self._resolved(schema)
        kind = wanted.get("type")
        if isinstance(value, Mapping):
            return self._map(value, wanted, path)
        if isinstance(value, list):
            if kind == "object" or "properties" in wanted:
                return self._value(value[0], wanted, path) if len(value) == 1 else None
            items = [self._value(item, wanted.get("items", {}), path) for item in value]
            return None if None in items else items
        if "${" in str(value):
            return None
        self.paths.append(path)
        return str(value) if kind == "string" and isinstance(value, int) else _read(value, kind)

    def _map(self, value: Mapping[str, Any], schema: Schema, path: str) -> Any:
        if schema.get("type") == "array":  # tags, as a list of keys and values
            item = self._resolved(schema["items"])["properties"]
            if {name.lower() for name in item} != {"key", "value"}:
                return None
            names = sorted(item)
            self.paths.append(path)
            return [dict(zip(names, pair, strict=True)) for pair in value.items()]
        if "properties" in schema:
            return self._object(value, schema, f"{path}.")
        self.paths.append(path)
        return dict(value)


def _read(value: Any, kind: Any) -> Any:
    """Return a boolean or number that Terraform's schema writes as a string."""
    if isinstance(value, str) and kind in ("boolean", "integer"):
        return json.loads(value)
    return value


def _member(name: str, properties: Mapping[str, Any], also: Mapping[str, str]) -> str | None:
    letters = {member.lower(): member for member in properties}
    return next((letters[spelling] for spelling in _spellings(name, also) if spelling in letters), None)


def _spellings(name: str, also: Mapping[str, str]) -> Iterator[str]:
    if name in also:
        yield also[name].lower()
    plain = name.replace("_", "").lower()
    yield from (plain, f"{plain}s")
