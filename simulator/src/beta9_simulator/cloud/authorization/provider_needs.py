"""What Terraform's provider needs to be allowed for what it does with one resource.

Which operations it calls is derived from its source (`provider_operations.json`, `provider_calls.toml`), on
what they are asked, from AWS's reference and `subjects.toml`. Nothing here comes from the policies that are
judged.
"""

import json
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from beta9_simulator.cloud.authorization.operations import CREATE_TAGS, actions
from beta9_simulator.cloud.authorization.reference import UnknownAction, arn, permission
from beta9_simulator.cloud.authorization.things import (
    Context,
    Target,
    Things,
    bounded,
    of_action,
    own_arn,
    requested,
    subjects,
    tagged,
)
from beta9_simulator.cloud.iam.evaluation import Asked
from beta9_simulator.cloud.rules import values_at
from beta9_simulator.cloud.store import Store

State = dict[str, Any]
_HERE = Path(__file__).parent
_MAKES = ("Create", "Allocate", "AuthorizeSecurityGroup")
# IDs that nobody knows before the thing is made.
_ID_IS_GIVEN = ("ec2:", "kms:key")
_TAG_ACTIONS = {
    "aws_iam_role": ("iam:TagRole",),
    "aws_iam_openid_connect_provider": ("iam:TagOpenIDConnectProvider",),
}


@dataclass(frozen=True)
class Change:
    """What is done with one resource: ``operation`` is create, read, update or delete.

    ``state`` is what it is to be, or what it is; ``prior`` what it was before an update; ``asked`` is what a
    create says, without what the cloud is to choose.
    """

    type: str
    operation: str
    account: str
    region: str
    state: State
    prior: State | None = None
    asked: State | None = None

    @property
    def told(self) -> State:
        """What the provider reads when it decides what to call."""
        return self.state if self.asked is None else self.asked


def needs(store: Store, change: Change) -> list[Asked]:
    """Return all that a change of one resource asks for, each permission with one resource.

    Raises:
        UnknownAction: nobody has told yet what the type is to IAM.
    """
    if change.type not in subjects():
        raise UnknownAction(f"{change.type} is not in subjects.toml")
    found = _Needs(Things(store, change.account, change.region), change).all()
    return list({(one.action, one.resource, *sorted(one.context.items())): one for one in found}.values())


@cache
def operations() -> dict[str, dict[str, list[str]]]:
    """Return the operations that the provider's source names, by type and by what is done."""
    data = json.loads((_HERE / "provider_operations.json").read_text(encoding="utf-8"))
    found: dict[str, dict[str, list[str]]] = data["types"]
    return found


@cache
def exceptions() -> dict[str, dict[str, dict[str, dict[str, str]]]]:
    """Return which of these operations are called when, or never."""
    return tomllib.loads((_HERE / "provider_calls.toml").read_text(encoding="utf-8"))


def called(change: Change) -> list[str]:
    """Return the operations that the provider calls for a change, such as ``ec2:CreateVpc``."""
    found = _called(change, change.operation)
    if change.operation == "read":
        found += _called(change, "list_tags")
    if change.operation == "update" and _changed(change, "tags_all"):
        found += _called(change, "update_tags")
    return found


def _called(change: Change, what: str) -> list[str]:
    told = exceptions().get(change.type, {}).get(what, {})
    listed = operations()[change.type].get(what, [])
    added = [name for name, row in told.items() if "always" in row]
    return [name for name in listed if _is_called(told.get(name, {}), change)] + added


def _is_called(row: Mapping[str, str], change: Change) -> bool:
    if "never" in row:
        return False
    if "if" in row:
        return any(change.told.get(name) for name in row["if"].split())
    if "changed" in row:
        return any(_changed(change, name) for name in row["changed"].split())
    return True


def _changed(change: Change, attribute: str) -> bool:
    return change.prior is not None and change.prior.get(attribute) != change.state.get(attribute)


