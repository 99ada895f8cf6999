"""Structured logs on standard error: JSON for collectors, or lines for people. Secrets are hidden in them."""

import logging
import sys
import threading
from types import TracebackType
from typing import Literal

import structlog

from beta9_provisioning.kit.masking import mask

# `python -m` gives the module that it runs the second name.
_OURS = ("beta9_provisioning", "__main__")

log = structlog.get_logger("beta9_provisioning")


def configure(level: str, form: Literal["json", "console"]) -> None:
    """Set up logging for this process; the standard library's loggers go the same way.

    The level is for our own loggers. Libraries tell warnings only, and the HTTP server where it listens: at
    DEBUG they would print whole requests and answers, with credentials in them. What nobody caught is logged.
    """
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _hide_secrets,
    ]
    renderers: list[structlog.typing.Processor] = (
        [structlog.processors.JSONRenderer()]
        if form == "json"
        else [_one_line, structlog.dev.ConsoleRenderer(colors=False)]
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    ours = logging.getLevelNamesMapping()[level]
    root.setLevel(max(ours, logging.WARNING))
    logging.getLogger("uvicorn").setLevel(max(ours, logging.INFO))
    for name in _OURS:
        logging.getLogger(name).setLevel(ours)
    sys.excepthook = _crashed
    threading.excepthook = _thread_crashed


def _hide_secrets(
    _logger: object, _method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    hidden: structlog.typing.EventDict = mask(dict(event))
    return hidden


def _one_line(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Keep others' words from looking like lines of their own, or steering the terminal.

    JSON needs none of it, and the renderer shows values as `repr` does. A traceback is indented as a whole.
    """
    shown = {_escaped(name): value for name, value in event.items()}
    shown["event"] = _escaped(str(event["event"]))
    if "exception" in shown:
        lines = str(shown["exception"]).split("\n")
        shown["exception"] = "\n".join(f"    {_escaped(line)}" for line in lines)
    return shown


def _escaped(text: str) -> str:
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)


def _crashed(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Take the place of Python's own words on standard error, which hide nothing."""
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
    else:
        log.critical("crashed", exc_info=(kind, error, trace))


def _thread_crashed(crash: threading.ExceptHookArgs) -> None:
    if crash.exc_value is not None and not issubclass(crash.exc_type, SystemExit):
        name = crash.thread.name if crash.thread else ""
        log.critical("crashed", thread=name, exc_info=(crash.exc_type, crash.exc_value, crash.exc_traceback))
