"""Beta9's own database user, made by a Job in the cluster before each install and upgrade.

A cloud may rotate the master password, so an application must not use it. The database is reachable
from inside the network only, hence a Job and not the worker. The master credentials are in the Secret
ADMIN_SECRET for as long as Helm runs; the Job reads them from there, so that they stay out of Helm's history.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from beta9_provisioning.engine.beta9.generated_secrets import DATABASE_PASSWORD_KEY, SECRET_NAME
from beta9_provisioning.engine.spec import POSTGRES_VERSION

ADMIN_SECRET = "beta9-database-admin"  # noqa: S105  the name of an object
USERNAME = "beta9"
COMPONENT = "database-user"
JOB_SECONDS = 240

# psql's \getenv (since 15) keeps the password off the command line; format's %I and psql's :"..." quote.
# Since PostgreSQL 15 only a database's owner may create in the schema `public`, hence the grant on it.
SQL = """\
\\getenv role BETA9_USER
\\getenv password BETA9_PASSWORD
\\getenv database PGDATABASE
SELECT format('CREATE ROLE %I', :'role')
    WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'role') \\gexec
ALTER ROLE :"role" LOGIN PASSWORD :'password';
GRANT ALL PRIVILEGES ON DATABASE :"database" TO :"role";
GRANT ALL ON SCHEMA public TO :"role";
"""


def user_job(
    host: str, port: int, database: str, labels: Mapping[str, str], tolerations: list[dict[str, str]]
) -> dict[str, Any]:
    """Return the Job, a Helm hook, that makes the user with its password and rights. Repeating it is safe.

    By the `labels` of its pod network policies know that it may reach the database.
    """
    environment: Mapping[str, Any] = {
        "PGHOST": host,
        "PGPORT": str(port),
        "PGDATABASE": database,
        "PGSSLMODE": "require",
        "PGCONNECT_TIMEOUT": "10",
        "BETA9_USER": USERNAME,
        "SQL": SQL,
    }
    container = {
        "name": "psql",
        "image": f"postgres:{POSTGRES_VERSION}-alpine",
        "command": ["sh", "-c", 'printf "%s" "$SQL" | psql --no-psqlrc --set=ON_ERROR_STOP=1 --file=-'],
        "env": [
            *({"name": name, "value": value} for name, value in environment.items()),
            _from_secret("PGUSER", ADMIN_SECRET, "username"),
            _from_secret("PGPASSWORD", ADMIN_SECRET, "password"),
            _from_secret("BETA9_PASSWORD", SECRET_NAME, DATABASE_PASSWORD_KEY),
        ],
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "runAsUser": 70,  # `postgres` in the Alpine image
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": "beta9-database-user",
            "annotations": {
                "helm.sh/hook": "pre-install,pre-upgrade",
                "helm.sh/hook-delete-policy": "before-hook-creation,hook-succeeded",
            },
        },
        "spec": {
            "backoffLimit": 5,
            "activeDeadlineSeconds": JOB_SECONDS,
            "template": {
                "metadata": {"labels": dict(labels)},
                "spec": {
                    "restartPolicy": "Never",
                    "automountServiceAccountToken": False,
                    "tolerations": tolerations,
                    "containers": [container],
                },
            },
        },
    }


def _from_secret(name: str, secret: str, key: str) -> dict[str, Any]:
    return {"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}}
