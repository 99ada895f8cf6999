"""What must be right on this machine before a worker takes its first operation.

A fault here is the operator's: told once, at the start, instead of to every customer as a failed operation.
"""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from beta9_provisioning.clouds.cloud import Cloud, WorkerProblem
from beta9_provisioning.clouds.registry import CLOUDS, child_variables
from beta9_provisioning.engine.processes.child_variables import HELM, SET_FOR_TERRAFORM, chosen
from beta9_provisioning.kit import certificates
from beta9_provisioning.kit.temporary import temporary_directory
from beta9_provisioning.operations.run.charts import ChartsNotConfigured, chart_source
from beta9_provisioning.operations.run.context import child_environment
from beta9_provisioning.settings import Settings

ROOM_BYTES = 256 * 1024 * 1024
"""Least free space at the start: four operations at once with an unpacked provider mirror, amply. One takes
7 MB of temporary files for its synthesis, and some MB for Terraform's log and Helm's charts."""

_VERSION_SECONDS = 60
_TERRAFORM = re.compile(r"^(?P<name>Terraform|OpenTofu) v(?P<version>(\d+)\.(\d+)\S*)", re.MULTILINE)
_LEAST = {"Terraform": (1, 11), "OpenTofu": (1, 11)}
_HELM = re.compile(r"^v(?P<version>(\d+)\.\S+)", re.MULTILINE)
_MIRROR = re.compile(r'\bfilesystem_mirror"?\s*[:=]?\s*\[?\s*\{[^}]*?\bpath"?\s*[:=]\s*"(?P<path>[^"]+)"')


def problems(settings: Settings) -> list[WorkerProblem]:
    """Return what is wrong, one sentence each that names the setting."""
    fatal = [
        *_directory(settings.workdir_base),
        *_temporary(),
        *certificates.faults(os.environ),
        *_tools(settings),
        *_charts(settings.chart_source),
    ]
    told = [WorkerProblem(sentence, is_fatal=True) for sentence in fatal]
    told += [WorkerProblem(sentence, is_fatal=False) for sentence in _empty(settings)]
    for cloud in CLOUDS.values():
        told.extend(cloud.worker_problems())
        told.extend(_charts_of(cloud, settings))
    return told


def _directory(path: Path) -> Iterator[str]:
    """Make the working directory if it is absent; it must be nobody else's, and have room."""
    try:
        path.mkdir(parents=True, mode=0o700, exist_ok=True)
        # A link or directory of another user could lead our files, secrets among them, anywhere. Root is
        # trusted: volumes of containers are its.
        owners = {path.lstat().st_uid, path.stat().st_uid} - {os.geteuid(), 0}
        if owners:
            yield (
                f"WORKDIR_BASE is {path}, which belongs to another user (uid {owners.pop()}). "
                "Set it to a directory of your own."
            )
            return
    except OSError as error:
        yield _not_writable("WORKDIR_BASE", path, error)
        return
    yield from _room("WORKDIR_BASE", path)


def _temporary() -> Iterator[str]:
    try:
        yield from _room("TMPDIR", temporary_directory())
    except OSError:
        yield "TMPDIR is not set, and none of the usual directories for temporary files can be written to."


def _room(name: str, place: Path) -> Iterator[str]:
    """Write there, and see that there is room for more."""
    try:
        with tempfile.TemporaryFile(dir=place) as file:
            file.write(b"\0")
            file.flush()
        free = shutil.disk_usage(place).free
    except OSError as error:
        yield _not_writable(name, place, error)
        return
    if free < ROOM_BYTES:
        yield (
            f"{name} is {place}, where {_mib(free)} are free; a worker needs {_mib(ROOM_BYTES)}. "
            "Free some, or name another file system."
        )


def _not_writable(name: str, place: Path, error: OSError) -> str:
    return f"{name} is {place}, which cannot be written to: {error.strerror}."


def _mib(size: int) -> str:
    return f"{size // 2**20} MiB"


