"""Ports: free, taken, and by whom."""

import os
import socket

import pytest

from beta9_provisioning.local import ports


def test_a_free_port_is_free() -> None:
    assert ports.is_free(ports.free_port())


def test_a_taken_port_is_named_with_its_holder() -> None:
    with socket.create_server((ports.HOST, 0)) as server:
        port = server.getsockname()[1]
        assert not ports.is_free(port)
        with pytest.raises(ports.PortTaken) as caught:
            ports.require_free(port, "the API", "Stop it.")
    message = str(caught.value)
    assert message.startswith(f"Port {port} for the API is taken by ")
    assert f"(pid {os.getpid()})" in message
    assert message.endswith("Stop it.")


def test_a_port_of_all_addresses_counts_as_taken() -> None:
    with socket.create_server(("0.0.0.0", 0)) as server:
        assert not ports.is_free(server.getsockname()[1])


def test_a_connection_that_was_closed_does_not_keep_the_port() -> None:
    """The side that closes first keeps the port in TIME_WAIT, as a stopped API does."""
    with socket.create_server((ports.HOST, 0)) as server:
        port = server.getsockname()[1]
        client = socket.create_connection((ports.HOST, port))
        accepted, _ = server.accept()
        accepted.close()
        client.close()
    assert ports.is_free(port)


def test_nobody_holds_a_free_port() -> None:
    assert ports.holder(ports.free_port()) is None
