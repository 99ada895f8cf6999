"""Whose certificates are trusted: one decision for our own connections and for the tools that we start.

Of `SSL_CERT_FILE`, `REQUESTS_CA_BUNDLE` and `AWS_CA_BUNDLE` one is enough. Where several are set,
`AWS_CA_BUNDLE` is for AWS, and `SSL_CERT_FILE` goes before `REQUESTS_CA_BUNDLE`. A cluster's own API is
trusted by the authority that the cloud names, and by no other.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

CODE = "certificate_untrusted"
"""Of errors that say that the other side's certificate was not accepted."""
GENERAL = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "AWS_CA_BUNDLE")
"""Names of variables, in the order in which they are looked at."""
FOR_AWS = ("AWS_CA_BUNDLE", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
"""The same for connections to AWS."""
PATTERN = r"x509:\s|tls:\s+failed\s+to\s+verify\s+certificate"
"""What programs in Go, such as Terraform and Helm, print of a certificate that they did not accept."""
REMEDY = (
    "If a proxy of your network answers there, or a server with a certificate of your own authority, set "
    "SSL_CERT_FILE to a file (PEM) with the certificates of all authorities to trust. If the certificate has "
    "expired or is not yet valid, look at the clock, too."
)
CLUSTER_REMEDY = (
    "A cluster is trusted by its own authority only. If a proxy of the worker's network answers in its place,"
    " name the cluster's endpoint in NO_PROXY."
)


class CertificatesUnusable(Exception):
    """A file that should hold authorities' certificates holds none; the message names who named it."""


@dataclass(frozen=True)
class Authorities:
    """A file of authorities' certificates (PEM). `name` says who named it: a variable or an option."""

    name: str
    path: Path

    def context(self) -> ssl.SSLContext:
        """Return what trusts these authorities and no others.

        Not by `ssl.create_default_context`, which is stricter from Python 3.13 on and refuses authorities
        without a key identifier; those of companies often lack it, and programs in Go take them.

        Raises:
            CertificatesUnusable: the file is not there, or holds no certificate.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            context.load_verify_locations(cafile=self.path)
        except ssl.SSLError as error:
            raise CertificatesUnusable(self._told("which holds no certificate (PEM)")) from error
        except OSError as error:
            raise CertificatesUnusable(self._told(f"which cannot be read: {error.strerror}")) from error
        if not context.cert_store_stats()["x509"]:
            raise CertificatesUnusable(self._told("which holds no certificate (PEM)"))
        return context

    def _told(self, why: str) -> str:
        remedy = "Name a file with the certificates of authorities, or leave it out."
        return f"{self.name} is {self.path}, {why}. {remedy}"


def named(source: Mapping[str, str], order: tuple[str, ...] = GENERAL) -> Authorities | None:
    """Return the file that these variables name; None when the public authorities are trusted."""
    return next(_all(source, order), None)


def faults(source: Mapping[str, str]) -> list[str]:
    """Return one sentence for each file that the variables name and that cannot be used."""
    told = []
    for authorities in _all(source, GENERAL):
        try:
            authorities.context()
        except CertificatesUnusable as error:
            told.append(str(error))
    return told


def for_tools(source: Mapping[str, str]) -> dict[str, str]:
    """Return `source` with the names that tools read: `SSL_CERT_FILE` in Go, `REQUESTS_CA_BUNDLE` in Python.

    AWS's SDKs go by `AWS_CA_BUNDLE`, then by their profile, then by these. Paths are absolute, for tools run
    in directories of their own.
    """
    files = {one.name: str(one.path.absolute()) for one in _all(source, GENERAL)}
    general = named(source)
    if general is not None:
        files |= dict.fromkeys(("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"), files[general.name])
    return {**source, **files}


def trust(path: Path, named_by: str) -> None:
    """Let this process, and what it starts, trust this file, whatever the variables say.

    Args:
        path: the file.
        named_by: who names it, for the error.

    Raises:
        CertificatesUnusable: the file is not there, or holds no certificate.
    """
    Authorities(named_by, path).context()
    os.environ.update(dict.fromkeys(GENERAL, str(path.absolute())))


def is_untrusted(error: BaseException) -> bool:
    """Return whether the other side's certificate was not accepted: no repetition will change that."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return True
        cause = cause.__cause__ or cause.__context__
    return False


def _all(source: Mapping[str, str], order: tuple[str, ...]) -> Iterator[Authorities]:
    return (Authorities(name, Path(source[name])) for name in order if source.get(name))
