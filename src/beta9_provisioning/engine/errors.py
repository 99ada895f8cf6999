"""Errors of the engine: each says what happened, why, and what to do. None of them knows HTTP."""

import errno

from beta9_provisioning.kit.masking import mask_text

FULL = (errno.ENOSPC, errno.EDQUOT)
"""The system's error numbers for a disk, or a share of it, that is full."""


class EngineError(Exception):
    """The engine could not do its work.

    Message and detail repeat what tools, clouds and clusters said; what looks like a secret in them is
    hidden.

    Attributes:
        code: stable machine-readable code in snake_case, such as `role_refused`.
        message: one sentence in the past tense: what happened.
        detail: why, as far as it is known (for example the provider's own words); may be empty.
        remedy: what the reader can do; may be empty.
    """

    code = "engine_error"

    def __init__(self, message: str, *, detail: str = "", remedy: str = "", code: str | None = None) -> None:
        self.message = mask_text(message)
        self.detail = mask_text(detail)
        super().__init__(self.message)
        self.remedy = remedy
        if code is not None:
            self.code = code


class Stopped(EngineError):
    """The work was stopped on request before it was finished; nothing failed."""

    code = "stopped"


class Interrupted(EngineError):
    """The work was cut off from outside, by what says nothing against it: it may be tried again."""

    code = "interrupted"


class NotSupported(EngineError):
    """The configuration asks for something that this release cannot build."""

    code = "not_supported"


class SynthesisError(EngineError):
    """The configuration could not be turned into infrastructure; nothing was created."""

    code = "synthesis_failed"


class DiskFull(EngineError):
    """This machine's file system is full: a fault of nobody's configuration."""

    code = "disk_full"

    def __init__(self, detail: str) -> None:
        super().__init__(
            "The disk of the worker was full.",
            detail=detail,
            remedy=(
                "The operator of this service frees space where WORKDIR_BASE and TMPDIR of its workers are; "
                "then try again, or delete the environment. Its configuration is not at fault."
            ),
        )
