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
