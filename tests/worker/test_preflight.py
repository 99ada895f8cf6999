"""What keeps a worker from starting is told to its operator at once, in a sentence that names the setting."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.operations.rows import make_environment, operation
from tests.support.simulated import ROOT
from tests.support.waiting import GUARD_SECONDS, until

from beta9_provisioning.kit.database import Sessions
from beta9_provisioning.kit.queue import ACTOR, Queue
from beta9_provisioning.local.tools import ensure_tools, find_terraform
from beta9_provisioning.settings import Settings
from beta9_provisioning.worker.preflight import ROOM_BYTES, problems

Change = Callable[[Path], dict[str, str]]


@pytest.fixture
def environment(settings: Settings, tmp_path: Path) -> dict[str, str]:
    """The variables of a worker that is fit for work."""
    (tmp_path / "charts").mkdir()
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(sys.path),
        "HOME": str(tmp_path),
        "DATABASE_URL": settings.database_url,
        "REDIS_URL": settings.redis_url,
        "WORKDIR_BASE": str(tmp_path / "work"),
        "CHART_SOURCE": str(tmp_path / "charts"),
        "WORKER_METRICS_PORT": "0",
        "TERRAFORM_BINARY": str(find_terraform()),
        "HELM_BINARY": str(ensure_tools(ROOT).helm),
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def program(directory: Path, text: str) -> str:
    path = directory / "program"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def work_of(directory: Path, make: Callable[[Path], object]) -> dict[str, str]:
    path = directory / "strange"
    make(path)
    return {"WORKDIR_BASE": str(path)}


def mirror_that_is_absent(directory: Path) -> dict[str, str]:
    config = directory / "terraform.rc"
    config.write_text(
        'provider_installation {\n  filesystem_mirror {\n    path = "/nonexistent/mirror"\n  }\n}\n'
    )
    return {"TERRAFORM_CLI_CONFIG": str(config)}


FAULTS: dict[str, tuple[Change, str]] = {
    "file": (
        lambda path: work_of(path, Path.touch),
        "WORKDIR_BASE is {}/strange, which cannot be written to",
    ),
    "no temporary directory": (
        lambda _: {"TMPDIR": "/no/tmp"},
        "TMPDIR is /no/tmp, which cannot be written to: No such file or directory.",
    ),
    "no terraform": (lambda _: {"TERRAFORM_BINARY": "/no/terraform"}, "TERRAFORM_BINARY is '/no/terraform'"),
    "old terraform": (
        lambda path: {"TERRAFORM_BINARY": program(path, "echo Terraform v1.9.8")},
        "TERRAFORM_BINARY is {}/program, which is Terraform 1.9.8; 1.11 or newer is needed.",
    ),
    "old tofu": (
        lambda path: {"TERRAFORM_BINARY": program(path, "echo OpenTofu v1.9.1")},
        "TERRAFORM_BINARY is {}/program, which is OpenTofu 1.9.1; 1.11 or newer is needed.",
    ),
    "broken terraform": (
        lambda path: {"TERRAFORM_BINARY": program(path, "echo no such library; exit 127")},
        "TERRAFORM_BINARY is '{}/program', which tells no version known here (exit code 127: no such",
    ),
    "old helm": (
        lambda path: {"HELM_BINARY": program(path, "echo v3.19.0+g3d8990f")},
        "HELM_BINARY is {}/program, which is Helm 3.19.0+g3d8990f",
    ),
    "no cli configuration": (
        lambda _: {"TERRAFORM_CLI_CONFIG": "/no/terraform.rc"},
        "TERRAFORM_CLI_CONFIG is /no/terraform.rc, which cannot be read: No such file or directory.",
    ),
    "no mirror": (mirror_that_is_absent, "whose provider mirror /nonexistent/mirror is no directory."),
    "no charts": (
        lambda _: {"CHART_SOURCE": "/no/charts"},
        "CHART_SOURCE is /no/charts, which is no",
    ),
    "no certificates": (
        lambda _: {"REQUESTS_CA_BUNDLE": "/no/ca.pem"},
        "REQUESTS_CA_BUNDLE is /no/ca.pem, which cannot be read: No such file or directory. Name a file with",
    ),
    "a file without a certificate": (
        lambda path: {"SSL_CERT_FILE": program(path, "")},
        "SSL_CERT_FILE is {}/program, which holds no certificate (PEM).",
    ),
    "no profile": (
        lambda _: {"AWS_PROFILE": "absent"},
        "AWS_PROFILE names the profile absent, which",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_machine_that_is_not_fit_is_told_to_the_operator_before_any_operation(
    environment: dict[str, str], tmp_path: Path, sessions: Sessions, queue: Queue, fault: str
) -> None:
    change, told = FAULTS[fault]
    waiting = make_environment(sessions).operation_id
    queue.send(ACTOR, waiting)
    ended = start(environment | change(tmp_path), tmp_path)
    assert ended.returncode == 1
    errors = [line for line in ended.stderr.splitlines() if not line.startswith("{")]
    assert [told.format(tmp_path) in line for line in errors if line.startswith("error: ")] == [True], errors
    assert len(errors) == 1
    assert operation(sessions, waiting).status == "queued"


def test_a_worker_whose_parts_are_empty_says_so_and_starts(settings: Settings, tmp_path: Path) -> None:
    """As in an image that was built where nothing could be fetched."""
    charts, mirror, config = (tmp_path / name for name in ("charts", "mirror", "terraform.rc"))
    charts.mkdir()
    mirror.mkdir()
    config.write_text(f'provider_installation {{\n  filesystem_mirror {{\n    path = "{mirror}"\n  }}\n}}\n')
    given = settings.model_copy(
        update={
            "chart_source": str(charts),
            "terraform_cli_config": config,
            "workdir_base": tmp_path / "work",
        }
    )

    def told() -> list[str]:
        found = [problem for problem in problems(given) if "docs/images.md" in problem.message]
        assert not any(problem.is_fatal for problem in found)
        return [problem.message.split(",")[0] for problem in found]

    assert told() == [f"CHART_SOURCE is {charts}", f"TERRAFORM_CLI_CONFIG names the provider mirror {mirror}"]
    (charts / "beta9").mkdir()
    (mirror / "registry.example.com").mkdir()
    assert told() == []


def test_the_guides_local_worker_ended_because_chart_source_was_not_set(
    environment: dict[str, str], tmp_path: Path, sessions: Sessions, queue: Queue
) -> None:
    """It starts, says what is missing, and refuses creates before anything is created."""
    waiting = make_environment(sessions).operation_id
    queue.send(ACTOR, waiting)
    log = tmp_path / "worker.log"
    with log.open("wb") as output:
        child = subprocess.Popen(
            worker(),
            env=environment | {"CHART_SOURCE": "", "CONTROL_PLANE_CIDRS": "203.0.113.0/24"},
            cwd=tmp_path,
            stdout=output,
            stderr=output,
        )
    try:
        until(lambda: operation(sessions, waiting).status == "failed", "the create is refused")
    finally:
        child.terminate()
        child.wait(GUARD_SECONDS)
    error = operation(sessions, waiting).error
    assert error is not None
    assert error["code"] == "charts_not_configured"
    assert "CHART_SOURCE is not set, and https://eks.us-east-1.amazonaws.com is not" in log.read_text()


@pytest.mark.parametrize("kind", ["directory", "link"])
def test_a_directory_of_another_user_is_not_used(
    environment: dict[str, str], tmp_path: Path, kind: str
) -> None:
    """Somebody else may have made it. In its user namespace the worker is root, and all others are 65534."""
    path = tmp_path / "strange"
    if os.geteuid() != 0:
        path = Path("/usr" if kind == "directory" else "/bin")
    elif kind == "directory":
        path.mkdir()
        os.chown(path, 12345, 12345)
    else:
        path.symlink_to(tmp_path)
        os.lchown(path, 12345, 12345)
    command = ["unshare", "--user", "--map-root-user", *worker()]
    ended = run(command, environment | {"WORKDIR_BASE": str(path)}, tmp_path)
    assert ended.returncode == 1
    assert f"WORKDIR_BASE is {path}, which belongs to another user (uid 65534)." in ended.stderr


def test_a_taken_metrics_port_is_told_by_its_settings(environment: dict[str, str], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = start(environment | {"WORKER_METRICS_PORT": str(port)}, tmp_path)
    assert ended.returncode == 1
    [error] = [line for line in ended.stderr.splitlines() if not line.startswith("{")]
    assert f"WORKER_METRICS_HOST and WORKER_METRICS_PORT name 127.0.0.1, port {port}" in error


def with_mount(script: str) -> list[str]:
    """A worker after a script that mounts a genuine file system, in a namespace of their own."""
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    return [*command, f'{script} && exec "$@"', "sh", *worker()]


def test_a_file_system_without_room_is_told(environment: dict[str, str], tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    script = f"mount -t tmpfs -o size={ROOM_BYTES // 2} none {small}"
    ended = run(with_mount(script), environment | {"WORKDIR_BASE": str(small)}, tmp_path)
    assert ended.returncode == 1
    assert f"WORKDIR_BASE is {small}, where 128 MiB are free; a worker needs 256 MiB." in ended.stderr


def test_a_full_directory_for_temporary_files_is_told_though_others_have_room(
    environment: dict[str, str], tmp_path: Path
) -> None:
    full = tmp_path / "full"
    full.mkdir()
    script = f"mount -t tmpfs -o size=4k none {full} && head -c 4096 /dev/zero > {full}/file"
    ended = run(with_mount(script), environment | {"TMPDIR": str(full)}, tmp_path)
    assert ended.returncode == 1
    assert f"TMPDIR is {full}, which cannot be written to: No space left on device." in ended.stderr


def test_a_machine_where_nothing_can_be_written_is_told_in_sentences(
    environment: dict[str, str], tmp_path: Path
) -> None:
    ended = run(["sh", "-c", 'ulimit -f 0; exec "$@"', "sh", *worker()], environment, tmp_path)
    assert ended.returncode == 1
    told = [line for line in ended.stderr.splitlines() if not line.startswith("{")]
    assert told[0] == f"error: WORKDIR_BASE is {tmp_path}/work, which cannot be written to: File too large."
    assert told[1].startswith("TMPDIR is not set, and none of the usual directories")
    assert "Traceback" not in ended.stderr


def test_the_directory_is_made_for_nobody_else(tmp_path: Path, settings: Settings) -> None:
    made = settings.model_copy(update={"workdir_base": tmp_path / "a" / "b"})
    list(problems(made))
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700


def worker() -> list[str]:
    return [sys.executable, "-m", "beta9_provisioning.worker"]


def start(environment: dict[str, str], directory: Path) -> subprocess.CompletedProcess[str]:
    return run(worker(), environment, directory)


def run(command: list[str], environment: dict[str, str], directory: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, env=environment, cwd=directory, capture_output=True, text=True, timeout=120, check=False
    )
