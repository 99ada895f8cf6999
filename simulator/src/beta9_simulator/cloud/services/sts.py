"""Security Token Service: who am I, and let me be that role."""

from typing import Any

from beta9_simulator.cloud.principals import Principal
from beta9_simulator.cloud.services.request import Handler, Request, when
from beta9_simulator.cloud.sts import DEFAULT_SECONDS, assume_role
from beta9_simulator.cloud.templates import random_text
from beta9_simulator.cloud.web_identity import assume_role_with_web_identity


def _get_caller_identity(request: Request) -> dict[str, Any]:
    principal = request.principal
    prefix = "AROA" if principal.role_arn else "AIDA"
    name = principal.arn.rsplit("/", maxsplit=1)[-1]
    user_id = f"{prefix}{random_text('upper', 17)}" + (f":{name}" if principal.role_arn else "")
    return {"UserId": user_id, "Account": principal.account, "Arn": principal.arn}


def _assume_role(request: Request) -> dict[str, Any]:
    params = request.params
    session = assume_role(
        request.store,
        request.principal,
        params["RoleArn"],
        params["RoleSessionName"],
        external_id=params.get("ExternalId"),
        seconds=int(params.get("DurationSeconds") or DEFAULT_SECONDS),
    )
    return _session(session, params["RoleSessionName"])


def _assume_role_with_web_identity(request: Request) -> dict[str, Any]:
    params = request.params
    session, identity = assume_role_with_web_identity(
        request.store,
        params["RoleArn"],
        params["RoleSessionName"],
        params["WebIdentityToken"],
        seconds=int(params.get("DurationSeconds") or DEFAULT_SECONDS),
    )
    return {
        **_session(session, params["RoleSessionName"]),
        "SubjectFromWebIdentityToken": identity.subject,
        "Provider": identity.issuer,
        "Audience": identity.audience,
    }


def _session(session: Principal, name: str) -> dict[str, Any]:
    assert session.expires_at is not None
    return {
        "Credentials": {
            "AccessKeyId": session.access_key,
            "SecretAccessKey": session.secret_key,
            "SessionToken": session.session_token,
            "Expiration": when(session.expires_at),
        },
        "AssumedRoleUser": {
            "AssumedRoleId": f"AROA{random_text('upper', 17)}:{name}",
            "Arn": session.arn,
        },
    }


HANDLERS: dict[str, Handler] = {
    "AssumeRole": _assume_role,
    "AssumeRoleWithWebIdentity": _assume_role_with_web_identity,
    "GetCallerIdentity": _get_caller_identity,
}
UNSIGNED = frozenset({"AssumeRoleWithWebIdentity"})
"""What is asked without a key: the token is what the caller shows."""
ANYBODY = Principal("", "", "", "", "", None, "")
"""Who makes such a request."""
