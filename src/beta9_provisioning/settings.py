"""Settings of the service and the worker, read from the environment or `.env` at entry points only."""

import os
import re
import sys
from collections.abc import Callable, Collection
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import unquote

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from beta9_provisioning.kit import database_url, redis_url
from beta9_provisioning.kit.collector import Collector, Sampler
from beta9_provisioning.kit.dotenv import DotenvError, read_dotenv
from beta9_provisioning.kit.misspelt import misspelt
from beta9_provisioning.kit.networks import is_inside

_ENV_FILE = ".env"
# `*`, a name, one with `*.` before it, or an address; IPv6 without brackets.
_HOST = re.compile(r"\*|(\*\.)?[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?|[0-9a-f:.]*:[0-9a-f:.]*:[0-9a-f:.]*")
_LOOPBACK = IPv4Network("127.0.0.1")
_HTTP_URL = re.compile(r"https?://[^/\s?#]+(/(?!.*v1/traces/?$)[^\s?#]*)?")
_HEADER = re.compile(r"[ \t]*[!#$%&'*+.^_`|~0-9A-Za-z-]+[ \t]*=(?P<value>[\x20\x21\x23-\x7e]*)")
# How near a name must be to that of a setting: in the environment, which is everybody's, and in our own file.
CLOSE_IN_ENVIRONMENT = 0.885
CLOSE_IN_FILE = 0.75


