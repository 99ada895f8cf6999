"""Request bodies: read within a bound, and taken as JSON or YAML whatever their Content-Type says.

`curl -d @file` names any type it is told and strips newlines, so the type is no help: JSON is tried first,
then YAML, of which JSON-like flow style survives on one line.
"""

import asyncio
import json
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from beta9_provisioning.api import yaml12
from beta9_provisioning.api.bounds import Limits
from beta9_provisioning.environments import rules
from beta9_provisioning.schemas.configuration import EnvironmentConfig

MAX_BODY = 1024 * 1024
"""Bytes of the largest body that is read."""
MAX_YAML = 64 * 1024
"""Bytes of the largest YAML body; parsing it takes about 0.2 s, and JSON needs no such bound."""
_MAX_DEPTH = 32
_LONGEST_PATH = 200

_Model = TypeVar("_Model", bound=BaseModel)


class BodyRefused(Exception):
    """The body cannot be taken; `status` is the HTTP status that says so."""

    def __init__(self, message: str, *, status: int = 400) -> None:
        super().__init__(message)
        self.message = message
        self.status = status


class InvalidConfiguration(Exception):
    """The body is data, but not what was asked for: not a configuration, or not `model`."""

    def __init__(self, cause: ValidationError, model: type[BaseModel]) -> None:
        super().__init__(str(cause))
        self.cause = cause
        self.model = model


async def read(request: Request) -> bytes:
    """Return the request's body.

    Raises:
        BodyRefused: it is larger than `MAX_BODY` (413, found by its announced length or while reading), or
            compressed (415), or comes too slowly (408).
    """
    encoding = request.headers.get("content-encoding", "identity")
    if encoding != "identity":
        raise BodyRefused(f"Content-Encoding {encoding[:40]!r} is not accepted: send it plain.", status=415)
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced[:20]) > MAX_BODY:
        raise _too_large()
    limits = request.app.state.services.limits
    assert isinstance(limits, Limits)
    body = bytearray()
    ends = asyncio.get_running_loop().time() + limits.body_seconds
    try:
        async with asyncio.timeout_at(ends) as deadline:
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_BODY:
                    raise _too_large()
                deadline.reschedule(ends + len(body) / limits.rate)
    except TimeoutError:
        raise _too_slow(limits) from None
    return bytes(body)


def configuration(body: bytes) -> EnvironmentConfig:
    """Return the configuration in a body; raises as `validated` does."""
    return _valid(EnvironmentConfig, rules.read, parse(body))


def validated(model: type[_Model], body: bytes) -> _Model:
    """Return the document in a body.

    Raises:
        BodyRefused: it is no JSON and no YAML.
        InvalidConfiguration: it is, but breaks the schema.
    """
    return _valid(model, model.model_validate, parse(body))


def _valid(model: type[_Model], validate: Callable[[dict[str, Any]], _Model], data: dict[str, Any]) -> _Model:
    try:
        return validate(data)
    except ValidationError as error:
        raise InvalidConfiguration(error, model) from error


def parse(body: bytes) -> dict[str, Any]:
    """Return the mapping in a JSON or YAML body.

    Raises:
        BodyRefused: with what is wrong and, where it can be told, what to do.
    """
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BodyRefused(f"The body is not UTF-8 (byte {error.start + 1}).") from error
    if not text.strip():
        raise BodyRefused("The body is empty: send JSON or YAML.")
    data = _json_or_yaml(text)
    if not isinstance(data, dict):
        raise BodyRefused(_lost_newlines(text) or "The body must be a mapping of fields to values.")
    _check(data)
    return data


def _json_or_yaml(text: str) -> Any:
    try:
        return json.loads(
            text, object_pairs_hook=_unique, parse_constant=_refuse_constant, parse_float=_finite
        )
    except json.JSONDecodeError as error:
        json_error = error
    except RecursionError as error:
        raise BodyRefused("The body is nested too deeply.") from error
    except ValueError as error:  # an integer of thousands of digits
        raise BodyRefused("The body holds a number that is too large.") from error
    if len(text.encode()) > MAX_YAML:
        raise BodyRefused(
            f"The body is no JSON ({json_error}), and YAML may have {MAX_YAML // 1024} KiB at most: "
            "send it as JSON."
        )
    try:
        return yaml12.parse(text)
    except yaml12.YamlRefused as error:
        # The hint is a guess, so what the parser says is told with it.
        said = f"The body is neither JSON nor YAML: {error}."
        raise BodyRefused(" ".join(filter(None, (_lost_newlines(text), said)))) from error


def _lost_newlines(text: str) -> str | None:
    """Return what to do if this looks like YAML of several lines that were joined."""
    line = text.strip()
    if "\n" in line or "\r" in line:
        return None
    flow = line.startswith("{")
    if flow and "#" in line:
        return (
            "The body is one line, in which a # comments out the rest: were its newlines stripped? "
            "curl's -d does that; send the file with --data-binary, or take the comments out."
        )
    if not flow and ":" in line:
        return (
            "The body is YAML whose newlines were stripped, as curl's -d does. Send the file with "
            "--data-binary, or write it in flow style, like example-config.yaml."
        )
    return None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise BodyRefused(f"The key {twice[:100]!r} comes twice.")
    return result


def _refuse_constant(name: str) -> NoReturn:
    raise BodyRefused(f"{name} is not accepted: JSON has no such number.")


def _finite(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise BodyRefused("The body holds a number that is too large.")
    return value


def _check(data: Any, *path: str) -> None:
    """Refuse what the database could not store: NUL and lone surrogates; and needless depth."""
    if len(path) > _MAX_DEPTH:
        raise BodyRefused("The body is nested too deeply.")
    if isinstance(data, str):
        _check_text(data, ".".join(path)[:_LONGEST_PATH])
    elif isinstance(data, dict):
        for key, value in data.items():
            _check_text(key, f"a key of {'.'.join(path)[:_LONGEST_PATH] or 'the body'}")
            _check(value, *path, key)
    elif isinstance(data, list):
        for number, value in enumerate(data):
            _check(value, *path, str(number))


def _check_text(text: str, where: str) -> None:
    if "\x00" in text:
        raise BodyRefused(f"The body holds a NUL character in {where}, which no field may hold.")
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise BodyRefused(f"The body holds half a surrogate pair in {where}, which is no character.")


def _too_slow(limits: Limits) -> BodyRefused:
    return BodyRefused(
        f"The body was not complete {limits.body_seconds:g} s after its headers, with a second more for each "
        f"{limits.rate} bytes that came. Nothing was changed; send it again.",
        status=408,
    )


def _too_large() -> BodyRefused:
    return BodyRefused(f"The body is larger than {MAX_BODY} bytes.", status=413)
