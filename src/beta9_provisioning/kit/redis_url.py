"""REDIS_URL: what can be connected to. Faults are told without the value, which may hold a password."""

from urllib.parse import SplitResult, urlsplit

from beta9_provisioning.kit.texts import is_plain_line

_SCHEMES = ("redis", "rediss", "unix")
_FORM = (
    "Write redis://:password@host:6379/0; special characters of the password are "
    "percent-encoded (@ is %40, / is %2F, ? is %3F)"
)


def check(url: str) -> None:
    """See that a URL can be used.

    Raises:
        ValueError: with one sentence that tells nothing of the URL.
    """
    import redis.connection  # noqa: PLC0415  0.2 s that only those who use a queue should wait

    if not is_plain_line(url):
        raise ValueError(f"holds a control character or half a character. {_FORM}")
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
        is_whole = _is_whole(urlsplit(url))
    except (ValueError, TypeError):
        is_whole = False
    if not is_whole:
        raise ValueError(f"cannot be read. {_FORM}")


def _is_whole(parts: SplitResult) -> bool:
    """Tell whether no end of a password is taken for something else: what follows an unencoded /, ? or #."""
    if parts.fragment or "@" in parts.path + parts.query:
        return False
    if parts.scheme == "unix":
        return len(parts.path) > 1 and (not parts.netloc or parts.netloc.endswith("@"))
    return parts.path in ("", "/") or parts.path[1:].isdigit()


def address(url: str) -> str:
    """Return where a URL leads, for messages: without user, password and parameters."""
    parts = urlsplit(url)
    return parts.netloc.rpartition("@")[2] + parts.path
