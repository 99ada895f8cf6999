"""`GET /api/v1/audit`: the audit log of an organization, page by page, or all that is wanted as lines."""

import json
import re
from collections.abc import Iterator
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

from beta9_provisioning.api import guards, problems
from beta9_provisioning.api.auditing import AuthorDep, action
from beta9_provisioning.api.authorization import ReadsAudit
from beta9_provisioning.api.dependencies import ServicesDep
from beta9_provisioning.audit.record import write
from beta9_provisioning.audit.search import Wanted, newest_first
from beta9_provisioning.kit.database import Sessions, read, transaction
from beta9_provisioning.operations.records.model import AuditRecordRow
from beta9_provisioning.schemas.callers import AuditPage, AuditRecord

EXPORT = "application/x-ndjson"
_BATCH = 1000
router = APIRouter(
    prefix="/api/v1/audit",
    tags=["audit"],
    # Strangers are told nothing else.
    dependencies=guards.KNOWN,
)

# No character that a record's ids and names of actions cannot have.
_Text = Annotated[str | None, Field(pattern=r"^[!-~]{1,256}$")]


def _is_written_out(value: object) -> object:
    """Refuse a number of seconds, which pydantic would take: the description announces dates."""
    if isinstance(value, str) and not _DATE.match(value):
        raise ValueError("write date and time, such as 2026-01-31T12:00:00Z")
    return value


_DATE = re.compile(r"[0-9]{4}-")
_Time = Annotated[AwareDatetime, BeforeValidator(_is_written_out)]


class AuditParameters(BaseModel):
    """Which records."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    actor: _Text = None
    """Only what this member did, by its id; `anonymous` of callers whom nobody knew."""
    action: _Text = None
    """Only this action, such as `environment.create`."""
    object_id: _Text = None
    """Only what was done to the object with this id."""
    decision: Literal["allowed", "refused"] | None = None
    """Only what was allowed, or what was refused."""
    request_id: _Text = None
    """Only what this request did."""
    since: _Time | None = None
    """Only what was done at this time or later."""
    until: _Time | None = None
    """Only what was done at this time or earlier."""
    limit: Annotated[int, Field(ge=1, le=1000)] = 50
    """Records on a page; an export has no such bound."""
    cursor: Annotated[str | None, Field(pattern=r"^[1-9][0-9]{0,17}$")] = None
    """`next_cursor` of the page before."""

    @property
    def wanted(self) -> Wanted:
        """What of it says which records."""
        return Wanted(**self.model_dump(include=set(Wanted.__annotations__)))

    @property
    def before(self) -> int | None:
        """The number below which the records are."""
        return None if self.cursor is None else int(self.cursor)


@router.get(
    "",
    response_model=AuditPage,
    responses=problems.responses(
        400,
        401,
        403,
        422,
        success={
            "description": f"A page; or with `Accept: {EXPORT}` all that is wanted, an `AuditRecord` a line.",
            "content": {EXPORT: {"schema": {"type": "string"}}},
        },
    ),
    summary="Read or export the audit log",
    openapi_extra=action("audit.read"),
)
def audit(
    request: Request,
    services: ServicesDep,
    principal: ReadsAudit,
    author: AuthorDep,
    parameters: Annotated[AuditParameters, Query()],
) -> Response:
    """Return records of the organization, newest first. That they were exported is a record itself."""
    organization, wanted, limit = principal.organization, parameters.wanted, parameters.limit
    if EXPORT in request.headers.get("accept", ""):
        given = parameters.model_dump(mode="json", exclude_none=True, exclude={"limit"})
        with transaction(services.sessions) as session:
            exported = write(
                session,
                author,
                "audit.export",
                organization_id=organization,
                object_type="audit",
                object_id=organization,
                after=given,
            )
        # What comes meanwhile is not in it, nor is this record.
        before = min(exported, parameters.before or exported)
        lines = _export(services.sessions, organization, wanted, before)
        return StreamingResponse(lines, media_type=EXPORT)
    rows = read(
        services.sessions,
        lambda session: newest_first(
            session, organization, wanted, limit=limit + 1, before=parameters.before
        ),
    )
    page = AuditPage(
        items=[_record(row) for row in rows[:limit]],
        next_cursor=str(rows[limit - 1].number) if len(rows) > limit else None,
    )
    return Response(page.model_dump_json(), media_type="application/json")


def _export(sessions: Sessions, organization_id: str, wanted: Wanted, before: int) -> Iterator[str]:
    """Yield lines, some at a time: between two reads nothing is held, however slow the client is."""
    while True:
        rows = read(
            sessions,
            lambda session: newest_first(session, organization_id, wanted, limit=_BATCH, before=before),  # noqa: B023
        )
        if rows:
            yield "".join(f"{_record(row).model_dump_json()}\n" for row in rows)
        if len(rows) < _BATCH:
            return
        before = rows[-1].number


def _record(row: AuditRecordRow) -> AuditRecord:
    columns = {name: getattr(row, name) for name in AuditRecord.model_fields}
    documents = {name: columns[name] and json.loads(columns[name]) for name in ("before", "after")}
    return AuditRecord(**{**columns, **documents})