class _Needs:
    """Collects what one change needs."""

    def __init__(self, things: Things, change: Change) -> None:
        self._things = things
        self._change = change
        self._subject = subjects()[change.type]

    def all(self) -> Iterator[Asked]:
        for name in called(self._change):
            service, _, operation = name.partition(":")
            makes = self._makes(operation)
            for action in actions(service, operation):
                yield from self._asked(action, makes=makes)
            if makes:
                yield from self._tagging(service, operation)
        if self._change.operation == "create":
            yield from self._beside()

    def _makes(self, operation: str) -> bool:
        is_own = not self._subject.get("borrowed") and self._change.operation == "create"
        return is_own and operation.startswith(_MAKES)

    def _tagging(self, service: str, operation: str) -> Iterator[Asked]:
        if not self._change.state.get("tags_all"):
            return
        more: Context = {"ec2:CreateAction": operation} if service == "ec2" else {}
        for action in _TAG_ACTIONS.get(self._change.type, CREATE_TAGS.get(service, ())):
            target, told = self._itself(action, makes=True), permission(action)
            yield Asked(action, target.arn, of_action(told, {**target.context, **more}), told.known)

    def _asked(self, action: str, *, makes: bool) -> Iterator[Asked]:
        told = permission(action)
        is_named = False
        for resource_type, is_required in told.on.items():
            is_itself = resource_type == self._subject["self"]
            is_asked = is_required or is_itself or self._change.operation == "create"
            targets = list(self._targets(resource_type, action, makes=makes)) if is_asked else []
            if is_required and not targets:
                targets = [Target(self._things.arn(resource_type, "*", action), {})]
            for target in targets:
                yield Asked(action, target.arn, of_action(told, target.context), told.known)
            is_named |= bool(targets)
        if not is_named:
            tags = self._change.state.get("tags_all") if makes else None
            yield Asked(action, "*", requested(tags), told.known)

    def _targets(self, resource_type: str, action: str, *, makes: bool) -> Iterator[Target]:
        """Return the resources of a type that the request names."""
        change = self._change
        if resource_type == self._subject["self"]:
            yield self._itself(action, makes=makes)
        elif attribute := self._subject.get("near", {}).get(resource_type):
            for value in values_at(change.state, attribute):
                yield self._things.target(resource_type, str(value), action)

    def _itself(self, action: str, *, makes: bool) -> Target:
        state, resource_type = self._change.state, self._subject["self"]
        name = str(state.get(self._subject.get("by", "id")) or state.get("id"))
        tags = state.get("tags_all")
        if self._subject.get("borrowed"):
            if resource_type == "eks:access-entry":
                name = f"{state['cluster_name']}:{state['principal_arn']}"
            target = self._things.target(resource_type, name, action)
            return Target(target.arn, {**target.context, **self._of_borrowed(action)})
        if makes and resource_type.startswith(_ID_IS_GIVEN):
            return Target(self._things.arn(resource_type, "*", action), requested(tags))
        is_known = own_arn(state) and resource_type != "logs:log-group"
        place = own_arn(state) if is_known else self._things.arn(resource_type, name, action)
        context = requested(tags) if makes else tagged(resource_type, tags)
        return Target(place, {**context, **bounded(state)})

    def _of_borrowed(self, action: str) -> Context:
        """Return what else conditions may say of a part of another thing."""
        state = self._change.state
        if action in ("iam:AttachRolePolicy", "iam:DetachRolePolicy"):
            return {"iam:PolicyARN": str(state["policy_arn"])}
        if self._change.type != "aws_default_security_group":
            return {}
        # It is tagged before anything else is done with it.
        tags = state.get("tags_all")
        return requested(tags) if action == "ec2:CreateTags" else tagged("ec2:", tags)

    def _beside(self) -> Iterator[Asked]:
        """Return what services ask of their caller besides: roles passed on, linked roles, keys, and more."""
        change, subject = self._change, self._subject
        for attribute, service in subject.get("passes", {}).items():
            if role := change.state.get(attribute):
                yield _passes(str(role), service)
        if linked := subject.get("linked"):
            action = "iam:CreateServiceLinkedRole"
            role = arn("iam:role", change.account, "", f"aws-service-role/{linked}/AWSServiceRole")
            yield Asked(action, role, {"iam:AWSServiceName": linked}, permission(action).known)
        for attribute, wanted in subject.get("keys", {}).items():
            for key in values_at(change.state, attribute):
                target = self._things.target("kms:key", str(key))
                via = f"{change.type.split('_')[1].replace('db', 'rds')}.{change.region}.amazonaws.com"
                for action in wanted:
                    known = permission(action).known
                    yield Asked(action, target.arn, {**target.context, "kms:ViaService": via}, known)
        for attribute, rows in subject.get("when", {}).items():
            if change.state.get(attribute):
                yield from self._when(rows)

    def _when(self, rows: Mapping[str, str]) -> Iterator[Asked]:
        """Return what a service asks for when an attribute says something; see the file for the words."""
        for action, on in rows.items():
            told = permission(action)
            if action == "iam:PassRole":
                attribute, _, service = on.partition(" ")
                yield _passes(str(self._change.state[attribute]), service)
                continue
            if on == "*" or on.startswith("arn:"):
                place = on.replace("$region", self._change.region).replace("$account", self._change.account)
                yield Asked(action, place.replace("$random", "0"), {}, told.known)
                continue
            more = self._of_launch(action)
            for kind in on.split():
                resource_type = f"{action.partition(':')[0]}:{kind}"
                place = self._things.arn(resource_type, "*")
                yield Asked(action, place, more, told.known)

    def _of_launch(self, action: str) -> Context:
        """Return what conditions may say of instances, and of what is made with them."""
        if action == "ec2:CreateTags":
            return {"ec2:CreateAction": "RunInstances"}
        if action == "ec2:RunInstances":
            template = self._change.state["launch_template"][0]["id"]
            return {"ec2:LaunchTemplate": self._things.arn("ec2:launch-template", str(template))}
        return {}


def _passes(role: str, service: str) -> Asked:
    known = permission("iam:PassRole").known
    return Asked("iam:PassRole", role, {"iam:PassedToService": service}, known)
