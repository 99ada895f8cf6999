"""An OIDC issuer on loopback: discovery, keys that rotate, device flow (RFC 8628), refresh tokens.

It is a server like another's, but nobody waits at it: a test says what a person would do (`approve`, `deny`),
that time has passed (`expire`), and in which order polls are put off (`polls`).
"""

from __future__ import annotations

import json
import ssl
import threading
from base64 import urlsafe_b64encode
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from secrets import token_hex, token_urlsafe
from time import time
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import get_default_algorithms
from tests.support.http_servers import QuietHandler, answering_with

DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
TOKEN_SECONDS = 600
Private = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
Answer = tuple[int, dict[str, Any]]
"""Status and document."""
_ALGORITHMS = get_default_algorithms()


@dataclass(frozen=True)
class SigningKey:
    """A key pair with the name and algorithm under which it signs."""

    kid: str
    algorithm: str
    private: Private

    @classmethod
    def new(cls, algorithm: str = "ES256") -> SigningKey:
        """Make one; `RS…` and `PS…` are RSA, `EdDSA` is Ed25519, anything else P-256."""
        private: Private
        if algorithm.startswith(("RS", "PS")):
            private = rsa.generate_private_key(65537, 2048)
        elif algorithm == "EdDSA":
            private = ed25519.Ed25519PrivateKey.generate()
        else:
            private = ec.generate_private_key(ec.SECP256R1())
        return cls(token_hex(4), algorithm, private)

    @property
    def jwk(self) -> dict[str, Any]:
        """The public half, as a key set has it."""
        algorithm: Any = _ALGORITHMS[self.algorithm]
        public = algorithm.to_jwk(self.private.public_key(), as_dict=True)
        return {**public, "kid": self.kid, "alg": self.algorithm, "use": "sig"}

    def sign(self, claims: Mapping[str, Any], **headers: Any) -> str:
        """Return a token with these claims; headers replace ours, and None leaves one out."""
        header = {"alg": self.algorithm, "typ": "JWT", "kid": self.kid, **headers}
        kept = {name: value for name, value in header.items() if value is not None}
        return self.seal(f"{part(kept)}.{part(claims)}")

    def seal(self, signed: str) -> str:
        """Return this with its signature, whatever it is: a library would not sign all that one may get."""
        algorithm: Any = _ALGORITHMS[self.algorithm]
        return f"{signed}.{part(algorithm.sign(signed.encode(), self.private))}"


def part(content: object) -> str:
    """Return a part of a token: bytes, or anything else as JSON."""
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


@dataclass
class Device:
    """One attempt to log in: what the program polls with, and what the person types."""

    device_code: str
    user_code: str
    client_id: str
    scope: str
    state: str = "authorization_pending"
    """The next answer's error; empty once it is approved."""
    subject: str = ""
    claims: dict[str, Any] = field(default_factory=dict)


