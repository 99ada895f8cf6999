"""The environment variables of the local stack's processes, and of its users' shells.

They are made from nothing but a few harmless variables, so that the stack can never act on a real account: no
AWS or Terraform variable, profile or credentials file of the user gets in.
"""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from beta9_provisioning.local.ports import HOST
from beta9_provisioning.settings import Settings
from beta9_simulator.handle import Simulator

_KEPT = ("HOME", "LANG", "LC_ALL", "TMPDIR", "TZ", "USER")
_REGION = "us-east-1"


@dataclass(frozen=True)
class Programs:
    """The programs of the stack: the worker starts the first two, kubectl is for its users."""

    terraform: Path
    helm: Path
    kubectl: Path


def base(programs: Programs) -> dict[str, str]:
    """Return what every process of the stack gets; settings of this program that the user set are kept."""
    settings = {name.upper() for name in Settings.model_fields}
    kept = {name: os.environ[name] for name in os.environ if name in settings or name in _KEPT}
    return {**kept, "PATH": _path(programs), "PYTHONUNBUFFERED": "1"}


def cloud(simulator: Simulator) -> dict[str, str]:
    """Return what leads AWS clients into the simulated cloud, and nowhere else."""
    return {
        "AWS_ENDPOINT_URL": simulator.aws_url,
        "AWS_ACCESS_KEY_ID": simulator.access_key,
        "AWS_SECRET_ACCESS_KEY": simulator.secret_key,
        "AWS_DEFAULT_REGION": _REGION,
        "AWS_REGION": _REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }


def api(common: Mapping[str, str], *, database_url: str, redis_url: str) -> dict[str, str]:
    """Return the API's environment, without its port."""
    return {
        **common,
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "API_HOST": HOST,
        "AUTH_MODE": "none",
    }


def worker(
    common: Mapping[str, str],
    simulator: Simulator,
    programs: Programs,
    *,
    database_url: str,
    redis_url: str,
    directory: Path,
) -> dict[str, str]:
    """Return the worker's environment, without its port; its work goes to a folder of `directory`."""
    return {
        **common,
        **cloud(simulator),
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "WORKDIR_BASE": str(directory / "work"),
        "WORKER_METRICS_HOST": HOST,
        "CHART_SOURCE": simulator.charts,
        "TERRAFORM_BINARY": str(programs.terraform),
        "TERRAFORM_CLI_CONFIG": simulator.terraform_cli_config,
        "HELM_BINARY": str(programs.helm),
        "S3_PATH_STYLE": "true",
        # Of a range that is for examples; nobody comes from there, and the simulator lets workers in.
        "CONTROL_PLANE_CIDRS": "203.0.113.0/24",
    }


def user(api_url: str, simulator: Simulator, programs: Programs) -> dict[str, str]:
    """Return what a shell needs so that this program, kubectl and AWS clients act on the stack."""
    return {
        "BETA9_PROVISIONING_URL": api_url,
        # A key or context of another service has nothing to do here.
        "BETA9_API_KEY": "",
        "BETA9_CONTEXT": "",
        **cloud(simulator),
        "PATH": _path(programs),
    }


def _path(programs: Programs) -> str:
    # This program, which kubectl calls for a token, is installed beside the interpreter.
    folders = [
        str(Path(sys.executable).parent),
        str(programs.kubectl.parent),
        os.environ.get("PATH", os.defpath),
    ]
    return os.pathsep.join(folders)
