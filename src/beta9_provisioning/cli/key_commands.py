"""Commands on API keys."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

import typer

from beta9_provisioning.cli.confirming import confirm
from beta9_provisioning.cli.naming import completing
from beta9_provisioning.cli.output import (
    Failure,
    LimitOption,
    NamedOutput,
    NamedOutputOption,
    Output,
    OutputOption,
    QuietOption,
    YesOption,
    show_named,
    tell_cut,
)
from beta9_provisioning.cli.target import Service, on_service
from beta9_provisioning.cli.terminal import cannot_write, stderr, write_json, write_text

if TYPE_CHECKING:
    from beta9_provisioning.schemas.callers import KeyCreated

_EXAMPLE = "Example: beta9-provisioning key "
_SPAN = re.compile(r"([0-9]{1,5})(h|d|w)")
_HOURS = {"h": 1, "d": 24, "w": 168}
app = typer.Typer(
    no_args_is_help=True,
    help="API keys: yours, and those of your organization's members.",
    epilog=_EXAMPLE + "create ci --expires-in 90d",
)
KeyArgument = Annotated[
    str,
    typer.Argument(
        metavar="ID",
        help="The key's ID, such as key_5m3k7q2w9x4c8v6b.",
        autocompletion=completing(
            lambda client: [(key.id, key.name) for key in client.access.keys(limit=100)]
        ),
    ),
]


@app.command(epilog=_EXAMPLE + "create ci --expires-in 90d --scope environments:read")
@on_service
def create(
    *,
    name: Annotated[str, typer.Argument(help="What it is for.")],
    expires_in: Annotated[
        str, typer.Option(metavar="TIME", help="Until it counts no more: 90d, 12w; never.")
    ] = "90d",
    scope: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PERMISSION", help="All it may be used for; may be repeated. Else all you may do."
        ),
    ] = None,
    member: Annotated[
        str | None, typer.Option(metavar="ID", help="Whose it will be; for administrators. Else yours.")
    ] = None,
    service: Service,
    output: OutputOption = Output.TABLE,
) -> None:
    """Create a key, and print its secret. Nobody can show it again."""
    days = None if expires_in == "never" else _days(expires_in)
    with service.client() as client:
        created = client.access.create_key(name, member_id=member, scopes=scope or None, expires_in_days=days)
    _hand_over(created, output)


@app.command(epilog=_EXAMPLE + "rotate key_5m3k7q2w9x4c8v6b --overlap 24h")
@on_service
def rotate(
    *,
    key: KeyArgument,
    overlap: Annotated[
        str, typer.Option(metavar="TIME", help="For how long the old one still counts: 24h, 7d, 0h.")
    ] = "24h",
    service: Service,
    output: OutputOption = Output.TABLE,
) -> None:
    """Create a key in place of another, and print its secret. Nobody can show it again.

    `| beta9-provisioning auth login --with-key` stores it at once.
    """
    hours = _span_hours(overlap)
    with service.client() as client:
        created = client.access.rotate_key(key, overlap_hours=hours)
    _hand_over(created, output)


@app.command("list", epilog=_EXAMPLE + "list --member all")
@on_service
def list_(
    *,
    member: Annotated[
        str | None, typer.Option(metavar="ID|all", help="A member's, or all; for administrators. Else yours.")
    ] = None,
    limit: LimitOption = 100,
    service: Service,
    output: NamedOutputOption = NamedOutput.TABLE,
    quiet: QuietOption = False,
) -> None:
    """List keys, newest first. Their secrets are known to nobody."""
    from beta9_provisioning.cli.access_views import keys_view  # noqa: PLC0415

    with service.client() as client:
        found = list(client.access.keys(member=member, limit=limit + 1))
    show_named(keys_view(found[:limit]), NamedOutput.NAME if quiet else output)
    tell_cut(len(found), limit, "keys: the newest")


@app.command(epilog=_EXAMPLE + "revoke key_5m3k7q2w9x4c8v6b --yes")
@on_service
def revoke(
    *,
    key: KeyArgument,
    yes: YesOption = False,
    service: Service,
    output: NamedOutputOption = NamedOutput.TABLE,
    quiet: QuietOption = False,
) -> None:
    """Let a key count no more, from now on and for ever."""
    from beta9_provisioning.cli.access_views import GoneView  # noqa: PLC0415

    if not yes:
        confirm(key, "for ever", verb="Revoke")
    with service.client() as client:
        client.access.revoke_key(key)
    show_named(GoneView(key, "is revoked"), NamedOutput.NAME if quiet else output)


def _hand_over(created: KeyCreated, output: Output) -> None:
    """Write the secret to stdout, and nothing else; all about it to stderr."""
    key = created.key
    try:
        if output is Output.JSON:
            write_json(created.model_dump(mode="json"), indent=2)
        else:
            write_text(created.secret)
    except OSError as error:
        raise Failure(
            f"{cannot_write(error)} So nobody has the secret of {key.id}, which was made. Revoke it: "
            f"beta9-provisioning key revoke {key.id}"
        ) from error
    until = f"until {key.expires_at:%Y-%m-%d %H:%M} UTC" if key.expires_at else "for ever"
    stderr().print(
        f"This is the secret of {key.id} ({key.name}), which counts {until}. Keep it now: nobody can show it "
        "again.",
        markup=False,
        soft_wrap=True,
    )


def _days(text: str) -> int:
    days, rest = divmod(_span_hours(text), 24)
    if rest or not days:
        raise typer.BadParameter(f"{text!r} is no number of days; write 90d, 12w or never.")
    return days


def _span_hours(text: str) -> int:
    found = _SPAN.fullmatch(text)
    if found is None:
        raise typer.BadParameter(f"{text!r} is no time; write 24h, 90d or 12w.")
    return int(found[1]) * _HOURS[found[2]]
