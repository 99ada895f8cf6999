"""Typed client of the REST API; it prints nothing."""

from beta9_provisioning.client.bearer import Credential, FixedKey
from beta9_provisioning.client.client import Client
from beta9_provisioning.client.errors import (
    ApiProblem,
    CertificatesMissing,
    CertificateUntrusted,
    ClientError,
    CredentialUnfit,
    LoginEnded,
    Unreachable,
)

__all__ = [
    "ApiProblem",
    "CertificateUntrusted",
    "CertificatesMissing",
    "Client",
    "ClientError",
    "Credential",
    "CredentialUnfit",
    "FixedKey",
    "LoginEnded",
    "Unreachable",
]
