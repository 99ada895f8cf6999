"""DATABASE_URL as libpq reads it: hosts, parameters, percent-encoding. Faults are told without the value."""

import re

from beta9_provisioning.kit.texts import is_plain_line

_SCHEMES = ("postgresql://", "postgres://")
_FORM = (
    "Write postgresql://user:password@host:5432/database; "
    "special characters of the password are percent-encoded (@ is %40, / is %2F)"
)
_CHOICES = {
    "sslmode": ("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    "target_session_attrs": ("any", "read-write", "read-only", "primary", "standby", "prefer-standby"),
}
_READ_ONLY_TARGETS = ("read-only", "standby", "prefer-standby")
_NUMBERS = (
    "connect_timeout",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
    "tcp_user_timeout",
)
# `-c name=value` and `--name=value`, as the server reads its start-up options.
_OPTION = re.compile(r"(?:-c\s*|--)([A-Za-z_][\w.-]*)\s*=")


def parse(url: str) -> dict[str, str]:
    """Return libpq's connection parameters of a URL.

    Raises:
        ValueError: with one sentence that tells nothing of the URL, which holds a password.
    """
    import psycopg.conninfo  # noqa: PLC0415  0.1 s that only those who use a database should wait

    if not is_plain_line(url):
        raise ValueError(f"holds a control character or half a character. {_FORM}")  # libpq ends at a NUL
    if not url.startswith(_SCHEMES):
        raise ValueError("must start with postgresql://")
    if _is_cut_short(url):
        raise ValueError(f"has more than one @, or one after a /. {_FORM}")
    try:
        found = psycopg.conninfo.conninfo_to_dict(url)
    except psycopg.ProgrammingError as error:
        what = str(error).split('"', 1)[0].strip(" :,()")  # what follows is a piece of the value
        raise ValueError(f"cannot be read ({what}). {_FORM}") from None
    except UnicodeError:
        raise ValueError(f"holds what is no UTF-8, percent-encoded. {_FORM}") from None
    values = {name: str(value) for name, value in found.items() if value is not None}
    _check(values)
    return values


def _is_cut_short(url: str) -> bool:
    """Tell whether libpq would take the end of the password for a part of host or database.

    It reads user and password up to the first @, or none if there is a / before it. Encoded ones are meant.
    """
    rest = url.split("://", 1)[1]
    before, at, after = rest.partition("@")
    where = after if at and "/" not in before else rest
    place, _, parameters = where.partition("?")
    return "@" in place or any("@" in one for one in parameters.split("&") if one.startswith("host"))


def _check(values: dict[str, str]) -> None:
    hosts, ports = values.get("host", "").split(","), values.get("port", "").split(",")
    if len(ports) not in (1, len(hosts)):
        raise ValueError("has another number of ports than of hosts")
    if not all(port == "" or (port.isascii() and port.isdigit() and int(port) < 65536) for port in ports):
        raise ValueError(f"has a port that is no number. {_FORM}")
    for name, allowed in _CHOICES.items():
        if values.get(name, allowed[0]) not in allowed:
            raise ValueError(f"has a {name} that is none of {', '.join(allowed)}")
    if values.get("target_session_attrs") in _READ_ONLY_TARGETS:
        raise ValueError("has a target_session_attrs that asks for a server that only reads; take read-write")
    for name in _NUMBERS:
        if not values.get(name, "0").lstrip("-").isdigit():
            raise ValueError(f"has a {name} that is no whole number")


def address(values: dict[str, str]) -> str:
    """Return where the parameters lead, for messages: `host:port` of each host, and the database."""
    hosts = values.get("host", "").split(",")
    ports = values.get("port", "").split(",")
    ports = ports if len(ports) == len(hosts) else ports * len(hosts)
    where = ",".join(
        f"{host or 'localhost'}:{port or '5432'}" for host, port in zip(hosts, ports, strict=True)
    )
    return f"{where}/{values.get('dbname', '')}"


def option_names(options: str) -> frozenset[str]:
    """Return the server settings that start-up options such as `-c lock_timeout=5s` set."""
    return frozenset(name.lower().replace("-", "_") for name in _OPTION.findall(options))
