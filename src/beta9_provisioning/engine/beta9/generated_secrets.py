"""Secrets that an environment invents for itself. They live in its cluster and nowhere else."""

from __future__ import annotations

import base64
import secrets
from dataclasses import asdict, dataclass, fields

from beta9_provisioning.engine.kubernetes.api import ClusterError
from beta9_provisioning.engine.tool_ports import KubernetesPort

SECRET_NAME = "beta9-generated"  # noqa: S105  the name of an object
DATABASE_PASSWORD_KEY = "database_password"  # noqa: S105  a key's name


@dataclass(frozen=True)
class GeneratedSecrets:
    """What is generated once per environment.

    Attributes:
        database_password: password of Beta9's own database user; letters and digits only.
        encryption_key: Beta9's `encryptionKey`: `sk_` and 32 random bytes in base64, as its default has it.
    """

    database_password: str
    encryption_key: str

    def __repr__(self) -> str:
        return "GeneratedSecrets(<secret>)"

    @classmethod
    def generate(cls) -> GeneratedSecrets:
        """Return new random secrets."""
        return cls(
            database_password=secrets.token_hex(24),
            encryption_key="sk_" + base64.b64encode(secrets.token_bytes(32)).decode(),
        )


def kept_secrets(kubernetes: KubernetesPort, namespace: str) -> GeneratedSecrets:
    """Return the environment's secrets from its cluster; the first call makes them, and the namespace.

    When two call it at once, both get the same ones.

    Raises:
        ClusterError: `secret_incomplete` when somebody changed the Secret; or the cluster failed.
        Stopped: the stop event was set.
    """
    kubernetes.ensure_namespace(namespace)
    kept = kubernetes.secret_once(namespace, SECRET_NAME, asdict(GeneratedSecrets.generate()))
    missing = [field.name for field in fields(GeneratedSecrets) if not kept.get(field.name)]
    if missing:
        raise ClusterError(
            f"The Secret {namespace}/{SECRET_NAME} has lost {' and '.join(missing)}.",
            detail="They were generated when the environment was made, and Beta9's data depends on them.",
            remedy="Restore the Secret from a backup of the cluster.",
            code="secret_incomplete",
        )
    return GeneratedSecrets(**{field.name: kept[field.name] for field in fields(GeneratedSecrets)})
