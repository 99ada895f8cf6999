"""What can go wrong between a client and the service."""

import httpx
from pydantic import ValidationError

from beta9_provisioning.kit import certificates
from beta9_provisioning.schemas.environment import Problem

TEMPORARY = frozenset({429, 502, 503, 504})
"""HTTP status codes with which the service, or a proxy before it, asks for patience."""
_EXCERPT = 200


class ClientError(Exception):
    """Base of the client's errors; the message says what happened, why, and what to do."""


class Unreachable(ClientError):
    """No service answered, or something answered that is not this service."""

    def __init__(self, base_url: str, why: str) -> None:
        super().__init__(
            f"No service at {base_url} ({why}). Start it with `make up`, or name another one with --server "
            "or BETA9_PROVISIONING_URL."
        )


class CertificateUntrusted(Unreachable):
    """Something answered whose certificate was not accepted; no repetition will change that.

    Attributes:
        code: stable machine-readable code.
    """

    code = certificates.CODE

    def __init__(self, base_url: str, why: str) -> None:
        ClientError.__init__(
            self,
            f"The certificate of {base_url} was not accepted ({why}). {certificates.REMEDY} "
            "For one command --ca-file does the same.",
        )


class CertificatesMissing(ClientError):
    """The file that names whom to trust cannot be used; the message says who named it."""


def unreachable(base_url: str, error: Exception) -> Unreachable:
    """Return what to raise when a request had no answer."""
    kind = CertificateUntrusted if certificates.is_untrusted(error) else Unreachable
    return kind(base_url, str(error) or type(error).__name__)


class ApiProblem(ClientError):
    """The service refused or failed to do what was asked.

    Attributes:
        problem: the problem document, which names the fields at fault.
        request_id: by which the service's log knows the request; None when a proxy answered.
    """

    def __init__(self, problem: Problem, request_id: str | None = None) -> None:
        super().__init__(f"{problem.title}: {problem.detail}" if problem.detail else problem.title)
        self.problem = problem
        self.request_id = request_id

    @property
    def status(self) -> int:
        """HTTP status code."""
        return self.problem.status


def is_lasting(error: ClientError) -> bool:
    """Tell whether the same will happen again, however often one asks."""
    if isinstance(error, ApiProblem):
        return error.status not in TEMPORARY
    return not isinstance(error, Unreachable) or isinstance(error, CertificateUntrusted)


def refusal_of(response: httpx.Response) -> ApiProblem:
    """Return what to raise for an error response that has been read."""
    return ApiProblem(_problem_of(response), response.headers.get("X-Request-ID"))


def _problem_of(response: httpx.Response) -> Problem:
    """Return the problem document of an error response, or one made from it when a proxy wrote it."""
    try:
        return Problem.model_validate_json(response.content)
    except ValidationError:
        return Problem(
            type="about:blank",
            title=f"{response.status_code} {response.reason_phrase}".strip(),
            status=response.status_code,
            detail=response.text[:_EXCERPT].strip(),
            errors=[],
        )
