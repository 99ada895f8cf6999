"""Extract a Terraform provider's schema from the wheel of its prebuilt CDK Terrain bindings.

    pip download --no-deps cdktn-provider-aws==25.8.1
    python scripts/extract_provider_schema.py cdktn_provider_aws-25.8.1-py3-none-any.whl \
        src/beta9_provisioning/clouds/aws/provider.json

The wheel carries a jsii tarball whose ``lib/<type>/index.js`` was generated from the provider's schema.
What the schema said is read back from it: names, types, nesting, and who sets an attribute
(configuration, provider or both). Two facts are not in there: which attributes are sensitive, so those
are listed below, and how often a nested block may occur beyond "at most once", so that such limits are
missing.

Without ``--types``, the types of the existing output file are extracted again.
"""

import argparse
import io
import json
import re
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SENSITIVE = {
    "aws_db_instance": {"password", "password_wo"},
    "aws_elasticache_replication_group": {"auth_token", "auth_token_wo"},
    "aws_elasticache_user": {"passwords", "passwords_wo"},
    "aws_iam_access_key": {"secret"},
    "aws_secretsmanager_secret_version": {"secret_binary", "secret_string", "secret_string_wo"},
}
"""Attributes of the types in use that the provider's documentation calls sensitive, at any depth."""

PROVIDER = "provider"
MARK = re.compile(
    r"^ {4}// (\S+) - computed: (true|false), optional: (true|false), required: (true|false)$", re.M
)
CLASS = re.compile(r"^class (\w+) extends cdktn\.(\w+) \{(.*?)^\}$", re.M | re.S)
TO_HCL = re.compile(r"^function (\w+)ToHclTerraform\(struct\) \{(.*?)^\}$", re.M | re.S)
HCL_ENTRY = re.compile(
    r'^ {8,12}"?(\w+)"?: \{\n\s+value: (.*?),\n\s+isBlock: (\w+),\n\s+type: "(\w+)",\n'
    r'\s+storageClassType: "(\w+)"',
    re.M,
)
VERSION = re.compile(r"providerName: '(\w+)',\n\s+providerVersion: '([\d.]+)'")
OBJECT_FIELD = re.compile(r'^ {4}_\w+ = new ([\w.]+)\(this, "([^"]+)"(?:, (true|false))?\)', re.M)
PLAIN_FIELD = re.compile(
    r"(cdktn\.Fn\.tolist\()?this\.(get\w+Attribute|interpolationForAttribute)\('([^']+)'\)"
)
GETTERS: dict[str, Any] = {
    "getStringAttribute": "string",
    "getNumberAttribute": "number",
    "getBooleanAttribute": "bool",
    "getStringMapAttribute": ["map", "string"],
    "getNumberMapAttribute": ["map", "number"],
    "getBooleanMapAttribute": ["map", "bool"],
    "getAnyMapAttribute": ["map", "dynamic"],
    "interpolationForAttribute": "dynamic",
}
LISTS = {"getListAttribute": "string", "getNumberListAttribute": "number"}
CONTAINERS: dict[str, Any] = {
    "StringMap": ["map", "string"],
    "BooleanMap": ["map", "bool"],
    "NumberMap": ["map", "number"],
    "AnyMap": ["map", "dynamic"],
    "StringMapList": ["list", ["map", "string"]],
    "StringListMap": ["map", ["list", "string"]],
    "BooleanList": ["list", "bool"],
    "NumberMapList": ["list", ["map", "number"]],
}
STORAGE: dict[str, Any] = {
    "string": "string",
    "number": "number",
    "boolean": "bool",
    "stringMap": ["map", "string"],
}


class NotUnderstoodError(Exception):
    """The bindings hold something this script cannot read back."""


@dataclass(frozen=True)
class HclEntry:
    """How one argument is written out: the expression, whether as a block, and its kind (list, set,
    struct).
    """

    value: str
    is_block: bool
    kind: str
    storage: str


