"""A span for each resource that Terraform works on, below the step that runs it."""

from typing import Any

from beta9_provisioning.engine.terraform.events import TerraformEvent
from beta9_provisioning.kit import tracing


class ResourceSpans:
    """Takes the events of one run of Terraform."""

    def __init__(self) -> None:
        self._begun: dict[tuple[str, str], tracing.Span] = {}

    def take(self, event: TerraformEvent) -> None:
        """Begin or end a span."""
        if not event.type.startswith("apply_") or not event.address:
            return
        key = event.address, event.action or "change"
        if event.type == "apply_start":
            self._begun[key] = _begin(*key, event.data)
        elif event.type in ("apply_complete", "apply_errored") and (begun := self._begun.pop(key, None)):
            if event.type == "apply_errored":
                begun.fail("apply_errored")
            begun.end()

    def close(self) -> None:
        """End what Terraform began and was stopped in."""
        while self._begun:
            _, begun = self._begun.popitem()
            begun.fail("unfinished")
            begun.end()


def _begin(address: str, action: str, data: dict[str, Any]) -> tracing.Span:
    hook = data.get("hook")
    resource = hook.get("resource") if isinstance(hook, dict) else None
    found = resource.get("resource_type") if isinstance(resource, dict) else None
    kind = found if isinstance(found, str) else "resource"
    attributes = {"terraform.address": address, "terraform.type": kind, "terraform.action": action}
    return tracing.begin(f"terraform {action} {kind}", attributes)
