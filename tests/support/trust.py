"""A private authority, as networks of companies have one, and servers that it vouches for."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

import pytest

from beta9_simulator.cluster.certificates import server_context

NAMES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "AWS_CA_BUNDLE")


@dataclass(frozen=True)
class Authority:
    """A file with the authority's certificate, and the TLS context of a server at 127.0.0.1."""

    file: Path
    context: ssl.SSLContext


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """An authority that nobody trusts by itself."""
    pem, context = server_context("127.0.0.1")
    file = tmp_path / "authority.pem"
    file.write_text(pem)
    return Authority(file, context)
