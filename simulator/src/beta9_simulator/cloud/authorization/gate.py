"""Lets through what the caller's policies allow, and refuses the rest with AWS's words.

Roles are judged by the policies that the account has for them; users, of which this cloud knows no policies,
may do everything.
"""

import json
import os
from collections.abc import Callable, Iterable
from dataclasses import replace

from beta9_simulator.cloud.authorization.holding import holding, parsed
from beta9_simulator.cloud.iam.documents import Document, Kind
from beta9_simulator.cloud.iam.evaluation import Asked, Caller, Decision, Held, decide
from beta9_simulator.cloud.principals import Principal
from beta9_simulator.cloud.rules import CloudError
from beta9_simulator.cloud.store import GLOBAL, Store, StoredObject

RECORD = "permissions_record"
"""The setting that names a file into which everything asked is written, one JSON document a line."""
_EXCEPTION = frozenset({"eks", "logs", "kms", "secretsmanager", "ssm", "tag"})
"""Services that call it AccessDeniedException."""


class Gate:
    """Decides for one principal."""

    def __init__(self, store: Store, principal: Principal) -> None:
        self._store = store
        self._principal = principal

    def ask(self, needs: Callable[[], Iterable[Asked]], region: str) -> None:
        """Let through what ``needs`` tells, or refuse what is not allowed.

        Of administrators, for whom it would be for nothing, it is not asked unless somebody records.

        Raises:
            CloudError: the first that is not allowed, in the words and with the code of its service.
        """
        held, place = self._held(), self._store.setting(RECORD)
        if held is None and not place:
            return
        wanted = list(needs())
        if place:
            self._record(wanted, place)
        if held is None:
            return
        for one in wanted:
            decision = self._decide(one, held, region)
            if not decision.is_allowed:
                raise self._refusal(one, decision)

    def _decide(self, one: Asked, held: Held, region: str) -> Decision:
        principal = self._principal
        context = {
            "aws:SecureTransport": "true",
            "aws:RequestedRegion": region,
            **one.context,
        }
        if policy := self._policy_of_key(one):
            held = replace(held, resource=policy, must_be_in_resource=True)
        if policy := self._trust_policy(one):
            held = replace(held, resource=policy)
        caller = Caller(principal.arn, principal.account, principal.role_arn)
        return decide(Asked(one.action, one.resource, context, one.known), caller, held)

    def _policy_of_key(self, one: Asked) -> Document | None:
        """Return the policy of a key that exists: without it nobody may do anything with the key."""
        if not one.action.startswith("kms:"):
            return None
        for key in self._store.find("aws_kms_key", account=self._principal.account):
            if key.state["arn"] == one.resource and isinstance(key.state.get("policy"), str):
                return parsed(key.state["policy"], Kind.RESOURCE)
        return None

    def _trust_policy(self, one: Asked) -> Document | None:
        """Return whom the role trusts that is to be assumed, in whatever account it is."""
        if one.action not in ("sts:AssumeRole", "sts:TagSession"):
            return None
        for role in self._store.find("aws_iam_role", region=GLOBAL):
            if role.state["arn"] == one.resource:
                try:
                    return parsed(str(role.state["assume_role_policy"]), Kind.TRUST)
                except CloudError:
                    return None
        return None

    def _role(self) -> StoredObject | None:
        """Return the role that the principal is a session of; users have none."""
        wanted = self._principal.role_arn
        if not wanted:
            return None
        roles = self._store.find("aws_iam_role", account=self._principal.account, region=GLOBAL)
        found = [role for role in roles if role.state.get("arn") == wanted]
        if not found:
            # The role is gone: AWS goes on to know the session, and finds no policy that allows anything.
            raise CloudError("AccessDenied", f"The role of {self._principal.arn} does not exist any more")
        return found[0]

    def _held(self) -> Held | None:
        """Return the policies of the role; None of who may do everything."""
        role = self._role()
        if role is None:
            return None
        own = holding(self._store, role)
        if own.is_administrator:
            return None
        return Held(
            identity=tuple(parsed(one.text) for one in own.identity),
            boundary=parsed(own.boundary.text, Kind.BOUNDARY) if own.boundary else None,
        )

    def _record(self, asked: Iterable[Asked], place: str) -> None:
        lines = [
            json.dumps(
                {
                    "by": self._principal.identity,
                    "action": one.action,
                    "resource": one.resource,
                    "context": dict(one.context),
                }
            )
            for one in asked
        ]
        handle = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(handle, "".join(f"{line}\n" for line in lines).encode())
        finally:
            os.close(handle)

    def _refusal(self, one: Asked, decision: Decision) -> CloudError:
        service = one.action.partition(":")[0]
        sentence = (
            f"User: {self._principal.arn} is not authorized to perform: {one.action} "
            f"on resource: {one.resource} {decision.why}"
        )
        if service == "ec2":
            return CloudError(
                "UnauthorizedOperation", f"You are not authorized to perform this operation. {sentence}"
            )
        return CloudError("AccessDeniedException" if service in _EXCEPTION else "AccessDenied", sentence)
