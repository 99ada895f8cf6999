"""What an operator sees of a `.env` with a fault, and of a name with one letter wrong."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from beta9_provisioning.kit.misspelt import misspelt
from beta9_provisioning.settings import CLOSE_IN_ENVIRONMENT, Settings

KNOWN = [name.upper() for name in Settings.model_fields]
# Prints one setting, after what an operator is told.
PROGRAM = (
    "import sys; from beta9_provisioning.settings import run_or_explain; "
    "sys.exit(run_or_explain(lambda settings: print(settings.database_url) or 0))"
)
OTHERS = """
    PATH HOME LANG TERM SHELL PWD OLDPWD USER LOGNAME HOSTNAME TMPDIR DISPLAY EDITOR PYTHONPATH VIRTUAL_ENV
    PORT HOST LOG_FILE LOG_DIR LOG_PATH HTTP_PORT APP_PORT APP_HOST WEB_PORT DB_URL DB_HOST DATABASE_NAME
    DATABASE_USER DATABASE_HOST DATABASE_PASSWORD PGHOST PGUSER PGPASSWORD REDIS_HOST REDIS_PASSWORD
    REDIS_SERVICE_HOST REDIS_PORT POSTGRES_PORT KUBERNETES_SERVICE_HOST KUBERNETES_PORT API_SERVICE_PORT
    API_PORT_8000_TCP API_KEY API_URL API_TOKEN AWS_REGION AWS_PROFILE AWS_DEFAULT_REGION TF_LOG TF_CLI_ARGS
    TF_CLI_CONFIG_FILE HELM_HOME HELM_BIN HELM_DRIVER TERRAFORM_VERSION WORKERS WORKDIR WORKER_ID WORKER_COUNT
    CI GITHUB_ACTIONS BETA9_PROVISIONING_URL
"""
URL = "postgresql://u:pa${HOME}ss$word@h/d"


def start(directory: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path), "HOME": "/root"} | variables
    return subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=directory, env=env, capture_output=True, text=True, check=False
    )


def test_a_password_with_a_dollar_is_taken_as_it_is(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(f"DATABASE_URL={URL}\n")
    started = start(tmp_path)
    assert (started.stdout, started.stderr) == (f"{URL}\n", "")


def test_the_environment_goes_before_the_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("DATABASE_URL=postgresql://file\n")
    assert start(tmp_path, DATABASE_URL="postgresql://variable").stdout == "postgresql://variable\n"


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda path: path.write_bytes(b"LOG_LEVEL=\xff\xfe\n"), "is not UTF-8."),
        (lambda path: path.write_text("# ours\n\nDATABASE_URL postgresql://u:secret@h\n"), "line 3, is not"),
        (lambda path: path.write_text("A=1\nDATABASE_URL='postgresql://u:secret\n"), "line 2, is not"),
        (lambda path: path.mkdir(), "is a directory."),
        (lambda path: path.symlink_to(path.name), "cannot be read:"),
    ],
    ids=["not UTF-8", "no equals sign", "open quote", "directory", "unreadable"],
)
def test_a_fault_of_the_file_is_one_line_with_its_path(
    tmp_path: Path, make: Callable[[Path], object], told: str
) -> None:
    make(tmp_path / ".env")
    started = start(tmp_path)
    assert started.returncode == 2
    [line] = started.stderr.splitlines()
    assert line.startswith(f"error: {tmp_path}/.env")
    assert told in line
    assert "secret" not in line


def test_a_misspelt_name_is_pointed_out(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("WORKDIR=/somewhere\nMAX_ENVIRONMENT_PER_USER=3\nAWS_PROFILE=x\n")
    started = start(tmp_path, DATABSE_URL="postgresql://u:secret@h", LOGLEVEL="DEBUG")
    assert started.returncode == 0
    assert started.stderr.splitlines() == [
        "warning: DATABSE_URL in the environment is no setting of this program; DATABASE_URL is one.",
        "warning: LOGLEVEL in the environment is no setting of this program; LOG_LEVEL is one.",
        f"warning: MAX_ENVIRONMENT_PER_USER in {tmp_path}/.env is no setting of this program; "
        "MAX_ENVIRONMENTS_PER_USER is one.",
    ]


def test_variables_of_others_are_not_pointed_out() -> None:
    others = OTHERS.split()
    assert misspelt(others, KNOWN, closeness=CLOSE_IN_ENVIRONMENT) == {}