class Settings(BaseSettings):
    """One class for all settings. The name in the environment is the field's name in capitals."""

    model_config = SettingsConfigDict(
        extra="ignore",
        frozen=True,
        use_attribute_docstrings=True,
        env_ignore_empty=True,
        hide_input_in_errors=True,
    )

    database_url: str = "postgresql://postgres:postgres@localhost:5432/provisioning"
    """PostgreSQL 15 or newer: the truth about every environment. A URI of libpq, with its parameters."""
    migration_database_url: str = ""
    """The same database for `db init`, with a role that owns its tables; unset: DATABASE_URL."""
    redis_url: str = "redis://localhost:6379/0"
    """Redis 7 or Valkey, redis:// or rediss://: the queue, which may be lost without losing work."""
    workdir_base: Path = Path("/tmp/beta9-provisioning")  # noqa: S108  the deployment guide's default
    """Directory for synthesized infrastructure and Terraform's working files, one folder an environment."""
    max_environments_per_user: Annotated[int, Field(ge=1)] = 10
    """Live environments one user may have."""
    auth_mode: Literal["required", "none"] = "required"
    """`required`: every caller needs an API key or a token. `none`, for a machine of one's own: whoever
    reaches the API may do everything."""
    auth_none_anywhere: bool = False
    """Let AUTH_MODE=none listen on addresses that are not loopback."""
    oidc_issuer: str = ""
    """URL of an OIDC issuer whose tokens let in, as it stands in its tokens; unset: API keys only."""
    oidc_audience: str = ""
    """Audience that tokens of the issuer must be for."""
    oidc_client_id: str = ""
    """Client of the issuer with which the command line logs in; unset: it logs in by keys only."""
    oidc_member_claim: str = "sub"
    """Claim of a token that holds the member's `subject`; an `email` must be verified."""
    outgoing_allowed_networks: Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode] = ()
    """Networks (CIDR), comma-separated, that requests to addresses given from outside may reach although they
    are private, such as 10.1.0.0/16 for an issuer within."""
    metrics_token: str = ""
    """Bearer token that the API's /metrics asks for; unset: it is open. A secret."""
    rate_limit_per_caller: Annotated[int, Field(ge=0)] = 1200
    """Requests a minute that one caller may make; 0 is no limit."""
    rate_limit_per_address: Annotated[int, Field(ge=0)] = 6000
    """Requests a minute that may come from one address; 0 is no limit."""
    rate_limit_failures_per_address: Annotated[int, Field(ge=0)] = 60
    """Requests a minute without a valid key or token that may come from one address; 0 is no limit."""
    rate_limit_without_redis: Literal["open", "closed"] = "open"
    """What limits do when Redis is away: `open` lets everything pass, `closed` nothing."""
    audit_signing_key_file: Path | None = None
    """File with an Ed25519 key (PEM) by which workers sign the heads of the audit log; unset: nobody does."""
    audit_signing_seconds: Annotated[float, Field(gt=0)] = 3600.0
    """Seconds between two signatures of the audit log of an organization."""
    allowed_regions: Annotated[tuple[str, ...], NoDecode] = (
        "us-east-1",
        "us-east-2",
        "us-west-2",
        "eu-west-1",
        "eu-central-1",
        "ap-southeast-1",
        "ap-northeast-1",
    )
    """Regions in which environments may be created, comma-separated."""
    max_streams_per_address: Annotated[int, Field(ge=0)] = 500
    """Event streams one client address may have at the same time in one process; 0 is no limit."""
    max_streams_per_caller: Annotated[int, Field(ge=0)] = 100
    """Event streams one caller may have at the same time in one process; 0 is no limit."""
    max_connections: Annotated[int, Field(ge=20)] = 2000
    """Connections open at the same time in one process; nine in ten of them may be requests and streams."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """Least severe level that is logged of this program; libraries log warnings only."""
    log_format: Literal["json", "console"] = "json"
    """`json` for log collectors, `console` for people."""
    otel_exporter_otlp_endpoint: str = ""
    """URL of the OpenTelemetry collector that takes traces over HTTP, such as http://collector:4318; unset:
    no traces are made."""
    otel_exporter_otlp_headers: str = ""
    """Headers of requests to the collector: name=value, comma-separated, percent-encoded; often a secret."""
    otel_service_name: str = ""
    """Name of this process in traces; unset: provisioning-api, provisioning-worker."""
    otel_traces_sampler: Sampler = "parentbased_always_on"
    """Which traces are sent. With `parentbased_` a caller's traceparent decides, where there is one."""
    otel_traces_sampler_arg: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Share of the traces that the samplers `traceidratio` and `parentbased_traceidratio` send."""
    api_host: str = "127.0.0.1"
    """Address the API listens on."""
    api_port: Annotated[int, Field(ge=0, le=65535)] = 8000
    """Port the API listens on."""
    api_processes: Annotated[int, Field(ge=1, le=32)] = 1
    """Processes that serve the API on its port. Each takes up to 26 connections of the database."""
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = ()
    """Names under which the API answers, comma-separated, without ports: `*.example.com` is all below it, `*`
    any. Loopback names are always taken. Unset: no others when API_HOST is loopback, and otherwise any."""
    forwarded_allow_ips: Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode] = (_LOOPBACK,)
    """Addresses and networks (CIDR) of proxies, comma-separated, whose `X-Forwarded-For` says from which
    client a request comes; limits count by it."""
    worker_threads: Annotated[int, Field(ge=1, le=64)] = 4
    """Operations one worker runs at the same time."""
    max_running_operations_per_user: Annotated[int, Field(ge=0)] = 0
    """Operations of one user that run at the same time, on all workers together; the others wait. 0 is no
    limit: whoever has fewer running goes first anyway."""
    worker_metrics_host: str = "127.0.0.1"
    """Address of the worker's own /metrics."""
    worker_metrics_port: Annotated[int, Field(ge=0, le=65535)] = 9101
    """Port of the worker's own /metrics; 0 turns it off."""
    lease_seconds: Annotated[float, Field(ge=2)] = 55.0
    """Seconds after its last heartbeat at which a silent worker's operation is taken from it."""
    shutdown_seconds: Annotated[float, Field(gt=0)] = 120.0
    """Longest time a worker that is told to end waits for Terraform and Helm to stop, so that it can hand its
    operations back. They are given a third of a lease each."""
    event_retention_days: Annotated[int, Field(ge=0)] = 0
    """Days after which workers delete the details of events; summaries stay, and 0 keeps everything."""
    backup_recipients: Annotated[tuple[str, ...], NoDecode] = ()
    """Public keys of age (`age1...`), comma-separated, for which backups are encrypted; without one they are
    not."""
    backup_identity_file: Path | None = None
    """File with the secret key of age for `restore`, as `age-keygen` writes it."""
    pg_bin: Path | None = None
    """Directory of pg_dump and pg_restore, of your server's major version; none takes them from PATH."""
    reconcile_seconds: Annotated[float, Field(gt=0)] = 2.0
    """Seconds between two rounds of the reconciler."""
    terraform_binary: str = "terraform"
    """Terraform 1.11+ or OpenTofu 1.11+: a name on PATH or a path."""
    terraform_cli_config: Path | None = None
    """Terraform CLI configuration that names the provider mirror; none uses Terraform's own defaults."""
    helm_binary: str = "helm"
    """Helm 4: a name on PATH or a path."""
    chart_source: str = ""
    """Where the pinned charts are: a directory, or an oci:// prefix of your own registry. Without it creates
    are refused, unless the AWS endpoint is the simulator, which has stand-ins."""
    ingress_controller: Literal["traefik"] = "traefik"
    """Ingress controller that is installed into every cluster (ADR 1)."""
    s3_path_style: bool = False
    """Address S3 buckets by path, for S3 endpoints without wildcard names."""
    control_plane_cidrs: Annotated[tuple[IPv4Network, ...], NoDecode] = ()
    """Networks (CIDR), comma-separated, from which the workers reach the internet: the Kubernetes APIs of
    environments are open to them, and to what a configuration's `cluster.api.public_from` names."""
    queue_timeout_minutes: Annotated[float, Field(gt=0)] = 1440.0
    """Longest time an operation may wait for a worker to begin it; then it fails as `queue_timeout`. A day:
    workers that were away for a night begin all that waited."""
    operation_timeout_minutes: Annotated[float, Field(gt=0)] = 480.0
    """Longest time an operation may take from when a worker first began it, over all its attempts; then it is
    stopped and fails as `operation_timeout`."""
    plan_timeout_minutes: Annotated[float, Field(gt=0)] = 60.0
    """Longest time an attempt may take to prepare: access, state and its lock, what an earlier attempt left,
    the plan; then it is stopped and fails as `plan_timeout`."""
    apply_timeout_minutes: Annotated[float, Field(gt=0)] = 90.0
    """Longest time one Terraform apply or destroy may take."""
    bootstrap_timeout_minutes: Annotated[float, Field(gt=0)] = 30.0
    """Longest time the bootstrap of a cluster may take."""
    destroy_timeout_minutes: Annotated[float, Field(gt=0)] = 360.0
    """Longest time an attempt at a destroy may take, its runs of Terraform and its waits together; then it is
    stopped and fails as `destroy_timeout`."""
    drain_timeout_minutes: Annotated[float, Field(gt=0)] = 10.0
    """Longest time a destroy waits for a cluster to give up load balancers and volumes, before it deletes
    them in the cloud; and then for what holds its network."""
    leftover_grace_seconds: Annotated[float, Field(ge=0)] = 180.0
    """How long a destroy waits for the cloud to forget what was deleted, before it calls it left over."""

    @field_validator(
        "allowed_regions",
        "allowed_hosts",
        "backup_recipients",
        "outgoing_allowed_networks",
        "forwarded_allow_ips",
        "control_plane_cidrs",
        mode="before",
    )
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("control_plane_cidrs")
    @classmethod
    def _seen_from_outside(cls, value: tuple[IPv4Network, ...]) -> tuple[IPv4Network, ...]:
        if any(is_inside(network) for network in value):
            raise ValueError("must be addresses that the internet sees, such as those of a NAT gateway")
        return value

    @field_validator("allowed_hosts")
    @classmethod
    def _host_names(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        names = tuple(name.lower().removesuffix(".") for name in value)
        if not all(_HOST.fullmatch(name) for name in names):
            raise ValueError("must be host names without scheme, port and path, such as api.example.com")
        return names

    @field_validator("otel_exporter_otlp_endpoint")
    @classmethod
    def _http_url(cls, value: str) -> str:
        if value and not _HTTP_URL.fullmatch(value):
            raise ValueError("must be a URL such as http://collector:4318, without /v1/traces")
        return value

    @field_validator("otel_exporter_otlp_headers")
    @classmethod
    def _headers(cls, value: str) -> str:
        # The SDK would log what it cannot read, secret or not.
        for part in filter(str.strip, value.split(",")):
            found = _HEADER.fullmatch(part)
            decoded = unquote(found["value"]) if found else "\0"
            if not (decoded.isascii() and decoded.isprintable()):
                raise ValueError("must be name=value, comma-separated, with what is special percent-encoded")
        return value

    @field_validator("database_url", "migration_database_url")
    @classmethod
    def _postgresql(cls, value: str) -> str:
        if value:
            database_url.parse(value)
        return value

    @field_validator("redis_url")
    @classmethod
    def _redis(cls, value: str) -> str:
        redis_url.check(value)
        return value

    def collector(self, service: str) -> Collector:
        """Return where traces go; `service` is whose they are unless a setting says so."""
        return Collector(
            self.otel_exporter_otlp_endpoint,
            self.otel_exporter_otlp_headers,
            self.otel_service_name or service,
            self.otel_traces_sampler,
            self.otel_traces_sampler_arg,
        )


class SettingsError(Exception):
    """A setting has a value that cannot be used; the message names it."""


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """Return the settings of this process, read once.

    Raises:
        SettingsError: with one line for each setting that is wrong. Values are not told: they may be secrets.
    """
    try:
        # Not by pydantic's own reader, which interpolates and leaves out what it cannot read.
        return Settings(**_values_of_file(Settings.model_fields))
    except DotenvError as error:
        raise SettingsError(str(error)) from None
    except ValidationError as error:
        wrong = [f"{str(one['loc'][0]).upper()}: {one['msg']}" for one in error.errors()]
        raise SettingsError("\n".join(["Settings could not be read.", *wrong])) from None


def _values_of_file(fields: Collection[str]) -> dict[str, Any]:
    """Return what `.env` says of the fields, without those that the environment has."""
    in_environment = {name.lower() for name, value in os.environ.items() if value}
    wanted = set(fields) - in_environment
    values = {name.lower(): value for name, value in read_dotenv(Path(_ENV_FILE)).items() if value}
    return {name: value for name, value in values.items() if name in wanted}


def likely_misspelt() -> list[str]:
    """Return one sentence for each name in the environment or `.env` that resembles a setting's."""
    known = [name.upper() for name in Settings.model_fields]
    places = (
        ("the environment", os.environ, CLOSE_IN_ENVIRONMENT),
        (str(Path(_ENV_FILE).absolute()), read_dotenv(Path(_ENV_FILE)), CLOSE_IN_FILE),
    )
    return [
        f"{name} in {place} is no setting of this program; {likely} is one."
        for place, given, closeness in places
        for name, likely in misspelt(given, known, closeness=closeness).items()
    ]


def run_or_explain(main: Callable[[Settings], int]) -> int:
    """Run a process's main function with the settings; tell on standard error when they are wrong."""
    try:
        settings = get_settings()
    except SettingsError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 2
    for sentence in likely_misspelt():
        print(f"warning: {sentence}", file=sys.stderr)  # noqa: T201
    return main(settings)