@dataclass(frozen=True)
class Module:
    """One generated JavaScript module: classes by name as (base, body), and the writers of nested
    structures.
    """

    classes: dict[str, tuple[str, str]]
    writers: dict[str, str]

    @classmethod
    def parse(cls, text: str) -> "Module":
        """Split a module into the parts that matter."""
        return cls(
            {name: (base, body) for name, base, body in CLASS.findall(text)},
            {name.lower(): body for name, body in TO_HCL.findall(text)},
        )

    def main_class(self, base: str) -> str:
        """The name of the one class that extends ``base``."""
        return next(name for name, (parent, _) in self.classes.items() if parent == base)


def main() -> None:
    """Write the schema of the types asked for."""
    options = _options()
    package = _package(options.wheel)
    existing = json.loads(options.output.read_text()) if options.output.is_file() else {"resources": {}}
    types = options.types or sorted(existing["resources"])
    if not types:
        sys.exit(
            f"{options.output} does not exist yet: say with --types which resource types it has to hold."
        )
    modules = {type: _module(package, type.partition("_")[2].replace("_", "-")) for type in types}
    name, version = VERSION.findall(_text(package, types[0].partition("_")[2].replace("_", "-")))[0]
    document = {
        "source": f"registry.terraform.io/hashicorp/{name}",
        "version": version,
        "provider": provider_block(_module(package, PROVIDER)),
        "resources": {type: resource(type, module) for type, module in modules.items()},
    }
    options.output.write_text(json.dumps(document, sort_keys=True, separators=(",", ":")))
    print(f"{options.output}: {name} {version}, {len(types)} resource types")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("wheel", type=Path, help="wheel of cdktn-provider-aws or cdktn-provider-google")
    parser.add_argument("output", type=Path, help="JSON file to write")
    parser.add_argument(
        "--types", nargs="+", help="resource types; by default those the output holds already"
    )
    return parser.parse_args()


def _package(wheel: Path) -> dict[str, str]:
    """Return the JavaScript of the wheel's jsii tarball by path."""
    with zipfile.ZipFile(wheel) as archive:
        tarball = next(name for name in archive.namelist() if name.endswith(".jsii.tgz"))
        content = io.BytesIO(archive.read(tarball))
    with tarfile.open(fileobj=content) as files:
        return {
            member.name: files.extractfile(member).read().decode()  # type: ignore[union-attr]
            for member in files
            if member.name.endswith(".js")
        }


def _text(package: dict[str, str], directory: str) -> str:
    parts = [text for path, text in sorted(package.items()) if path.startswith(f"package/lib/{directory}/")]
    if not parts:
        raise NotUnderstoodError(f"The bindings have no lib/{directory}: is the type's name right?")
    return "\n".join(parts)


def _module(package: dict[str, str], directory: str) -> Module:
    return Module.parse(_text(package, directory))


def resource(type: str, module: Module) -> dict[str, Any]:
    """Return the schema of a resource type from its module."""
    name = module.main_class("TerraformResource")
    body = module.classes[name][1]
    block = _block(module, name, body[body.index("synthesizeHclAttributes()") :])
    _mark_sensitive(block, SENSITIVE.get(type, set()))
    return {"version": 0, "block": block}


def _mark_sensitive(block: dict[str, Any], names: set[str]) -> None:
    for name, attribute in block["attributes"].items():
        if name in names:
            attribute["sensitive"] = True
    for nested in block["block_types"].values():
        _mark_sensitive(nested["block"], names)


def provider_block(module: Module) -> dict[str, Any]:
    """Return the provider's own configuration block; the bindings say of it only how it is written out."""
    body = module.classes[module.main_class("TerraformProvider")][1]
    return _written_block(module, body[body.index("synthesizeHclAttributes()") :])


def _written_block(module: Module, scope: str) -> dict[str, Any]:
    block: dict[str, Any] = {"attributes": {}, "block_types": {}}
    for name, entry in _entries(scope).items():
        if entry.storage in ("stringList", "numberList"):
            type: Any = [entry.kind, entry.storage.removesuffix("List")]
        else:
            type = STORAGE.get(entry.storage)
        if type is not None:
            block["attributes"][name] = {"type": type, "optional": True}
            continue
        writer = re.search(r"(\w+)ToHclTerraform", entry.value)
        if writer is None:
            raise NotUnderstoodError(f"{name}: {entry.value}")
        inner = _written_block(module, module.writers[writer[1].lower()])
        block["block_types"][name] = {"nesting_mode": entry.kind, "block": inner}
    return block


