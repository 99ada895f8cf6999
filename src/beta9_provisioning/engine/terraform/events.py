"""Terraform's machine-readable output, one JSON document a line, as typed events that hold no secrets.

The format is described at https://developer.hashicorp.com/terraform/internals/machine-readable-ui; the
samples in the tests were printed by Terraform 1.11.4. Terraform and OpenTofu have diverged on it and both
add to it, so anything unknown is kept as it is, and a line that is not JSON (Terraform's own panics,
notices of `init`) becomes an event of the type `text`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from beta9_provisioning.kit.masking import MASK, is_secret_name, mask, mask_text
from beta9_provisioning.kit.texts import clean_document, clean_text

TEXT = "text"
# A line that is not JSON is of interest to a reader; its ten-thousandth character is not.
TEXT_BYTES = 4096
# No line is longer (`process.LINE_BYTES`): what stands at its end, as `type` does, is not left out.
_DOCUMENT_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True)
class TerraformEvent:
    """One line of Terraform's output.

    Attributes:
        type: such as `planned_change`, `apply_complete` or `diagnostic`; `text` if the line was not JSON.
        level: `info`, `warn`, `error`; `info` where Terraform gave none.
        message: Terraform's sentence for a reader.
        at: Terraform's own time in RFC 3339; empty if it gave none.
        address: of the resource concerned, such as `terraform_data.one`, if there is one.
        action: `create`, `update`, `delete`, `replace`, `read`, `noop` and so on, if there is one.
        data: the whole document, with secrets hidden and texts bounded.
    """

    type: str
    level: str
    message: str
    at: str
    address: str | None
    action: str | None
    data: dict[str, Any]


def parse(line: str, hide: Callable[[str], str] = mask_text) -> TerraformEvent | None:
    """Return the event of one line of output, None for an empty line. Never raises.

    Secrets are looked for before texts are cut, for half a secret is not recognized. `hide` hides those in a
    line that is no JSON: it may remember the lines before.
    """
    line = line.strip()
    if not line:
        return None
    try:
        document = json.loads(line)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        return TerraformEvent(TEXT, "info", clean_text(hide(line), TEXT_BYTES), "", None, None, {})
    data = clean_document(_without_secrets(document), _DOCUMENT_BYTES)
    subject = _first_object(data, "hook", "change", "diagnostic")
    resource = _first_object(subject, "resource")
    return TerraformEvent(
        type=_text(data.get("type")) or "unknown",
        level=_text(data.get("@level")) or "info",
        message=_text(data.get("@message")) or "",
        at=_text(data.get("@timestamp")) or "",
        address=_text(resource.get("addr")) or _text(subject.get("address")),
        action=_text(subject.get("action")),
        data=data,
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _first_object(parent: dict[str, Any], *keys: str) -> dict[str, Any]:
    return next((parent[key] for key in keys if isinstance(parent.get(key), dict)), {})


def _without_secrets(document: dict[str, Any]) -> dict[str, Any]:
    """Return a copy of the document without sensitive outputs, secrets in texts, and quoted source code."""
    outputs = document.get("outputs")
    data = {key: mask(value) for key, value in document.items()}
    if isinstance(outputs, dict):
        data["outputs"] = {name: _output(name, output) for name, output in outputs.items()}
    snippet = _first_object(_first_object(data, "diagnostic"), "snippet")
    # The configuration is written as JSON on few lines: the quoted "line" may be all of it.
    for key in ("code", "values"):
        if key in snippet:
            snippet[key] = MASK
    return data


def _output(name: str, output: Any) -> Any:
    """Return one output of an `outputs` event; Terraform leaves sensitive values out, others need not."""
    if not isinstance(output, dict) or "value" not in output:
        return output
    secret = output.get("sensitive") is not False or is_secret_name(name)
    return {**output, "value": mask(output["value"], secret=secret)}