def _tools(settings: Settings) -> Iterator[str]:
    yield from _provider_mirror(settings.terraform_cli_config)
    environment = child_environment(os.environ, settings, child_variables()) | SET_FOR_TERRAFORM
    answer = _ask(settings.terraform_binary, ["version"], environment)
    if (found := _TERRAFORM.search(answer)) is None:
        yield _no_tool("TERRAFORM_BINARY", settings.terraform_binary, answer)
    elif tuple(map(int, found.group(3, 4))) < _LEAST[found["name"]]:
        least = ".".join(map(str, _LEAST[found["name"]]))
        yield (
            f"TERRAFORM_BINARY is {settings.terraform_binary}, which is {found['name']} {found['version']}; "
            f"{least} or newer is needed."
        )
    answer = _ask(settings.helm_binary, ["version", "--short"], chosen(os.environ, HELM))
    if (found := _HELM.search(answer)) is None:
        yield _no_tool("HELM_BINARY", settings.helm_binary, answer)
    elif int(found[2]) < 4:
        yield f"HELM_BINARY is {settings.helm_binary}, which is Helm {found['version']}; 4 is the least."


def _ask(program: str, arguments: list[str], environment: dict[str, str]) -> str:
    """Return what a tool says of its version, or why it says nothing."""
    path = shutil.which(program, path=environment.get("PATH", ""))
    if path is None:
        return "there is no such executable"
    try:
        done = subprocess.run(
            [path, *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_VERSION_SECONDS,
            text=True,
            errors="replace",
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return (
        done.stdout
        if done.returncode == 0
        else f"exit code {done.returncode}: {' '.join(done.stdout.split())}"
    )


def _no_tool(setting: str, program: str, answer: str) -> str:
    return (
        f"{setting} is {program!r}, which tells no version known here ({answer.strip()[:500]}). "
        f"Install it, or set {setting}."
    )


def _provider_mirror(config: Path | None) -> Iterator[str]:
    try:
        for mirror in _mirrors(config):
            if not mirror.is_dir():
                yield f"TERRAFORM_CLI_CONFIG is {config}, whose provider mirror {mirror} is no directory."
    except OSError as error:
        yield f"TERRAFORM_CLI_CONFIG is {config}, which cannot be read: {error.strerror}."


def _mirrors(config: Path | None) -> list[Path]:
    """Return the provider mirrors that Terraform's CLI configuration names.

    Raises:
        OSError: it cannot be read.
    """
    text = config.read_text(encoding="utf-8", errors="replace") if config else ""
    return [Path(found["path"]) for found in _MIRROR.finditer(text)]


def _charts(source: str) -> Iterator[str]:
    if source and not source.startswith("oci://") and not Path(source).is_dir():
        yield f"CHART_SOURCE is {source}, which is no directory. Name one, or an oci:// prefix."


def _empty(settings: Settings) -> Iterator[str]:
    """Tell of directories without anything in them, as images have them that were built with stand-ins."""
    without = "so every operation will fail that needs them. docs/images.md says how they get into an image."
    charts = settings.chart_source and Path(settings.chart_source)
    with suppress(OSError):  # what cannot be read is told as such
        if charts and charts.is_dir() and not any(charts.iterdir()):
            yield f"CHART_SOURCE is {charts}, which holds no charts, {without}"
        for mirror in _mirrors(settings.terraform_cli_config):
            if mirror.is_dir() and not any(path.is_dir() for path in mirror.iterdir()):
                yield f"TERRAFORM_CLI_CONFIG names the provider mirror {mirror}, which holds none, {without}"


def _charts_of(cloud: Cloud, settings: Settings) -> Iterator[WorkerProblem]:
    """Tell of missing charts, and of stand-ins that are taken in their place. Deletes need no charts."""
    region = next(iter(settings.allowed_regions), "")  # an endpoint that is set is the same in all
    try:
        source = chart_source(settings, cloud, region)
    except ChartsNotConfigured as error:
        told = f"{error.detail} Creates are refused ({error.code}). {error.remedy}"
    else:
        if settings.chart_source:
            return
        told = (
            f"CHART_SOURCE is not set; the endpoint is the simulator, whose stand-ins in {source} are taken."
        )
    yield WorkerProblem(told, is_fatal=False)
