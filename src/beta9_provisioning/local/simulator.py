"""One process that is the whole simulated outside world: the AWS API and the Kubernetes API of its clusters.

    python -m beta9_provisioning.local.simulator DIRECTORY --account 123456789012 --external-id ID

It keeps everything in DIRECTORY, writes `DIRECTORY/simulator.json` when it is ready, and stops on SIGTERM.
A third, small door is for the local stack alone: `GET /health`, and `GET /leftovers`, which lists what is
left in the simulated cloud and its clusters.
"""

import argparse
import json
import os
import signal
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

from beta9_provisioning.local.ports import HOST

if TYPE_CHECKING:
    from beta9_provisioning.local.cloud.store import Store
    from beta9_provisioning.local.cluster import ClusterServer

_FILE = "simulator.json"
_STORE = "cloud.sqlite"
_MIRROR = "mirror"


@dataclass(frozen=True)
class Simulator:
    """How to reach a running simulator."""

    pid: int
    aws_url: str
    kubernetes_url: str
    control_url: str
    """The door of the local stack."""
    access_key: str
    secret_key: str
    """Access key of the control plane's own principal, which may assume the customer's role."""
    store: str
    """Path of the simulated cloud's store."""
    terraform_cli_config: str
    """Path of the Terraform CLI configuration that names the simulated provider."""

    @classmethod
    def load(cls, directory: Path) -> "Simulator | None":
        """Return what the simulator in this directory wrote when it became ready; None before."""
        try:
            return cls(**json.loads((directory / _FILE).read_text()))
        except FileNotFoundError:
            return None


def run(directory: Path, *, account: str, external_id: str, time_scale: float) -> None:
    """Serve until SIGTERM or SIGINT.

    Args:
        directory: where everything is kept.
        account: the customer's account, whose role `Beta9Provisioner` the control plane may assume.
        external_id: what the role's trust policy demands.
        time_scale: real creation times are multiplied by this; 0 means no waiting.
    """
    # Imported here, because they take a second that users of `Simulator.load` need not spend.
    from beta9_provisioning.local.cloud import api as cloud_api  # noqa: PLC0415
    from beta9_provisioning.local.cloud.clusters import StoreClusters  # noqa: PLC0415
    from beta9_provisioning.local.cloud.mirror import cli_config, install_mirror  # noqa: PLC0415
    from beta9_provisioning.local.cloud.seeding import seed  # noqa: PLC0415
    from beta9_provisioning.local.cloud.store import Store  # noqa: PLC0415
    from beta9_provisioning.local.cluster import serve as serve_clusters  # noqa: PLC0415

    told = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: told.set())
    directory.mkdir(parents=True, exist_ok=True)
    (directory / _FILE).unlink(missing_ok=True)
    store = Store(directory / _STORE)
    seeded = seed(store, account=account, external_id=external_id)
    clusters = serve_clusters(StoreClusters(store), time_scale=time_scale)
    for key, value in (
        ("kube_url", clusters.url),
        ("kube_ca", clusters.ca_pem),
        ("time_scale", str(time_scale)),
    ):
        store.set_setting(key, value)
    aws = cloud_api.serve(directory / _STORE)
    install_mirror(directory / _MIRROR, (directory / _STORE).absolute())
    control = _serve_control(lambda: _leftovers(store, clusters))
    _announce(
        directory,
        Simulator(
            pid=os.getpid(),
            aws_url=aws.url,
            kubernetes_url=clusters.url,
            control_url=f"http://{HOST}:{control.server_address[1]}",
            access_key=seeded.access_key,
            secret_key=seeded.secret_key,
            store=str(directory / _STORE),
            terraform_cli_config=str(cli_config(directory / _MIRROR)),
        ),
    )
    told.wait()
    (directory / _FILE).unlink(missing_ok=True)
    control.shutdown()
    aws.stop()
    clusters.stop()
    store.close()


def _leftovers(store: "Store", clusters: "ClusterServer") -> dict[str, list[str]]:
    from beta9_provisioning.local.cloud.inventory import inventory  # noqa: PLC0415

    return {
        "cloud": [f"{item.type} {item.id} ({item.account}, {item.region})" for item in inventory(store)],
        "clusters": [
            f"{item.kind} {item.namespace}/{item.name} of cluster {item.cluster}"
            for item in clusters.leftovers()
        ],
    }


def _serve_control(report: Callable[[], object]) -> ThreadingHTTPServer:
    class Door(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answers: dict[str, Callable[[], object]] = {
                "/health": lambda: {"status": "healthy"},
                "/leftovers": report,
            }
            answer = answers.get(self.path)
            self.send_response(200 if answer else 404)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(answer() if answer else {"paths": sorted(answers)}).encode())

        def log_message(self, *_: object) -> None:
            """Keep health checks out of the log."""

    server = ThreadingHTTPServer((HOST, 0), Door)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="control", daemon=True).start()
    return server


def _announce(directory: Path, simulator: Simulator) -> None:
    aside = directory / f"{_FILE}.new"
    aside.unlink(missing_ok=True)
    aside.touch(mode=0o600)
    aside.write_text(json.dumps(asdict(simulator)))
    aside.replace(directory / _FILE)


def main() -> None:
    """Run the simulator from the command line."""
    parser = argparse.ArgumentParser(description="The simulated AWS and Kubernetes APIs of the local stack.")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--account", required=True, help="the customer's account")
    parser.add_argument("--external-id", required=True, help="what the role's trust policy demands")
    parser.add_argument("--time-scale", type=float, required=True, help="1 is real time, 0 no waiting")
    arguments = parser.parse_args()
    run(
        arguments.directory.resolve(),
        account=arguments.account,
        external_id=arguments.external_id,
        time_scale=arguments.time_scale,
    )


if __name__ == "__main__":
    main()