def _entries(scope: str) -> dict[str, HclEntry]:
    return {
        name: HclEntry(value, is_block == "true", kind, storage)
        for name, value, is_block, kind, storage in HCL_ENTRY.findall(scope)
    }


def _block(module: Module, class_name: str, scope: str) -> dict[str, Any]:
    """Return the block of a class; ``scope`` is the code that writes the class's arguments out."""
    block: dict[str, Any] = {"attributes": {}, "block_types": {}}
    entries = _entries(scope)
    for flags, code in _fields(module.classes[class_name][1]):
        field = OBJECT_FIELD.search(code)
        container = field[1].rsplit(".", maxsplit=1)[-1] if field else ""
        if field is None or container in CONTAINERS:
            name, type = (field[2], CONTAINERS[container]) if field else _plain(class_name, code)
            block["attributes"][name] = {"type": type, **flags}
            entry = entries.get(name)
            if entry is not None and "markWriteOnlyAttribute" in entry.value:
                block["attributes"][name]["write_only"] = True
        else:
            _add_nested(module, block, flags, field, entries.get(field[2]))
    return block


def _fields(body: str) -> Iterator[tuple[dict[str, bool], str]]:
    """Yield each attribute's flags and the code that follows them."""
    marks = list(MARK.finditer(body))
    ends = [mark.start() for mark in marks[1:]] + [len(body)]
    # A block may have nothing in it.
    for mark, end in zip(marks, ends[: len(marks)], strict=True):
        flags = zip(("computed", "optional", "required"), mark.groups()[1:], strict=True)
        yield {flag: True for flag, value in flags if value == "true"}, body[mark.end() : end]


def _plain(class_name: str, code: str) -> tuple[str, Any]:
    field = PLAIN_FIELD.search(code)
    if field is None:
        raise NotUnderstoodError(f"{class_name}: {code[:200]}")
    is_set, getter, name = field.groups()
    if getter in LISTS:
        return name, ["set" if is_set else "list", LISTS[getter]]
    return name, GETTERS[getter]


def _add_nested(
    module: Module,
    block: dict[str, Any],
    flags: dict[str, bool],
    field: re.Match[str],
    entry: HclEntry | None,
) -> None:
    """Add a field that holds objects: a nested block, or an attribute of an object type."""
    class_name, name, is_set = field[1], field[2], field[3] == "true"
    base = module.classes[class_name][0]
    single = base not in ("ComplexList", "ComplexMap")
    if single:
        inner_name, kind = class_name, entry.kind if entry else "list"
    else:
        suffix = "List" if base == "ComplexList" else "Map"
        inner_name = class_name.removesuffix(suffix) + "OutputReference"
        kind = "map" if base == "ComplexMap" else "set" if is_set else "list"
    writer = module.writers.get(inner_name.removesuffix("OutputReference").lower(), "")
    inner = _block(module, inner_name, writer)
    written_as_block = entry is not None and re.search(r"listMapperHcl\([\w.]+, true\)", entry.value)
    read_only = "computed" in flags and "optional" not in flags
    if read_only or not (single or written_as_block):
        block["attributes"][name] = {"type": [kind, _object(inner)], **flags}
        return
    nested: dict[str, Any] = {"nesting_mode": "single" if kind == "struct" else kind, "block": inner}
    if single and kind != "struct":
        nested["max_items"] = 1
    if "required" in flags:
        nested["min_items"] = 1
    block["block_types"][name] = nested


def _object(block: dict[str, Any]) -> Any:
    fields = {name: attribute["type"] for name, attribute in block["attributes"].items()}
    for name, nested in block["block_types"].items():
        fields[name] = [nested["nesting_mode"], _object(nested["block"])]
    return ["object", fields]


if __name__ == "__main__":
    main()
