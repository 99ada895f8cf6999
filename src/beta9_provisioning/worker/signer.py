"""The signer: signs the heads of the audit log's chains at intervals, when there is a key."""

from datetime import timedelta

import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from beta9_provisioning.audit.signatures import LOG_LINE, sign_moved
from beta9_provisioning.kit import runtime
from beta9_provisioning.kit.background import repeat
from beta9_provisioning.kit.database import Sessions

log = structlog.get_logger(__name__)

_LONGEST_ROUND = 60.0
_STOP_SECONDS = 5.0


class Signer:
    """Runs in every worker; each head that is due is signed, and told in the log, by one of them."""

    def __init__(self, factory: Sessions, key: Ed25519PrivateKey | None, seconds: float) -> None:
        """Take the key, and how old a chain's last signature is when the next is due."""
        self._factory = factory
        self._key = key
        self._every = timedelta(seconds=seconds)
        self._ended = runtime.event()
        self._thread = runtime.thread(self._run, name="signer", daemon=True)

    def start(self) -> None:
        """Work in the background, unless there is no key."""
        if self._key is not None:
            self._thread.start()

    def stop(self) -> None:
        """End; a head that is being signed at this moment is left to itself."""
        self._ended.set()
        if self._key is not None:
            self._thread.join(_STOP_SECONDS)

    def _run(self) -> None:
        every = min(self._every.total_seconds(), _LONGEST_ROUND)
        repeat("signer", self._sign, every=every, ended=self._ended, longest=_LONGEST_ROUND)

    def _sign(self) -> None:
        assert self._key is not None
        done = sign_moved(self._factory, self._key, every=self._every)
        for head in done.signed:
            log.info(LOG_LINE, **head.fields)
        for organization_id, broken in done.broken:
            log.error(
                "audit_broken",
                organization_id=organization_id,
                number=broken.number,
                kind=broken.kind,
                detail=f"{broken.message}. It is signed no more: run `beta9-provisioning audit verify`.",
            )
