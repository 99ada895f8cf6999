"""Documents that are derived from the code. `python -m tests.support.documents` writes them anew.

Tests compare the committed files with what is derived, so none of them can drift.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo
from tests.support.aws_page import PAGE, aws_page
from tests.support.reference import fields_table, metrics_page

from beta9_provisioning.schemas.configuration import json_schema
from beta9_provisioning.settings import Settings

ROOT = Path(__file__).parents[2]

_SETTINGS_HEAD = """\
# Configuration

Of the service first, then of [an environment](#an-environment).

## Settings of the service

Service and worker read these from the environment, or from a file `.env` in their working directory
(`.env.example` holds them all with their defaults). The environment goes first; an empty value means the
default. This page is derived from `src/beta9_provisioning/settings.py`.

| Name | Default | Meaning |
|---|---|---|
"""
_SETTINGS_TAIL = """
In `.env`, a value stands as it is: `$` is no reference. A file that cannot be read wholly stops the start,
and a name that resembles a setting's and is none is pointed out.

Before its first operation a worker checks its directory (made with mode 0700; nobody else's), 256 MiB of free
space there and in `TMPDIR`, its tools and their versions, the provider mirror, the charts, files of
certificates, its port and the AWS profile; what is wrong is told on standard error, and it ends with exit
code 1. A provider mirror with packed providers, or none, needs 1 GB more for each environment.

Without `CHART_SOURCE` a worker starts, says so, and refuses creates (`charts_not_configured`) before anything
is created. If the AWS endpoint (`AWS_ENDPOINT_URL`) is on loopback and answers as the simulator, the
stand-ins are taken that it names. Stand-ins in `CHART_SOURCE` are taken only if it answers so, on loopback or
under a name of one label, as containers of one network have them. They are installed into nothing else.

Terraform and Helm do not get the worker's environment, but the variables that
`engine/processes/child_variables.py` and `clouds/aws/terraform_variables.py` name: those of the machine, of
proxies and certificates (either case), of AWS's SDKs, and `HELM_REGISTRY_CONFIG`. `TF_*`, other `HELM_*`
and other `AWS_*` variables change nothing; the worker names them when it starts. Terraform's CLI
configuration is `TERRAFORM_CLI_CONFIG`.

The worker finds its cloud credentials the way every AWS SDK does (`AWS_PROFILE`, `AWS_ACCESS_KEY_ID`, a role
of the machine or pod). What it needs behind a proxy is in [proxy.md](proxy.md). The command line reads
`BETA9_PROVISIONING_URL` (address of the API), `BETA9_API_KEY`, `BETA9_CONTEXT`, `BETA9_ORGANIZATION` and
`BETA9_PLAIN_HTTP` ([authentication.md](authentication.md)).

## An environment

The configuration of an environment, as `POST /api/v1/environments` takes it in YAML or JSON
(`example-config.yaml` is one). Its JSON Schema, with all patterns and limits, is in
[schema/environment.json](schema/environment.json) and at `/api/v1/schema`.

"""
_ENV_HEAD = """\
# Settings of service and worker with their defaults; docs/configuration.md has them as a table.
# Copy this file to .env and change what differs. Variables of the environment go before it.
"""


def settings_page() -> str:
    """Return docs/configuration.md."""
    rows = [f"| `{name}` | {_code(value)} | {meaning} |\n" for name, value, meaning in _settings()]
    return _SETTINGS_HEAD + "".join(rows) + _SETTINGS_TAIL + fields_table()


def env_example() -> str:
    """Return .env.example."""
    lines = [f"\n# {meaning}\n{name}={value}\n" for name, value, meaning in _settings()]
    return _ENV_HEAD + "".join(lines)


def schema_file() -> str:
    """Return docs/schema/environment.json."""
    return json.dumps(json_schema(), indent=2) + "\n"


DOCUMENTS = {
    "docs/configuration.md": settings_page,
    ".env.example": env_example,
    "docs/schema/environment.json": schema_file,
    "docs/metrics.md": metrics_page,
    PAGE: aws_page,
}


def _settings() -> Iterator[tuple[str, str, str]]:
    for name, field in Settings.model_fields.items():
        assert field.description, f"the setting {name} has no docstring"
        yield name.upper(), _default(field), " ".join(field.description.split())


def _default(field: FieldInfo) -> str:
    value: Any = field.default
    if value is None:
        return ""
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


def _code(value: str) -> str:
    return f"`{value}`" if value else ""


def main() -> None:
    """Write every document."""
    for path, derive in DOCUMENTS.items():
        (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / path).write_text(derive())


if __name__ == "__main__":
    main()
