"""Errors of the engine: each says what happened, why, and what to do. None of them knows HTTP."""


class EngineError(Exception):
    """The engine could not do its work.

    Attributes:
        code: stable machine-readable code in snake_case, such as `role_refused`.
        message: one sentence in the past tense: what happened.
        detail: why, as far as it is known (for example the provider's own words); may be empty.
        remedy: what the reader can do; may be empty.
    """

    code = "engine_error"

    def __init__(self, message: str, *, detail: str = "", remedy: str = "", code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail
        self.remedy = remedy
        if code is not None:
            self.code = code


class Stopped(EngineError):
    """The work was stopped on request before it was finished; nothing failed."""

    code = "stopped"


class NotSupported(EngineError):
    """The configuration asks for something that this release cannot build."""

    code = "not_supported"


class SynthesisError(EngineError):
    """The configuration could not be turned into infrastructure; nothing was created."""

    code = "synthesis_failed"
