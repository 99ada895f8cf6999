"""Reads CloudFormation's templates as far as ours go: Ref, Sub, If, GetAtt, Equals, Not, rules of parameters.

After "Template reference" in the AWS CloudFormation user guide. What is not known is refused.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from ruamel.yaml import YAML, ScalarNode
from ruamel.yaml.constructor import SafeConstructor
from ruamel.yaml.error import YAMLError

from beta9_simulator.cloud.rules import CloudError

NO_VALUE = "AWS::NoValue"
_SECTIONS = frozenset(
    ("AWSTemplateFormatVersion", "Description", "Parameters", "Conditions", "Resources", "Outputs")
)
_IN_TEXT = re.compile(r"\$\{([\w:.]+)\}")


class NotYet(Exception):
    """A resource is named that is not made so far."""


class _Constructor(SafeConstructor):
    """Knows the short forms of functions, such as `!Ref`."""


def _short_form(constructor: SafeConstructor, name: str, node: Any) -> dict[str, Any]:
    is_text = isinstance(node, ScalarNode)
    value = constructor.construct_scalar(node) if is_text else constructor.construct_sequence(node, deep=True)
    if name == "GetAtt" and is_text:
        value = value.split(".", 1)
    return {name if name == "Ref" else f"Fn::{name}": value}


_Constructor.add_multi_constructor("!", _short_form)


def invalid(why: str) -> CloudError:
    """Return how CloudFormation refuses a request or a template."""
    return CloudError("ValidationError", why)


def read(text: str) -> dict[str, Any]:
    """Read a template. Raises ``CloudError`` (ValidationError)."""
    yaml = YAML(typ="safe", pure=True)
    yaml.Constructor = _Constructor
    try:
        found = yaml.load(text)
    except YAMLError as error:
        raise invalid(f"Template format error: YAML not well-formed. {error}") from error
    if not isinstance(found, dict) or not found.get("Resources"):
        raise invalid("Template format error: At least one Resources member must be defined.")
    if unknown := sorted(found.keys() - _SECTIONS):
        raise invalid(f"Invalid template property or properties {unknown}")
    return found


def parameters(template: Mapping[str, Any], given: Mapping[str, str]) -> dict[str, str]:
    """Return the parameters' values. Raises ``CloudError`` (ValidationError) for what a rule forbids."""
    declared = template.get("Parameters", {})
    if unknown := sorted(given.keys() - declared.keys()):
        raise invalid(f"Parameters: {unknown} do not exist in the template")
    values = {name: given.get(name, rules.get("Default")) for name, rules in declared.items()}
    if missing := [name for name, value in values.items() if value is None]:
        raise invalid(f"Parameters: {missing} must have values")
    texts = {name: str(value) for name, value in values.items()}
    for name, rules in declared.items():
        if not _fits(texts[name], rules):
            raise invalid(f"Parameter {name} failed to satisfy constraint: {rules}")
    return texts


def _fits(value: str, rules: Mapping[str, Any]) -> bool:
    if rules["Type"] == "Number" and not value.isdigit():
        return False
    amount = int(value) if rules["Type"] == "Number" else len(value)
    least, most = ("MinValue", "MaxValue") if rules["Type"] == "Number" else ("MinLength", "MaxLength")
    return (
        amount >= rules.get(least, amount)
        and amount <= rules.get(most, amount)
        and re.fullmatch(rules.get("AllowedPattern", ".*"), value) is not None
    )


class Resolver:
    """Replaces functions by their values; ``made`` holds Ref and attributes of resources that exist."""

    def __init__(self, template: Mapping[str, Any], values: Mapping[str, str]) -> None:
        self._template = template
        self._values = values
        self.made: dict[str, dict[str, str]] = {}
        self._functions: dict[str, Callable[[Any], Any]] = {
            "Ref": self._ref,
            "Fn::Sub": lambda text: _IN_TEXT.sub(lambda found: self._named(found[1]), text),
            "Fn::GetAtt": lambda named: self._attribute(*named),
            "Fn::If": lambda told: self.resolve(told[1] if self._condition(told[0]) else told[2]),
            "Fn::Equals": lambda pair: self.resolve(pair[0]) == self.resolve(pair[1]),
            "Fn::Not": lambda told: not self.resolve(told[0]),
        }

    def resolve(self, value: Any) -> Any:
        """Return a value without functions. Raises ``NotYet``, or ``CloudError`` for an unknown function."""
        if isinstance(value, list):
            return [self.resolve(item) for item in value]
        if not isinstance(value, dict):
            return value
        if len(value) == 1 and (name := next(iter(value))) in self._functions:
            return self._functions[name](value[name])
        if unknown := [key for key in value if str(key).startswith("Fn::")]:
            raise invalid(f"Template error: the simulated cloud does not know {unknown[0]}")
        resolved = {key: self.resolve(item) for key, item in value.items()}
        return {key: item for key, item in resolved.items() if item != NO_VALUE}

    def _ref(self, name: str) -> str:
        return name if name == NO_VALUE else self._named(name)

    def _named(self, name: str) -> str:
        if "." in name:
            return self._attribute(*name.split(".", 1))
        return self._values[name] if name in self._values else self._attribute(name, "Ref")

    def _attribute(self, name: str, attribute: str) -> str:
        if name not in self._template["Resources"]:
            raise invalid(f"Template format error: Unresolved resource dependencies [{name}]")
        if name not in self.made:
            raise NotYet(name)
        if attribute not in self.made[name]:
            raise invalid(f"Template error: resource {name} does not support attribute type {attribute}")
        return self.made[name][attribute]

    def _condition(self, name: str) -> bool:
        return bool(self.resolve(self._template["Conditions"][name]))
