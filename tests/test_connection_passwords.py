"""The passwords in DATABASE_URL and REDIS_URL, right or wrong, are told by no entry point."""

import json
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests.support.waiting import GUARD_SECONDS

from beta9_provisioning.settings import Settings

DATABASES = {
    "wrong": "postgresql://postgres:s3cr3t@{postgres}",
    "unresolvable": "postgresql://me:s3cr3t@database.invalid/x",
    "unresolvable, another of two": "postgresql://me:s3cr3t@database.invalid,other.invalid/x",
    "refused": "postgresql://me:s3cr3t@127.0.0.1:1/x",
    "a parameter": "postgresql://127.0.0.1:1/x?user=me&password=s3cr3t",
    "a parameter that is wrong": "postgresql://me@127.0.0.1:1/x?password=s3cr3t&sslmode=never",
    "port": "postgresql://me:s3cr3t@127.0.0.1:port/x",
    "@": "postgresql://me:a@s3cr3t@127.0.0.1:1/x",
    "@, last": "postgresql://me:s3cr3t@a@127.0.0.1:1/x",
    ":": "postgresql://me:a:s3cr3t@127.0.0.1:1/x",
    "/": "postgresql://me:a/s3cr3t@127.0.0.1:1/x",
    "/, last": "postgresql://me:s3cr3t/a@127.0.0.1:1/x",
    "#": "postgresql://me:a#s3cr3t@127.0.0.1:1/x",
    "?": "postgresql://me:a?s3cr3t@127.0.0.1:1/x",
    "%": "postgresql://me:a%zzs3cr3t@127.0.0.1:1/x",
    "[": "postgresql://me:[s3cr3t@127.0.0.1:1/x",
    "white space": "postgresql://me:a s3cr3t@127.0.0.1:1/x",
    "scheme": "mysql://me:s3cr3t@127.0.0.1:1/x",
    "no scheme": "me:s3cr3t@127.0.0.1:1/x",
    "no URL": "host=127.0.0.1 port=1 password=s3cr3t",
}
QUEUES = {
    "wrong": "redis://me:s3cr3t@{redis}",
    "unresolvable": "redis://me:s3cr3t@redis.invalid/0",
    "refused": "redis://:s3cr3t@127.0.0.1:1/0",
    "a parameter": "redis://127.0.0.1:1/0?username=me&password=s3cr3t",
    "a parameter that is wrong": "redis://:s3cr3t@127.0.0.1:1/0?socket_timeout=long",
    "database": "redis://:s3cr3t@127.0.0.1:1/zero",
    "port": "redis://:s3cr3t@127.0.0.1:port/0",
    "@": "redis://:a@s3cr3t@127.0.0.1:1/0",
    "/": "redis://:a/s3cr3t@127.0.0.1:1/0",
    "/, last": "redis://:s3cr3t/a@127.0.0.1:1/0",
    "#": "redis://:a#s3cr3t@127.0.0.1:1/0",
    "#, last": "redis://:s3cr3t#a@127.0.0.1:1/0",
    "?": "redis://:s3cr3t?a@127.0.0.1:1/0",
    "[": "redis://:[s3cr3t@127.0.0.1:1/0",
    "socket": "unix://me:s3cr3t@/nowhere?db=0",
    "scheme": "redis+sentinel://:s3cr3t@127.0.0.1:1/0",
    "no scheme": ":s3cr3t@127.0.0.1:1/0",
}
# Imports once; each case is a copy of the process with variables of its own, and ends as Python would.
RUN = """
import json, os, sys, tempfile
from beta9_provisioning.settings import Settings, get_settings, run_or_explain
import beta9_provisioning.worker.__main__ as worker
from beta9_provisioning.api.app import create_app
import beta9_provisioning.operations.records.migrate as migrate
import httpx
from beta9_provisioning.kit import logs
from models.database import get_db, init_db

def serve(settings):
    from fastapi.testclient import TestClient
    logs.configure(settings.log_level, settings.log_format)
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        for path in ("/health/ready", "/metrics", "/api/v1/environments"):
            print(path, client.get(path).text)
    return 0

mains = {
    "api": lambda: run_or_explain(serve),
    "worker": lambda: run_or_explain(worker.main),
    "db init": lambda: run_or_explain(migrate.main),
    "settings": lambda: Settings() and print("read"),
    "init_db": lambda: init_db(get_settings().database_url),
    "init_db, its argument": lambda: init_db(os.environ["DATABASE_URL"]),
    "get_db": lambda: get_db() and 0,
}
main = mains[sys.argv[1]]
told = {}
for name, variables in json.loads(sys.argv[2]).items():
    with tempfile.TemporaryFile() as output:
        child = os.fork()
        if child == 0:
            os.dup2(output.fileno(), 1)
            os.dup2(output.fileno(), 2)
            os.environ.update(variables)
            try:
                code = main()
            except BaseException:
                sys.excepthook(*sys.exc_info())
                code = 3
            sys.stdout.flush()
            os._exit(code or 0)
        os.waitpid(child, 0)
        output.seek(0)
        told[name] = output.read().decode(errors="replace")
print(json.dumps(told))
"""
ROOT = Path(__file__).parents[1]


def told(entry: str, cases: dict[str, dict[str, str]], directory: Path) -> dict[str, str]:
    """Return what an entry point tells in each case, on both of its outputs."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([*sys.path, str(ROOT)]),
        "TERRAFORM_BINARY": sys.executable,
        "HELM_BINARY": sys.executable,
        "CHART_SOURCE": "charts",
        "WORKDIR_BASE": str(directory),
        "WORKER_METRICS_PORT": "0",
        "LOG_LEVEL": "DEBUG",
    }
    command = [sys.executable, "-c", RUN, entry, json.dumps(cases)]
    done = subprocess.run(
        command,
        env=environment,
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=GUARD_SECONDS,
        check=True,
    )
    found: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    assert all(found.values()), "nothing was told, so nothing was tried"
    return found


@pytest.mark.parametrize(
    "entry", ["api", "worker", "db init", "settings", "init_db", "init_db, its argument", "get_db"]
)
def test_the_databases_password_is_not_told(entry: str, settings: Settings, tmp_path: Path) -> None:
    server = urlsplit(settings.database_url)
    cases = {
        name: {"DATABASE_URL": url.format(postgres=f"{server.hostname}:{server.port}{server.path}")}
        for name, url in DATABASES.items()
    }
    texts = told(entry, cases, tmp_path)
    assert {name: text for name, text in texts.items() if "s3cr3t" in text} == {}


@pytest.mark.parametrize("entry", ["api", "worker"])
def test_the_queues_password_is_not_told(entry: str, settings: Settings, tmp_path: Path) -> None:
    server = urlsplit(settings.redis_url)
    # A worker with a queue that cannot be reached works; it ends here for its database.
    database = settings.database_url if entry == "api" else "postgresql://me@127.0.0.1:1/x"
    cases = {
        name: {"REDIS_URL": url.format(redis=f"{server.hostname}:{server.port}/1"), "DATABASE_URL": database}
        for name, url in QUEUES.items()
    }
    texts = told(entry, cases, tmp_path)
    assert {name: text for name, text in texts.items() if "s3cr3t" in text} == {}
