"""Makes JSON schemas of custom resources from the types that npm packages of `@kubernetes-models` declare.

    npm pack @kubernetes-models/keda@2.0.0 @kubernetes-models/external-secrets@2.0.0 \\
      @kubernetes-models/prometheus-operator@6.0.0
    python scripts/extract_custom_schemas.py tests/manifests/schemas *.tgz

The packages are made from the Go types behind the CustomResourceDefinitions. Their own validators take any
unknown field; these schemas take none. Left out are descriptions, statuses, what Kubernetes itself defines
(metadata, an autoscaler's behaviour) and providers of secrets other than AWS.
"""

from __future__ import annotations

import json
import re
import sys
import tarfile
from pathlib import Path
from typing import Any

KINDS = {
    "@kubernetes-models/keda": {"ScaledObject": "keda.sh/v1alpha1"},
    "@kubernetes-models/external-secrets": {
        "ExternalSecret": "external-secrets.io/v1",
        "SecretStore": "external-secrets.io/v1",
    },
    "@kubernetes-models/prometheus-operator": {
        "ServiceMonitor": "monitoring.coreos.com/v1",
        "PodMonitor": "monitoring.coreos.com/v1",
        "PrometheusRule": "monitoring.coreos.com/v1",
    },
}
_KEPT = {"SecretStoreProvider": {"aws"}}
_BASIC: dict[str, str | list[str] | None] = {
    "string": "string",
    "number": "number",
    "boolean": "boolean",
    "any": None,
    # Of Kubernetes itself, as what else is not of the package; but these are no objects.
    "IIoK8sApimachineryPkgUtilIntstrIntOrString": ["integer", "string"],
    "IIoK8sApimachineryPkgApiResourceQuantity": ["integer", "string"],
}
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_INTERFACE = re.compile(
    r"export interface I\w+(?: extends (?P<bases>[\w, ]+))? \{(?P<body>.*?)\n\}", re.DOTALL
)
_ALIAS = re.compile(r"export type I\w+ = ([^;]+);")
_FIELD = re.compile(r'"(?P<name>[^"]+)"(?P<optional>\??): (?P<type>\{[^}]*\}|[^;]+);')
_IMPORT = re.compile(r'import \{ (\w+) \} from "\./(\w+)\.js";')


class Declarations:
    """The declared types of one group and version, as JSON schemas that refer to each other."""

    def __init__(self, texts: dict[str, str]) -> None:
        self._texts = texts
        self.found: dict[str, Any] = {}

    def add(self, name: str) -> None:
        """Find a type, and all that it is made of."""
        if name in self.found:
            return
        text = _COMMENT.sub("", self._texts[name])
        imports = dict(_IMPORT.findall(text))
        self.found[name] = {}
        if interface := _INTERFACE.search(text):
            self.found[name] = self._object(name, interface["body"], imports)
            for base in (interface["bases"] or "").split(", "):
                self._embed(name, imports.get(base))
        elif alias := _ALIAS.search(text):
            self.found[name] = self._type(alias[1], imports)
        else:
            raise SystemExit(f"error: {name} declares neither an interface nor a type; read its file")

    def _object(self, name: str, body: str, imports: dict[str, str]) -> dict[str, Any]:
        fields = [f for f in _FIELD.finditer(body) if f["name"] != "status"]
        fields = [f for f in fields if f["name"] in _KEPT.get(name, {f["name"]})]
        return {
            "type": "object",
            "properties": {f["name"]: self._type(f["type"], imports) for f in fields},
            "required": [f["name"] for f in fields if not f["optional"]],
            "additionalProperties": False,
        }

    def _embed(self, name: str, base: str | None) -> None:
        """Add the fields of a type that this one extends; TypeMeta, which has none, comes from elsewhere."""
        if base is not None:
            self.add(base)
            self.found[name]["properties"] |= self.found[base]["properties"]
            self.found[name]["required"] += self.found[base]["required"]

    def _type(self, text: str, imports: dict[str, str]) -> dict[str, Any]:
        text = text.strip()
        if text.startswith('"'):
            return {"enum": re.findall(r'"([^"]+)"', text)}
        if text.startswith("{"):
            return {
                "type": "object",
                "additionalProperties": self._type(text.rpartition(":")[2].strip("; }\n"), {}),
            }
        if text.startswith("Array<"):
            return {
                "type": "array",
                "items": self._type(text.removeprefix("Array<").removesuffix(">"), imports),
            }
        if text in _BASIC:
            return {"type": _BASIC[text]} if _BASIC[text] else {}
        if text not in imports:
            return {"type": "object"}  # of Kubernetes itself
        self.add(imports[text])
        return {"$ref": f"#/$defs/{imports[text]}"}


def extract(archive: Path, target: Path) -> None:
    """Write the schemas of one package."""
    with tarfile.open(archive) as package:

        def read(path: str) -> str:
            file = package.extractfile(f"package/{path}")
            if file is None:
                raise SystemExit(f"error: {archive} has no file {path}")
            return file.read().decode()

        about = json.loads(read("package.json"))
        for kind, group_version in KINDS[about["name"]].items():
            names = [n for n in package.getnames() if n.startswith(f"package/{group_version}/")]
            paths = [n.removeprefix("package/") for n in names if n.endswith(".d.ts")]
            declarations = Declarations({Path(p).name.removesuffix(".d.ts"): read(p) for p in paths})
            declarations.add(kind)
            source = f"npm {about['name']}@{about['version']}, licence {about['license']}"
            schema = {
                "$comment": f"Extracted from {source}, by scripts/extract_custom_schemas.py.",
                "$ref": f"#/$defs/{kind}",
                "$defs": dict(sorted(declarations.found.items())),
            }
            path = target / f"{kind}.json"
            path.write_text(json.dumps(schema, indent=1) + "\n")
            print(f"Wrote {path}")


if __name__ == "__main__":
    for argument in sys.argv[2:]:
        extract(Path(argument), Path(sys.argv[1]))
