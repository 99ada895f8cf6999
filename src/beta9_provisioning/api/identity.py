"""Routes that tell a caller how to log in, and who it is."""

from fastapi import APIRouter, Depends

from beta9_provisioning.api import guards, problems
from beta9_provisioning.api.auditing import action
from beta9_provisioning.api.authorization import OPEN, Known
from beta9_provisioning.api.dependencies import ServicesDep
from beta9_provisioning.schemas.callers import Identity, LoginMethods, OidcLogin, Permission

router = APIRouter(
    prefix="/api/v1",
    tags=["identity"],
    dependencies=[Depends(guards.no_parameters), Depends(guards.given_once)],
)


@router.get("/auth", openapi_extra=OPEN, responses=problems.responses(422), summary="How does one log in?")
async def login_methods(services: ServicesDep) -> LoginMethods:
    """Tell anybody how to log in."""
    settings = services.settings
    oidc = (
        OidcLogin(
            issuer=settings.oidc_issuer, client_id=settings.oidc_client_id, audience=settings.oidc_audience
        )
        if settings.oidc_issuer and settings.oidc_client_id
        else None
    )
    return LoginMethods(required=settings.auth_mode == "required", oidc=oidc)


@router.get("/whoami", responses=problems.GUARDED, summary="Who am I?", openapi_extra=action("member.whoami"))
async def whoami(principal: Known) -> Identity:
    """Return who is asking, and what that caller may do."""
    return Identity(
        authentication=principal.authentication,
        member_id=principal.id,
        member_name=principal.name,
        organization_id=principal.organization,
        organization_name=principal.organization_name,
        role=principal.role,
        permissions=[permission for permission in Permission if principal.may(permission)],
        key_id=principal.key_id,
        key_expires_at=principal.expires_at,
    )
