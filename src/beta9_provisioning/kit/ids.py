"""Identifiers: a prefix that says what it names, and 80 random bits."""

from beta9_provisioning.kit import runtime

# Lower-case letters and digits without those that are easily misread (i, l, o, u).
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_LENGTH = 16


def new_id(prefix: str) -> str:
    """Return a new identifier such as `env_5m3k…`: unguessable, 16 characters after the prefix."""
    return prefix + "_" + "".join(runtime.chance().choice(_ALPHABET) for _ in range(_LENGTH))


def pattern(prefix: str) -> str:
    """Return the regular expression that identifiers with this prefix match."""
    return rf"^{prefix}_[{_ALPHABET}]{{{_LENGTH}}}$"
