"""One process that is the whole simulated outside world: the AWS API and the Kubernetes API of its clusters.

    python -m beta9_simulator DIRECTORY --provider-schema FILE --account 123456789012 --external-id ID \\
        --time-scale 0.01

FILE holds the schema of the Terraform provider that is simulated; whoever writes for that provider keeps it.
It keeps everything in DIRECTORY, writes `DIRECTORY/simulator.json` when it is ready, and stops on SIGTERM.
A third, small door is for this machine alone: `GET /health`, and `GET /leftovers`, which lists what is left
in the simulated cloud and its clusters. Containers reach the first two with `--host 0.0.0.0 --name cloud`.
"""

import argparse
import json
import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from beta9_simulator.cloud import api as cloud_api
from beta9_simulator.cloud.clusters import StoreClusters
from beta9_simulator.cloud.inventory import inventory, made_by_clusters
from beta9_simulator.cloud.mirror import cli_config, install_mirror
from beta9_simulator.cloud.seeding import seed
from beta9_simulator.cloud.store import Store
from beta9_simulator.cluster.server import serve as serve_clusters
from beta9_simulator.handle import CHARTS, Simulator, retract, write_credentials
from beta9_simulator.listening import LOOPBACK, Listening

_STORE = "cloud.sqlite"
_MIRROR = "mirror"
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@dataclass(frozen=True)
class Doors:
    """Where the doors are; a port of 0 takes a free one. The control door never leaves this machine."""

    at: Listening = LOOPBACK
    aws_port: int = 0
    kubernetes_port: int = 0
    control_port: int = 0


def run(
    directory: Path,
    *,
    provider_schema: Path,
    account: str,
    external_id: str,
    time_scale: float,
    doors: Doors,
    policies: Path | None = None,
) -> None:
    """Serve until SIGTERM, SIGINT or SIGHUP.

    Args:
        directory: where everything is kept.
        provider_schema: the file with the schema of the Terraform provider.
        account: the customer's account, whose role `Beta9Provisioner` the control plane may assume.
        external_id: what the role's trust policy demands.
        time_scale: real creation times are multiplied by this; 0 means no waiting.
        doors: where it listens.
        policies: a file with the policies of the role, documents by name; without one it may do everything.
    """
    # Blocked in every thread, waited for in this one: no handler runs that could hang on a lock.
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
    directory.mkdir(parents=True, exist_ok=True)
    retract(directory)
    store = Store(directory / _STORE)
    allowed = json.loads(policies.read_text(encoding="utf-8")) if policies else None
    seeded = seed(store, account=account, external_id=external_id, policies=allowed)
    clusters = serve_clusters(StoreClusters(store), doors.kubernetes_port, time_scale=time_scale, at=doors.at)
    for key, value in (
        ("kube_url", clusters.url),
        ("kube_ca", clusters.ca_pem),
        ("time_scale", str(time_scale)),
    ):
        store.set_setting(key, value)
    aws = cloud_api.serve(directory / _STORE, doors.aws_port, at=doors.at)
    install_mirror(directory / _MIRROR, provider_schema, (directory / _STORE).absolute())
    control = _serve_control(doors.control_port, lambda: _leftovers(store))
    write_credentials(directory, seeded.access_key, seeded.secret_key)
    Simulator(
        pid=os.getpid(),
        aws_url=aws.url,
        kubernetes_url=clusters.url,
        control_url=f"http://{LOOPBACK.name}:{control.server_address[1]}",
        access_key=seeded.access_key,
        secret_key=seeded.secret_key,
        store=str(directory / _STORE),
        terraform_cli_config=str(cli_config(directory / _MIRROR)),
        charts=str(CHARTS),
    ).announce(directory)
    signal.sigwait(_STOP_SIGNALS)
    retract(directory)
    control.shutdown()
    aws.stop()
    clusters.stop()
    store.close()


def _leftovers(store: Store) -> dict[str, list[str]]:
    """What is left: of load balancers and volumes, which clusters make, apart from the rest."""
    of_clusters = made_by_clusters(store)
    known = {item.uid for item in of_clusters}
    rest = [item for item in inventory(store) if item.uid not in known]
    return {
        key: [f"{item.type} {item.id} ({item.account}, {item.region})" for item in items]
        for key, items in (("cloud", rest), ("clusters", of_clusters))
    }


def _serve_control(port: int, report: Callable[[], object]) -> ThreadingHTTPServer:
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

    server = ThreadingHTTPServer((LOOPBACK.address, port), Door)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="control", daemon=True).start()
    return server


def main() -> None:
    """Run the simulator from the command line."""
    parser = argparse.ArgumentParser(description="The simulated AWS and Kubernetes APIs of the local stack.")
    parser.add_argument("directory", type=Path)
    parser.add_argument(
        "--provider-schema", required=True, type=Path, help="file with the Terraform provider's schema"
    )
    parser.add_argument("--account", required=True, help="the customer's account")
    parser.add_argument("--external-id", required=True, help="what the role's trust policy demands")
    parser.add_argument(
        "--policies", type=Path, help="file with the role's policies by name; default: it may do everything"
    )
    parser.add_argument("--time-scale", type=float, required=True, help="1 is real time, 0 no waiting")
    parser.add_argument("--host", default=LOOPBACK.address, help="IP address to listen on; default: loopback")
    parser.add_argument(
        "--name", default="", help="beyond loopback: the name by which others reach this host"
    )
    for door in ("aws", "kubernetes", "control"):
        parser.add_argument(f"--{door}-port", type=int, default=0, help="default: a free one")
    arguments = parser.parse_args()
    try:
        at = Listening.checked(arguments.host, arguments.name)
    except ValueError as error:
        parser.error(str(error))
    run(
        arguments.directory.resolve(),
        provider_schema=arguments.provider_schema.resolve(),
        account=arguments.account,
        external_id=arguments.external_id,
        time_scale=arguments.time_scale,
        policies=arguments.policies,
        doors=Doors(at, arguments.aws_port, arguments.kubernetes_port, arguments.control_port),
    )


if __name__ == "__main__":
    main()
