"""What can go wrong between a client and the service."""

import httpx
from pydantic import ValidationError

from beta9_provisioning.kit import certificates
from beta9_provisioning.schemas.environment import Problem

TEMPORARY = frozenset({429, 502, 503, 504})
"""HTTP status codes with which the service, or a proxy before it, asks for patience."""
_EXCERPT = 200
_DIGITS = 6


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


class IssuerUnreachable(Unreachable):
    """The OIDC issuer that the service names does not answer, or not as one."""

    def __init__(self, issuer: str, why: str) -> None:
        ClientError.__init__(
            self,
            f"The OIDC issuer {issuer} does not answer as it should ({why}). Try again later, ask who runs "
            "the service, or log in with a key: beta9-provisioning auth login --with-key",
        )


class CertificatesMissing(ClientError):
    """The file that names whom to trust cannot be used; the message says who named it."""


class CredentialUnfit(ClientError):
    """The credential cannot be sent, or may not be sent there; the message never holds it."""


class LoginEnded(ClientError):
    """A login is over, was refused, or did not come to its end; the message says what to do."""


class AnswerLost(Unreachable):
    """A request that may not be sent twice had no answer: it may have been carried out."""

    def __init__(self, base_url: str, why: str, remedy: str) -> None:
        ClientError.__init__(
            self, f"The connection to {base_url} broke before the answer came ({why}). {remedy}"
        )


def unreachable(base_url: str, error: Exception, otherwise: type[Unreachable] = Unreachable) -> Unreachable:
    """Return what to raise when a request had no answer."""
    kind = CertificateUntrusted if certificates.is_untrusted(error) else otherwise
    return kind(base_url, str(error) or type(error).__name__)


class ApiProblem(ClientError):
    """The service refused or failed to do what was asked.

    Attributes:
        problem: the problem document, which names the fields at fault.
        request_id: by which the service's log knows the request; None when a proxy answered.
        retry_after: seconds for which the service asks for patience.
    """

    def __init__(
        self, problem: Problem, request_id: str | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(f"{problem.title}: {problem.detail}" if problem.detail else problem.title)
        self.problem = problem
        self.request_id = request_id
        self.retry_after = retry_after

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
    return ApiProblem(
        _problem_of(response), response.headers.get("X-Request-ID"), retry_after=retry_after(response)
    )


def retry_after(response: httpx.Response) -> float | None:
    """Return for how many seconds an answer asks for patience; None when it says nothing that counts.

    The form with a date is left out: it would depend on two clocks.
    """
    given = response.headers.get("Retry-After", "")
    return float(given) if given.isascii() and given.isdigit() and len(given) <= _DIGITS else None


def _problem_of(response: httpx.Response) -> Problem:
    """Return the problem document of an error response, or one made from it when a proxy wrote it."""
    try:
        return Problem.model_validate_json(response.content)
    except ValidationError:
        detail = response.text[:_EXCERPT].strip()
        if response.has_redirect_location:
            where = response.headers["Location"][:_EXCERPT]
            detail = f"It points to {where}, and no redirect is followed. Name the service where it is."
        return Problem(
            type="about:blank",
            title=f"{response.status_code} {response.reason_phrase}".strip(),
            status=response.status_code,
            detail=detail,
            errors=[],
        )
