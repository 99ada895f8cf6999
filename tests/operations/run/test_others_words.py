"""What others say, NUL, half letters and megabytes included, ends an operation as anything else does."""

import base64
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.operations.rows import events
from tests.operations.run.provisions import Provision
from tests.support.http_servers import QuietHandler, answering_with
from tests.support.waiting import GUARD_SECONDS

from beta9_provisioning.clouds.aws.session import AwsSession
from beta9_provisioning.engine.errors import EngineError
from beta9_provisioning.engine.helm.helm import Helm
from beta9_provisioning.engine.helm.release import Release
from beta9_provisioning.engine.kubernetes.access import ClusterAccess, Token
from beta9_provisioning.engine.kubernetes.api import KubernetesApi
from beta9_provisioning.engine.terraform.terraform import Terraform
from beta9_provisioning.kit.database import Sessions, transaction
from beta9_provisioning.lifecycle import OperationStatus
from beta9_provisioning.operations.records.model import EnvironmentRow
from beta9_provisioning.operations.run.context import Context
from beta9_provisioning.operations.run.narration import Narrator
from beta9_simulator.cluster.certificates import server_context

SAID = "the quota \0 was \ud800 exceeded"
READ = "the quota \ufffd was \ufffd exceeded"
FAKES = Path(__file__).parents[2] / "engine" / "terraform" / "fakes"
ROLE = """<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>
<AccessKeyId>ASIA</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken>
<Expiration>2126-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"""


@pytest.fixture
def provision(sessions: Sessions, tmp_path: Path) -> Provision:
    return Provision(sessions, tmp_path)


@contextmanager
def refusing(document: dict[str, Any]) -> Iterator[str]:
    """Run a server that refuses every request with a JSON document, and lets everybody be every role."""

    class Handler(QuietHandler):
        def _answer(self) -> None:
            asked = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            is_role = b"AssumeRole" in asked
            self.send_response(200 if is_role else 403)
            self.send_header("x-amzn-errortype", "QuotaException")
            self.end_headers()
            self.wfile.write(ROLE.encode() if is_role else json.dumps(document).encode())

        do_GET = do_POST = _answer

    with answering_with(Handler) as url:
        yield url


def terraform(context: Context) -> None:
    """A diagnostic of Terraform: its JSON writes NUL as `\\u0000`."""
    body = {"severity": "error", "summary": "It broke", "detail": SAID, "address": f"aws_vpc.{SAID}"}
    line = json.dumps({"type": "diagnostic", "@level": "error", "@message": SAID, "diagnostic": body})
    env = {"PATH": os.environ["PATH"], "FAKE": "diagnostic", "FAKE_DIAGNOSTIC": line}
    Terraform(
        binary=FAKES / "terraform",
        directory=context.settings.workdir_base,
        env=env,
        stop=context.stop.event,
        on_event=Narrator(context.recorder, "Creating").take,
    ).apply(GUARD_SECONDS)


def helm(context: Context) -> None:
    """A line of Helm, whose bytes may be anything."""
    program = context.settings.workdir_base / "helm"
    program.write_text("#!/bin/sh\nprintf 'Error: the quota \\000 was \\377 exceeded' >&2; exit 1\n")
    program.chmod(0o755)
    Helm(
        binary=program,
        directory=program.parent,
        kubeconfig=lambda: "{}",
        env=os.environ,
        stop=context.stop.event,
        chart_source="oci://charts.example",
    ).install(Release("beta9", "beta9", "beta9", "1.0.0", {}, 60))


def webhook(context: Context) -> None:
    """The refusal of an admission webhook in a customer's cluster."""
    authority, _ = server_context("127.0.0.1")
    token = Token("t", datetime.now(UTC) + timedelta(minutes=14))
    with refusing({"kind": "Status", "reason": "Forbidden", "message": SAID}) as url:
        access = ClusterAccess("c", url, base64.b64encode(authority.encode()).decode(), lambda: token)
        api = KubernetesApi(access, context.stop.event)
        try:
            api.call("POST", "/api/v1/namespaces", body={})
        finally:
            api.close()


def aws(_: Context) -> None:
    """The refusal of AWS, as its JSON services write it."""
    with refusing({"message": SAID}) as url, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", url)
        patch.setenv("AWS_ACCESS_KEY_ID", "AKIA")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "s")
        role = "arn:aws:iam::123456789012:role/r"
        session = AwsSession(region="us-east-1", role_arn=role, external_id=None, session_name="test")
        with session.explained("describe the cluster"):
            session.client("eks").describe_cluster(name="c")


@pytest.mark.parametrize("who", [terraform, helm, webhook, aws])
def test_a_nul_in_what_others_say_ends_the_operation_and_is_readable(
    provision: Provision, who: Callable[[Context], None]
) -> None:
    assert provision.run(who) is OperationStatus.FAILED
    assert provision.reason == "terraform_failed"
    assert READ in provision.error["detail"]


def test_a_nul_in_an_output_ends_the_operation_and_is_readable(provision: Provision) -> None:
    def publish(context: Context) -> None:
        context.public_outputs = {"note": SAID, SAID: ["ok", SAID]}

    assert provision.run(publish) is OperationStatus.SUCCEEDED
    with transaction(provision.sessions) as session:
        outputs = session.get_one(EnvironmentRow, provision.made.environment_id).outputs
    assert outputs == {"note": READ, READ: ["ok", READ]}


def test_a_nul_in_an_event_or_in_progress_keeps_nothing_from_being_written(provision: Provision) -> None:
    def tell(context: Context) -> None:
        context.recorder.emit("test", SAID, **{SAID: {SAID: [SAID, float("nan"), Path("/x")]}})
        context.recorder.progress(SAID)

    assert provision.run(tell) is OperationStatus.SUCCEEDED
    told = [
        data for _, kind, data in events(provision.sessions, provision.made.environment_id) if kind == "test"
    ]
    assert told == [{READ: {READ: [READ, "nan", "/x"]}}]


def test_a_detail_of_5_mb_is_cut_in_the_stored_error_and_in_the_journal(provision: Provision) -> None:
    def fail(context: Context) -> None:
        context.recorder.emit("test", "x" * 5_000_000, lines=["x" * 5_000] * 1_000)
        raise EngineError("It broke.", detail="It is long: " + "x" * 5_000_000, remedy="Mend it.")

    assert provision.run(fail) is OperationStatus.FAILED
    assert provision.error["detail"].startswith("It is long: x")
    assert "(cut; it had " in provision.error["detail"]
    written = [json.dumps(data) for _, _, data in events(provision.sessions, provision.made.environment_id)]
    assert max(map(len, [json.dumps(provision.error), *written])) < 100_000