@dataclass
class Issuer:
    """The issuer; a test changes its attributes to change what it answers from then on."""

    url: str = ""
    audience: str = "beta9-provisioning"
    client_id: str = "beta9-cli"
    keys: list[SigningKey] = field(default_factory=lambda: [SigningKey.new()])
    """What the key set holds; the first one signs."""
    interval: int = 0
    """Seconds between polls that it asks for."""
    polls: deque[str] = field(default_factory=deque)
    """Errors of the next polls, before anything else: `slow_down`, `authorization_pending`."""
    changed: dict[str, Any] = field(default_factory=dict)
    """Members of the discovery document that differ; None leaves one out."""
    broken: int = 0
    """If not 0, every answer is of this status."""
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    """Path and form of each request."""
    devices: list[Device] = field(default_factory=list)
    refreshable: dict[str, Device] = field(default_factory=dict)
    """Refresh tokens that are good."""
    lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def key(self) -> SigningKey:
        """The key that signs."""
        return self.keys[0]

    def count(self, path: str) -> int:
        """Return how often a path was asked for."""
        return sum(asked == path for asked, _ in self.asked)

    def rotate(self, algorithm: str = "ES256", *, keep: bool = True) -> SigningKey:
        """Sign with a new key from now on; the old ones stay in the set unless they are revoked."""
        new = SigningKey.new(algorithm)
        self.keys = [new, *(self.keys if keep else [])]
        return new

    def claims(self, subject: str = "alice", **changes: Any) -> dict[str, Any]:
        """Return the claims of a good token, but for these; None leaves one out."""
        now = int(time())
        claims = {
            "iss": self.url,
            "aud": self.audience,
            "sub": subject,
            "iat": now,
            "exp": now + TOKEN_SECONDS,
            **changes,
        }
        return {name: value for name, value in claims.items() if value is not None}

    def token(self, subject: str = "alice", **changes: Any) -> str:
        """Return an access token."""
        return self.key.sign(self.claims(subject, **changes), typ="at+jwt")

    def device(self, user_code: str) -> Device:
        """Return the attempt to log in that a person sees."""
        return next(one for one in self.devices if one.user_code == user_code)

    def approve(self, user_code: str, subject: str = "alice", **claims: Any) -> None:
        """Do what a person does who logs in and agrees."""
        with self.lock:
            device = self.device(user_code)
            device.state, device.subject, device.claims = "", subject, claims

    def deny(self, user_code: str) -> None:
        """Do what a person does who refuses."""
        self.device(user_code).state = "access_denied"

    def expire(self, user_code: str) -> None:
        """Let the time for logging in be over."""
        self.device(user_code).state = "expired_token"

    def answer(self, path: str, form: Mapping[str, str]) -> Answer:
        """Answer a request."""
        with self.lock:
            self.asked.append((path, dict(form)))
            if self.broken:
                return self.broken, {"error": "temporarily_unavailable"}
            known = {
                "/.well-known/openid-configuration": self._discovery,
                "/keys": self._key_set,
                "/device": self._start,
                "/token": self._token,
                "/revoke": self._revoke,
            }
            return known[path](form) if path in known else (404, {"error": "not_found"})

    def _key_set(self, _form: Mapping[str, str]) -> Answer:
        return 200, {"keys": [key.jwk for key in self.keys]}

    def _revoke(self, form: Mapping[str, str]) -> Answer:
        # RFC 7009: an unknown token is no error.
        self.refreshable.pop(form.get("token", ""), None)
        return 200, {}

    def _discovery(self, _form: Mapping[str, str]) -> Answer:
        document = {
            "issuer": self.url,
            "jwks_uri": f"{self.url}/keys",
            "token_endpoint": f"{self.url}/token",
            "device_authorization_endpoint": f"{self.url}/device",
            "revocation_endpoint": f"{self.url}/revoke",
            "authorization_endpoint": f"{self.url}/authorize",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
            "grant_types_supported": [DEVICE_GRANT, "refresh_token"],
            **self.changed,
        }
        return 200, {name: value for name, value in document.items() if value is not None}

    def _start(self, form: Mapping[str, str]) -> Answer:
        if form.get("client_id") != self.client_id:
            return 401, {"error": "invalid_client"}
        code = token_hex(4).upper()
        device = Device(
            token_urlsafe(24), f"{code[:4]}-{code[4:]}", form["client_id"], form.get("scope", "openid")
        )
        self.devices.append(device)
        page = f"{self.url}/activate"
        return 200, {
            "device_code": device.device_code,
            "user_code": device.user_code,
            "verification_uri": page,
            "verification_uri_complete": f"{page}?user_code={device.user_code}",
            "expires_in": TOKEN_SECONDS,
            "interval": self.interval,
        }

    def _token(self, form: Mapping[str, str]) -> Answer:
        if form.get("client_id") != self.client_id:
            return 401, {"error": "invalid_client"}
        grant = form.get("grant_type")
        if grant == DEVICE_GRANT:
            return self._poll(form.get("device_code", ""))
        if grant == "refresh_token":
            # Each is good once: a second use is what a thief would do.
            device = self.refreshable.pop(form.get("refresh_token", ""), None)
            return (400, {"error": "invalid_grant"}) if device is None else self._grant(device)
        return 400, {"error": "unsupported_grant_type"}

    def _poll(self, device_code: str) -> Answer:
        device = next((one for one in self.devices if one.device_code == device_code), None)
        if device is None:
            return 400, {"error": "invalid_grant"}
        error = self.polls.popleft() if self.polls else device.state
        if error:
            return 400, {"error": error}
        self.devices.remove(device)  # a code is good once
        return self._grant(device)

    def _grant(self, device: Device) -> Answer:
        refresh = token_urlsafe(24)
        self.refreshable[refresh] = device
        return 200, {
            "access_token": self.token(device.subject, **device.claims),
            "id_token": self.key.sign(
                self.claims(device.subject, **{"aud": device.client_id, **device.claims})
            ),
            "refresh_token": refresh,
            "token_type": "Bearer",
            "expires_in": TOKEN_SECONDS,
            "scope": device.scope,
        }


@contextmanager
def issuing(context: ssl.SSLContext | None = None, **attributes: Any) -> Iterator[Issuer]:
    """Run an issuer until the block ends; with a context it speaks TLS."""
    issuer = Issuer(**attributes)

    class Handler(QuietHandler):
        def _any(self) -> None:
            form = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            status, document = issuer.answer(urlsplit(self.path).path, dict(parse_qsl(form)))
            raw = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        do_GET = do_POST = _any

    with answering_with(Handler, context=context) as issuer.url:
        yield issuer
