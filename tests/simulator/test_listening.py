"""The simulator beyond loopback: one name, certificates for it, and a control door that stays at home."""

import json
import socket
import ssl
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from tests.support.waiting import GUARD_SECONDS, until

from beta9_provisioning.clouds.aws.provider import SCHEMA_FILE
from beta9_simulator.cloud.store import Store
from beta9_simulator.handle import Simulator
from beta9_simulator.listening import LOOPBACK, Listening


def test_on_loopback_there_is_no_other_name() -> None:
    assert Listening.checked("127.0.0.1", "") == LOOPBACK
    with pytest.raises(ValueError, match="leave --name out"):
        Listening.checked("127.0.0.1", "cloud")


@pytest.mark.parametrize(
    "name", ["", "localhost", "aws.example.com", "cloud.", "Cloud", "10.0.0.1", "-a", "a" * 64]
)
def test_beyond_loopback_the_name_is_one_label(name: str) -> None:
    with pytest.raises(ValueError, match="name of one label"):
        Listening.checked("0.0.0.0", name)


def test_an_address_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="does not appear to be"):
        Listening.checked("cloud", "cloud")


def test_beyond_loopback_everything_speaks_of_the_name(tmp_path: Path) -> None:
    arguments = [str(tmp_path), "--provider-schema", str(SCHEMA_FILE), "--time-scale", "0"]
    arguments += [
        "--account",
        "123456789012",
        "--external-id",
        "b9-x",
        "--host",
        "0.0.0.0",
        "--name",
        "cloud",
    ]
    with subprocess.Popen([sys.executable, "-m", "beta9_simulator", *arguments]) as child:
        until(lambda: Simulator.load(tmp_path) or child.poll() is not None, "the simulator has started")
        try:
            simulator = Simulator.load(tmp_path)
            assert simulator is not None
            assert simulator.aws_url.startswith("http://cloud:")
            assert simulator.kubernetes_url.startswith("https://cloud:")
            assert simulator.control_url.startswith("http://127.0.0.1:")
            with urllib.request.urlopen(f"{simulator.control_url}/leftovers") as answer:
                assert json.load(answer) == {"cloud": [], "clusters": []}
            port = int(simulator.kubernetes_url.rpartition(":")[2])
            names = served_names(port, Store(tmp_path / "cloud.sqlite").setting("kube_ca"))
            assert names == {("DNS", "localhost"), ("DNS", "cloud")}
            credentials = tmp_path / "credentials"
            assert credentials.stat().st_mode & 0o777 == 0o600
            assert simulator.secret_key in credentials.read_text()
        finally:
            child.terminate()
            child.wait(GUARD_SECONDS)


def served_names(port: int, authority: str) -> set[tuple[str, str]]:
    """Return the names in the certificate of a server here, as one who calls it `cloud` sees it."""
    context = ssl.create_default_context(cadata=authority)
    with (
        socket.create_connection(("127.0.0.1", port), GUARD_SECONDS) as plain,
        context.wrap_socket(plain, server_hostname="cloud") as secure,
    ):
        certificate = secure.getpeercert()
        assert certificate is not None
        found: set[tuple[str, str]] = set(certificate["subjectAltName"])  # type: ignore[arg-type]
        return found
