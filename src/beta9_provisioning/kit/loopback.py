"""Whether a host can only be the machine itself."""

from ipaddress import ip_address


def is_loopback(host: str) -> bool:
    """Return whether a name or address can only be the machine itself."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
