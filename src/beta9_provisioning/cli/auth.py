"""Log in, out, and see who one is."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from beta9_provisioning.cli.confirming import hidden
from beta9_provisioning.cli.output import PLACES, ExitCode, Failure, Output, OutputOption, show
from beta9_provisioning.cli.target import KEY_VARIABLE, Service, Target, on_service
from beta9_provisioning.cli.terminal import stderr

if TYPE_CHECKING:
    from beta9_provisioning.cli.contexts import Contexts, Place
    from beta9_provisioning.cli.logins import Login
    from beta9_provisioning.client.device_login import Prompt
    from beta9_provisioning.schemas.callers import Identity, OidcLogin

_EXAMPLE = "Example: beta9-provisioning auth "
# More than any key has.
_LONGEST_INPUT = 64 * 1024
app = typer.Typer(
    no_args_is_help=True,
    help="Log in, log out, and see who you are.",
    epilog=_EXAMPLE + "login --server https://provisioning.example.com",
)


@app.command(epilog=_EXAMPLE + "login --with-key < key.txt")
@on_service
def login(
    *,
    with_key: Annotated[
        bool, typer.Option("--with-key", help="Read an API key from standard input.")
    ] = False,
    oidc: Annotated[
        bool, typer.Option("--oidc", help="Log in with a browser, at the service's OIDC issuer.")
    ] = False,
    service: Service,
) -> None:
    """Log in to a service, with an API key or with a browser, and make its context the current one.

    The credential is kept in the system's keyring, or else in a file that only you can read. A context that
    --context names and that is not there yet is made.
    """
    if with_key and oidc:
        raise typer.BadParameter("Give one of --with-key and --oidc.")
    target = _to_remember(service)
    with target.client(None) as client:
        methods = client.access.methods()
    if not methods.required:
        _remember(target, None)
        _tell(f"{target.server} asks nobody for a credential. The current context is {target.name}.")
        return
    credential = _ask(target, methods.oidc, with_key=with_key, oidc=oidc)
    identity = _accepted(target, credential)
    place = _remember(target, credential)
    _tell(
        f"Logged in to {target.server} as {identity.member_name}, {identity.role} of "
        f"{identity.organization_name}. The credential is in {PLACES[place]}; the current context is "
        f"{target.name}."
    )
    if os.environ.get(KEY_VARIABLE):
        _tell(f"{KEY_VARIABLE} is set, and goes before it.")


@app.command(epilog=_EXAMPLE + "status -o json")
@on_service
def status(service: Service, output: OutputOption = Output.TABLE) -> None:
    """Show as whom the service takes your commands. The exit code is 1 when you are not logged in."""
    from beta9_provisioning.cli.access_views import IdentityView  # noqa: PLC0415
    from beta9_provisioning.client import ApiProblem  # noqa: PLC0415

    target = service.target()
    try:
        with target.client(target.credential()) as client:
            identity = client.access.whoami()
    except ApiProblem as error:
        if error.status != 401:
            raise
        raise Failure(_not_logged_in(target)) from None
    stored = _stored(target)
    expires = identity.key_expires_at
    if stored is not None and stored.expires_at is not None:
        expires = datetime.fromtimestamp(stored.expires_at, UTC)
    show(
        IdentityView(
            identity=identity,
            server=target.server,
            context=target.name if target.context else None,
            place=_place(target),
            expires_at=expires,
            renews=stored is not None and stored.refresh is not None,
        ),
        output,
    )


@app.command(epilog=_EXAMPLE + "logout")
@on_service
def logout(service: Service) -> None:
    """Forget the credential of a context. The key itself stays valid until it is revoked."""
    from beta9_provisioning.cli.contexts import changing  # noqa: PLC0415
    from beta9_provisioning.cli.logins import read, remove  # noqa: PLC0415

    target = service.target()
    name, place = target.name, target.context.login if target.context else None
    if name is None or place is None:
        raise Failure(f"You are not logged in to {target.server}; there is nothing to forget.")
    kept = read(name, place)
    remove(name, place)
    with changing() as known:
        if name in known.contexts:
            known.contexts[name] = known.contexts[name].model_copy(update={"login": None})
    _tell(f"The credential of the context {name} is forgotten here.")
    if kept is not None and kept.kind == "key":
        _tell(
            "The key itself stays valid until it expires or is revoked: beta9-provisioning key revoke ID, or "
            "ask an administrator."
        )
    else:
        _tell("You may still be logged in at the issuer, in your browser.")
    if os.environ.get(KEY_VARIABLE):
        _tell(f"{KEY_VARIABLE} is still set, and goes on being used.")


def _to_remember(service: Service) -> Target:
    """Return the service to log in to, with a name for its context."""
    from beta9_provisioning.cli import contexts  # noqa: PLC0415

    target = service.target(new=True)
    contexts.check_server(target.server)
    name = target.name or contexts.name_for(target.server, contexts.load())
    contexts.check_name(name)
    _check_free(name, target, contexts.load())
    return replace(target, name=name)


def _check_free(name: str, target: Target, known: Contexts) -> None:
    from beta9_provisioning.cli.contexts import same_server  # noqa: PLC0415

    there = known.contexts.get(name)
    if there is not None and not same_server(there.server, target.server):
        raise Failure(
            f"The context {name} is for {there.server}, not for {target.server}. Name another one with "
            f"--context, or delete it: beta9-provisioning context delete {name}",
            ExitCode.USAGE,
        )


def _remember(target: Target, credential: Login | None) -> Place:
    """Store the context and its credential, and make it the current one; return where the credential lies."""
    from beta9_provisioning.cli import contexts, logins  # noqa: PLC0415

    assert target.name is not None
    place = None if credential is None else logins.write(target.name, credential)
    with contexts.changing() as known:
        _check_free(target.name, target, known)
        before = known.contexts.get(target.name) or contexts.Context(server=target.server)
        known.contexts[target.name] = before.model_copy(
            update={
                "organization": target.organization,
                "ca_file": str(target.ca_file.absolute()) if target.ca_file else before.ca_file,
                "plain_http": target.plain_http,
                "login": place or before.login,
            }
        )
        known.current = target.name
    return place or "file"


def _ask(target: Target, issuer: OidcLogin | None, *, with_key: bool, oidc: bool) -> Login:
    """Return the credential that the user gives."""
    from pydantic import SecretStr  # noqa: PLC0415

    from beta9_provisioning.cli.logins import Login  # noqa: PLC0415
    from beta9_provisioning.client.bearer import check_way  # noqa: PLC0415

    check_way(target.server, plain_http=target.plain_http)
    if oidc and issuer is None:
        raise Failure(f"{target.server} offers no login with a browser. Log in with an API key: --with-key")
    key = "" if oidc else _key(with_key=with_key, may_be_empty=issuer is not None)
    if key:
        return Login(kind="key", server=target.server, bearer=SecretStr(key))
    if issuer is None or with_key:
        raise Failure("No key was given.", ExitCode.USAGE)
    from beta9_provisioning.client.device_login import DeviceLogin  # noqa: PLC0415

    tokens = DeviceLogin(issuer, plain_http=target.plain_http).run(_show_prompt)
    return Login.of_tokens(target.server, issuer, tokens)


def _key(*, with_key: bool, may_be_empty: bool) -> str:
    if sys.stdin.isatty():
        return hidden("API key (not shown" + ("; Enter to log in with a browser)" if may_be_empty else ")"))
    if with_key:
        return sys.stdin.buffer.read(_LONGEST_INPUT).decode(errors="replace").strip()
    raise Failure(
        "There is no terminal to ask on. Give an API key on standard input (--with-key), set "
        f"{KEY_VARIABLE} instead of logging in, or log in with a browser (--oidc).",
        ExitCode.USAGE,
    )


def _show_prompt(prompt: Prompt) -> None:
    _tell(f"Open {prompt.page} in a browser and enter the code {prompt.code}")
    if prompt.link is not None:
        _tell(f"or open {prompt.link}")
    _tell("Waiting until you have done so; Ctrl-C gives up.")


def _accepted(target: Target, credential: Login) -> Identity:
    """Return as whom the service takes the credential."""
    from beta9_provisioning.client import ApiProblem, FixedKey  # noqa: PLC0415

    try:
        with target.client(FixedKey(credential.bearer.get_secret_value())) as client:
            return client.access.whoami()
    except ApiProblem as error:
        if error.status != 401:
            raise
        raise Failure(
            f"{target.server} does not accept this credential: it is mistyped, has expired or was revoked, "
            "or you are no member. Nothing was stored.",
            ExitCode.REFUSED,
        ) from None


def _place(target: Target) -> str | None:
    if os.environ.get(KEY_VARIABLE):
        return KEY_VARIABLE
    return target.context.login if target.context else None


def _stored(target: Target) -> Login | None:
    from beta9_provisioning.cli.logins import read  # noqa: PLC0415

    place = target.context.login if target.context else None
    if target.name is None or place is None or os.environ.get(KEY_VARIABLE):
        return None
    return read(target.name, place)


def _not_logged_in(target: Target) -> str:
    place = _place(target)
    if place is None:
        return f"You are not logged in to {target.server}. Log in: beta9-provisioning auth login"
    if place == KEY_VARIABLE:
        return f"{target.server} does not accept the key in {KEY_VARIABLE}: look whether it is the right one."
    return (
        f"{target.server} does not accept the stored credential of the context {target.name} any more. "
        "Log in again: beta9-provisioning auth login"
    )


def _tell(sentence: str) -> None:
    stderr().print(sentence, markup=False, soft_wrap=True)
