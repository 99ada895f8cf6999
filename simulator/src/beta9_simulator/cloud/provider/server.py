"""Runs the plugin: the handshake with Terraform, TLS, and an end that follows Terraform's own."""

import base64
import datetime
import os
import signal
import sys
import tempfile
import threading
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from tf.gen import grpc_controller_pb2 as controller
from tf.gen import grpc_controller_pb2_grpc as controller_rpc
from tf.gen import grpc_stdio_pb2_grpc as stdio_rpc
from tf.gen import tfplugin_pb2_grpc as rpc

from beta9_simulator.cloud.provider.schema import read_schema
from beta9_simulator.cloud.provider.servicer import AwsProvider
from beta9_simulator.cloud.store import Store

STORE_VARIABLE = "BETA9_SIM_STORE"
SCHEMA_VARIABLE = "BETA9_SIM_SCHEMA"
_COOKIE = "TF_PLUGIN_MAGIC_COOKIE"
# Waiting creates hold a thread each, and StopProvider must still find a free one.
_THREADS = 64
_LARGEST_MESSAGE = 256 << 20
_PARENT_POLL_SECONDS = 0.5
_SHUTDOWN_SECONDS = 0.02


class _Controller(controller_rpc.GRPCControllerServicer):  # type: ignore[misc]
    def __init__(self, done: threading.Event) -> None:
        self._done = done

    def Shutdown(self, _request: Any, _context: Any) -> Any:
        # The answer has to be on its way before the server closes.
        threading.Timer(_SHUTDOWN_SECONDS, self._done.set).start()
        return controller.Empty()


class _Stdio(stdio_rpc.GRPCStdioServicer):  # type: ignore[misc]
    def StreamStdio(self, _request: Any, _context: Any) -> Any:
        return iter(())


def main() -> None:
    """Serve the provider to the Terraform that started this process, until it says so or dies.

    Exits with a message when started by hand, or without the variables that name its files.
    """
    if _COOKIE not in os.environ:
        sys.exit("This is a Terraform plugin: Terraform starts it, people do not.")
    store = _file(STORE_VARIABLE, "the file of the simulated cloud's store")
    schema = _file(SCHEMA_VARIABLE, "the file that holds the provider's schema")
    # Terraform passes an interrupt on through StopProvider; the terminal's own signal must not end us first.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    done = threading.Event()
    _follow_parent(done)
    server = grpc.server(
        futures.ThreadPoolExecutor(max_workers=_THREADS),
        options=[
            ("grpc.max_receive_message_length", _LARGEST_MESSAGE),
            ("grpc.max_send_message_length", _LARGEST_MESSAGE),
        ],
    )
    rpc.add_ProviderServicer_to_server(AwsProvider(read_schema(schema), Store(store)), server)
    controller_rpc.add_GRPCControllerServicer_to_server(_Controller(done), server)
    stdio_rpc.add_GRPCStdioServicer_to_server(_Stdio(), server)
    key, certificate = _certificate()
    with tempfile.TemporaryDirectory(prefix="plugin-") as directory:
        pem = certificate.public_bytes(serialization.Encoding.PEM)
        server.add_secure_port(f"unix://{directory}/s", grpc.ssl_server_credentials([(key, pem)]))
        server.start()
        der = base64.b64encode(certificate.public_bytes(serialization.Encoding.DER)).decode().rstrip("=")
        print(f"1|6|unix|{directory}/s|grpc|{der}", flush=True)  # noqa: T201 - the handshake is standard output
        done.wait()
        server.stop(0)


def _file(variable: str, meaning: str) -> Path:
    path = os.environ.get(variable)
    if not path:
        sys.exit(f"{variable} is not set: it has to name {meaning}.")
    return Path(path)


def _follow_parent(done: threading.Event) -> None:
    """End this process soon after Terraform was killed."""
    parent = os.getppid()

    def watch() -> None:
        while not done.wait(_PARENT_POLL_SECONDS):
            if os.getppid() != parent:
                os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _certificate() -> tuple[bytes, x509.Certificate]:
    """A fresh key (PEM) and self-signed certificate: Terraform's plugins talk TLS only."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    usage = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=1))
        .not_valid_after(now + datetime.timedelta(days=2))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.ExtendedKeyUsage(usage), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return pem, certificate
