"""What a process writes to its log at each level."""

import json
import subprocess
import sys

import pytest

PROGRAM = """
import logging, sys, threading
import structlog
from beta9_provisioning.kit import logs
level, form, program = sys.argv[1:]
logs.configure(level, form)
log = structlog.get_logger("beta9_provisioning.sample")
exec(program)
"""
LIBRARIES = ["botocore.endpoint", "urllib3.connectionpool", "httpx", "httpcore.http11", "sqlalchemy.engine"]
LIBRARIES += ["dramatiq.worker", "alembic.runtime.migration", "redis", "asyncio", "psycopg", "whoever"]


def logged(program: str, level: str = "DEBUG", form: str = "json") -> str:
    """Return what a program writes to standard error."""
    command = [sys.executable, "-c", PROGRAM, level, form, program]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False).stderr


@pytest.mark.parametrize("level", ["DEBUG", "INFO"])
def test_the_level_is_ours_and_libraries_tell_warnings_only(level: str) -> None:
    """LOG_LEVEL=DEBUG printed the customer's session token and the database's master password."""
    program = f"""
for name in {LIBRARIES}:
    library = logging.getLogger(name)
    library.debug("s3cret"); library.info("s3cret"); library.warning("heard")
log.debug("at_debug"); log.info("at_info")
logging.getLogger("__main__").info("main_at_info")
logging.getLogger("uvicorn.error").info("listening")
"""
    text = logged(program, level)
    assert "s3cret" not in text
    assert text.count("heard") == len(LIBRARIES)
    assert ("at_debug" in text) is (level == "DEBUG")
    assert all(word in text for word in ("at_info", "main_at_info", "listening"))


def test_a_higher_level_is_everybodys() -> None:
    text = logged("log.warning('w'); logging.getLogger('redis').warning('w'); log.error('told')", "ERROR")
    assert [json.loads(line)["event"] for line in text.splitlines()] == ["told"]


@pytest.mark.parametrize("form", ["json", "console"])
@pytest.mark.parametrize(
    "program",
    [
        "log.warning('x', error='redis://u:s3cret@h', token='s3cret', deep=({'password': 's3cret'},))",
        "logging.getLogger('redis').error('to %s', 'redis://:s3cret@h')",
        "try:\n    raise ValueError('password=s3cret')\nexcept ValueError:\n    log.exception('x')",
        "try:\n    raise ValueError('password=s3cret')\n"
        "except ValueError:\n    logging.getLogger('redis').exception('x')",
        "raise ValueError('postgresql://u:s3cret@h/d')",
        "def f():\n    raise ValueError('redis://:s3cret@h')\nthread = threading.Thread(target=f)\n"
        "thread.start(); thread.join()",
    ],
    ids=["event", "library", "exception", "exception-of-library", "crash", "crash-of-thread"],
)
def test_no_secret_reaches_standard_error(form: str, program: str) -> None:
    text = logged(program, form=form)
    assert "(hidden)" in text
    assert "s3cret" not in text


HOSTILE = "a\n2026-01-01T00:00:00Z [info ] forged\r\x1b[2J\x9b2J\u2028\u202e"


@pytest.mark.parametrize(
    ("program", "form"),
    [
        (f"log.warning({HOSTILE!a}, error={HOSTILE!a}, **{{{HOSTILE!a}: 1}})", "console"),
        (f"log.warning('x', error=[{{'a': {HOSTILE!a}}}])", "console"),
        (f"logging.getLogger('redis').warning('to %s', {HOSTILE!a})", "console"),
        (f"log.warning({HOSTILE!a}, error={HOSTILE!a}, **{{{HOSTILE!a}: 1}})", "json"),
        (f"logging.getLogger('redis').warning('to %s', {HOSTILE!a})", "json"),
    ],
)
def test_others_words_made_lines_of_their_own(program: str, form: str) -> None:
    text = logged(program, form=form)
    assert text.endswith("\n")
    assert text[:-1].isprintable()  # no end of a line, and nothing that steers a terminal
    assert "forged" in text


def test_words_in_a_traceback_begin_no_line() -> None:
    text = logged(
        f"try:\n    raise ValueError({HOSTILE!a})\nexcept ValueError:\n    log.exception('x')", form="console"
    )
    first, *others = text.rstrip("\n").split("\n")
    assert first.rstrip().endswith("[beta9_provisioning.sample]")
    assert any("forged" in line for line in others)
    assert all(line.startswith("    ") and line.isprintable() for line in others)
