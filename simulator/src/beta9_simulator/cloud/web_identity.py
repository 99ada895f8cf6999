"""Assumes roles for who shows a token of an OpenID Connect issuer, such as a cluster's service account.

AWS fetches an issuer's keys; this cloud is told them, as a key set (JSON) in the setting
``oidc_keys:<issuer>``. Texts and codes after "AssumeRoleWithWebIdentity" in the API reference, and what
clients report of it.
"""

import json
import time
from typing import Any

import jwt

from beta9_simulator.cloud import sts, web_trust
from beta9_simulator.cloud.principals import Principal
from beta9_simulator.cloud.rules import CloudError
from beta9_simulator.cloud.store import GLOBAL, Store, StoredObject
from beta9_simulator.cloud.web_trust import WebIdentity

# "Create an OpenID Connect identity provider in IAM" in the user guide.
_ALGORITHMS = ["RS256", "RS384", "RS512", "ES256", "ES384", "ES512"]
_REQUIRED = ["aud", "exp", "iat", "iss", "sub"]


def assume_role_with_web_identity(
    store: Store, role_arn: str, session_name: str, token: str, *, seconds: int
) -> tuple[Principal, WebIdentity]:
    """Return temporary credentials of a role, and whom the token names.

    Raises ``CloudError``: InvalidIdentityToken or ExpiredTokenException for a token that is not good,
    AccessDenied when there is no such role or it does not trust the token's subject, ValidationError as
    ``sts.assume_role``.
    """
    role = sts.wanted_role(store, role_arn, session_name)
    identity = _verified(store, role_arn.split(":")[4], token)
    if role is None or not web_trust.allows(str(role.state.get("assume_role_policy")), identity):
        raise CloudError("AccessDenied", f"Not authorized to perform {web_trust.ASSUME}")
    return sts.start_session(store, role, session_name, seconds, is_chained=False), identity


def _verified(store: Store, account: str, token: str) -> WebIdentity:
    try:
        issuer = str(jwt.decode(token, options={"verify_signature": False}).get("iss", ""))
        provider = _provider(store, account, issuer)
        claims = jwt.decode(
            token,
            _key(store, issuer, token),
            algorithms=_ALGORITHMS,
            audience=provider.state["client_id_list"],
            issuer=issuer,
            options={"require": _REQUIRED},
        )
    except jwt.ExpiredSignatureError:
        now = int(time.time())
        raise CloudError(
            "ExpiredTokenException",
            f"Token expired: current date/time {now} must be before the expiration date/time of the token",
        ) from None
    except jwt.InvalidAudienceError:
        raise _invalid("Incorrect token audience") from None
    except jwt.PyJWTError as error:
        raise _invalid(f"The ID Token provided is not a valid JWT: {error}") from None
    given = claims["aud"] if isinstance(claims["aud"], list) else [claims["aud"]]
    audience = next(one for one in given if one in provider.state["client_id_list"])
    return WebIdentity(provider.id, issuer, claims["sub"], audience)


def _provider(store: Store, account: str, issuer: str) -> StoredObject:
    for found in store.find("aws_iam_openid_connect_provider", account=account, region=GLOBAL):
        if f"https://{str(found.state['url']).removeprefix('https://')}" == issuer:
            return found
    raise _invalid(f"No OpenIDConnect provider found in your account for {issuer}")


def _key(store: Store, issuer: str, token: str) -> jwt.PyJWK:
    wanted: Any = jwt.get_unverified_header(token).get("kid")
    told = store.setting(f"oidc_keys:{issuer}")
    keys = jwt.PyJWKSet.from_dict(json.loads(told)).keys if told else []
    for key in keys:
        if key.key_id == wanted:
            return key
    raise _invalid(
        "Couldn't retrieve verification key from your identity provider, please reference "
        "AssumeRoleWithWebIdentity documentation for requirements"
    )


def _invalid(why: str) -> CloudError:
    return CloudError("InvalidIdentityToken", why)
