"""Objects that the API makes of types that stacks have, too, with the ids and values of the catalog."""

from collections.abc import Callable
from typing import Any

from beta9_simulator.cloud import behaviours, checks, rules
from beta9_simulator.cloud.catalog import catalog
from beta9_simulator.cloud.rules import CloudError
from beta9_simulator.cloud.services.request import Request
from beta9_simulator.cloud.store import GLOBAL, NewObject, StoredObject
from beta9_simulator.cloud.templates import Context, render


def make(
    request: Request, type: str, values: dict[str, Any], *, also: Callable[[], None] | None = None
) -> StoredObject:
    """Make an object that belongs to the account as a whole; ``also`` may refuse it in the same transaction.

    Raises ``CloudError`` when the cloud refuses it, as at Terraform's door.
    """
    entry, account = catalog()[type], request.principal.account
    state = {**entry.defaults, **dict.fromkeys(entry.unread), **values}
    scope = behaviours.Scope(account, GLOBAL, request.principal.identity)
    worked_out = behaviours.COMPUTED[type](request.store, scope, state) if type in behaviours.COMPUTED else {}
    context = Context(account=account, region=GLOBAL).add(state).add(worked_out)
    context["id"] = str(render(entry.id, context))
    state = {**render(entry.computed, context), **state, "id": context["id"]}
    name = str(state.get(entry.name) or "")
    new = NewObject(account, GLOBAL, type, state["id"], name, state, scope.caller, "api")

    def check() -> None:
        if also is not None:
            also()
        checks.check_create(request.store, new)

    return request.store.create(new, check=check, replace=entry.put)


def change(request: Request, found: StoredObject, **changes: Any) -> None:
    """Give an object other attributes. Raises ``CloudError`` when the cloud refuses them."""
    state = {**found.state, **changes}
    checks.check_update(request.store, found, state)
    request.store.update(found, state)


def remove(request: Request, found: StoredObject) -> None:
    """Delete an object at once. Raises ``CloudError`` when something still needs it."""
    request.store.delete(found, check=lambda: rules.check_delete(request.store, found))


def tags_given(given: list[dict[str, str]] | None) -> dict[str, str]:
    """Return the tags of a request. Raises ``CloudError`` (InvalidInput) for a key that is there twice."""
    tags = {tag["Key"]: tag.get("Value", "") for tag in given or ()}
    if len(tags) < len(given or ()):
        raise CloudError(
            "InvalidInput", "Duplicate tag keys found. Please note that Tag keys are case insensitive."
        )
    return tags
