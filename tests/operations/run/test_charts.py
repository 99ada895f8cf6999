"""Without CHART_SOURCE: the simulator's stand-ins in the simulator, a refusal everywhere else."""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.operations.run.provisions import Provision
from tests.support.http_servers import QuietHandler, answering_with

from beta9_provisioning.clouds.registry import CLOUDS
from beta9_provisioning.kit.database import Sessions
from beta9_provisioning.lifecycle import OperationStatus
from beta9_provisioning.operations.run.charts import ChartsNotConfigured, chart_source
from beta9_provisioning.operations.workflows import workflow_of
from beta9_provisioning.schemas.configuration import Provider
from beta9_provisioning.settings import Settings
from beta9_simulator.cloud.api import AwsApi, serve
from beta9_simulator.handle import CHARTS

AWS = CLOUDS[Provider.AWS]


@pytest.fixture
def simulator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AwsApi]:
    """The simulated AWS, as the worker's endpoint."""
    api = serve(tmp_path / "store.sqlite")
    monkeypatch.setenv("AWS_ENDPOINT_URL", api.url)
    yield api
    api.stop()


@pytest.fixture
def something_else(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A loopback endpoint that is not the simulator, such as a tunnel to AWS."""
    with answering_with(QuietHandler) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        yield


def source(setting: str) -> str:
    return chart_source(Settings(chart_source=setting), AWS, "us-east-1")


def test_the_guides_local_worker_takes_the_stand_ins_of_the_simulator(simulator: AwsApi) -> None:
    assert source("") == str(CHARTS)
    assert source(str(CHARTS)) == str(CHARTS)


@pytest.mark.usefixtures("something_else")
@pytest.mark.parametrize("setting", ["", str(CHARTS)])
def test_stand_ins_got_into_whatever_listens_on_loopback(setting: str) -> None:
    with pytest.raises(ChartsNotConfigured) as refused:
        source(setting)
    assert "is not the simulator" in refused.value.detail


def test_stand_ins_got_into_genuine_clusters() -> None:
    with pytest.raises(ChartsNotConfigured) as refused:
        source(str(CHARTS))
    assert "holds stand-ins, and https://eks.us-east-1.amazonaws.com is not" in refused.value.detail


def listen_under_another_name(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a name lead to this machine, as the name service of a network of containers does."""
    real = socket.getaddrinfo

    def resolved(host: str | bytes | None, *rest: Any, **more: Any) -> Any:
        return real("127.0.0.1" if host in (name, name.encode()) else host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", resolved)


def test_a_simulator_in_the_same_network_takes_the_stand_ins_that_the_worker_brings(
    simulator: AwsApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    listen_under_another_name("cloud", monkeypatch)
    monkeypatch.setenv("AWS_ENDPOINT_URL", simulator.url.replace("127.0.0.1", "cloud"))
    assert source(str(CHARTS)) == str(CHARTS)
    with pytest.raises(ChartsNotConfigured) as refused:
        source("")
    assert "has none here" in refused.value.detail


@pytest.mark.parametrize("name", ["cloud.example.com", "cloud.", "cloud。example"])
def test_a_host_that_may_be_public_was_asked_whether_it_is_the_simulator(
    name: str, simulator: AwsApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    listen_under_another_name(name, monkeypatch)
    monkeypatch.setenv("AWS_ENDPOINT_URL", simulator.url.replace("127.0.0.1", name))
    with pytest.raises(ChartsNotConfigured) as refused:
        source(str(CHARTS))
    assert "is not the simulator" in refused.value.detail


def test_charts_of_ones_own_are_taken_everywhere(tmp_path: Path) -> None:
    chart = tmp_path / "charts" / "beta9"
    chart.mkdir(parents=True)
    (chart / "Chart.yaml").write_text("name: beta9-chart\n")
    for setting in ("oci://charts.example", str(tmp_path / "charts")):
        assert source(setting) == setting


def test_a_create_without_charts_failed_when_half_an_account_was_built(
    sessions: Sessions, tmp_path: Path
) -> None:
    provision = Provision(sessions, tmp_path)
    assert provision.run_workflow(workflow_of) is OperationStatus.FAILED
    assert (provision.error["code"], provision.reason) == ("charts_not_configured", "internal")
    assert "CHART_SOURCE is not set" in provision.error["detail"]
    assert "CHART_SOURCE" in provision.error["remedy"]
    assert not list(tmp_path.iterdir())
