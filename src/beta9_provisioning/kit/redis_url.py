"""REDIS_URL: what can be connected to. Faults are told without the value, which may hold a password."""

from urllib.parse import urlsplit

_SCHEMES = ("redis", "rediss", "unix")


def check(url: str) -> None:
    """See that a URL can be used.

    Raises:
        ValueError: with one sentence that tells nothing of the URL.
    """
    import redis.connection  # noqa: PLC0415  0.2 s that only those who use a queue should wait

    scheme = url.split("://", 1)[0].lower()
    if "sentinel" in scheme or "cluster" in scheme:
        raise ValueError(
            "names a sentinel or a cluster, which cannot be used; let it name the primary "
            "(redis://, rediss:// or unix://), or a name that follows the primary"
        )
    if "://" not in url or scheme not in _SCHEMES:
        raise ValueError("must start with redis://, rediss:// (TLS) or unix://")
    try:
        # Makes the connection's object and does not connect: it knows the parameters.
        redis.connection.ConnectionPool.from_url(url).make_connection()
        # What follows an unencoded / or # of the password is taken for a database's number or for nothing.
        parts = urlsplit(url)
        is_whole = "@" not in parts.path + parts.fragment or scheme == "unix"
        is_whole &= parts.path in ("", "/") or parts.path[1:].isdigit() or scheme == "unix"
    except (ValueError, TypeError):
        is_whole = False
    if not is_whole:
        raise ValueError(
            "cannot be read. Write redis://:password@host:6379/0; special characters of the password are "
            "percent-encoded (@ is %40, / is %2F)"
        )


def address(url: str) -> str:
    """Return where a URL leads, for messages: without user, password and parameters."""
    return url.split("://", 1)[-1].split("?", 1)[0].rsplit("@", 1)[-1]
