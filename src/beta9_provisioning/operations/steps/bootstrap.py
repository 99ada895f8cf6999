"""The steps that concern the cluster: charts, Beta9, and what users get to know."""

from collections.abc import Collection, Mapping
from typing import Any

from beta9_provisioning.engine.beta9.database_user import ADMIN_SECRET
from beta9_provisioning.engine.beta9.generated_secrets import kept_secrets
from beta9_provisioning.engine.beta9.releases import BETA9_NAMESPACE, beta9_release, ingress_of
from beta9_provisioning.engine.beta9.values import grpc_domain
from beta9_provisioning.operations.run.context import Context
from beta9_provisioning.operations.steps.cluster import Cluster

_PUBLIC = (
    "region",
    "vpc_id",
    "cluster_name",
    "cluster_endpoint",
    "cluster_version",
    "database_host",
    "database_port",
    "database_name",
    "redis_host",
    "redis_port",
    "bucket_name",
)
"""Terraform outputs that users see, unless one is declared as sensitive."""


def install_base(context: Context) -> None:
    """Wait for the base charts, and install them now if they were not installed beside the apply."""
    if context.finish_base_charts():
        return
    with Cluster(context) as cluster:
        cluster.wait_for_nodes()
        cluster.install_base()


def install_beta9(context: Context) -> None:
    """Install Beta9 with its own database user; the master password is in the cluster only meanwhile."""
    username, password = context.account.database_credentials(context.outputs)
    admin = {"username": username, "password": password}
    with Cluster(context) as cluster:
        cluster.claim_namespaces()
        generated = kept_secrets(cluster.kubernetes, BETA9_NAMESPACE)
        release = beta9_release(
            context.config,
            context.platform,
            context.outputs,
            generated,
            redis_password=context.secrets.get("redis_password", ""),
            ingress_controller=context.settings.ingress_controller,
        )
        with cluster.kubernetes.passing_secret(BETA9_NAMESPACE, ADMIN_SECRET, admin):
            cluster.install(release)


def collect_outputs(context: Context) -> None:
    """Gather what users need to reach the environment; no secrets."""
    ingress = ingress_of(context.platform, context.settings.ingress_controller)
    with Cluster(context) as cluster:
        host = cluster.kubernetes.load_balancer_host(ingress.namespace, ingress.service)
    domain = context.config.beta9.domain
    context.public_outputs = {
        **visible(context.outputs, context.sensitive_outputs),
        "cluster_ca": cluster.access.certificate_authority,
        "load_balancer_host": host,
        "gateway_url": f"https://{domain}",
        "grpc_host": grpc_domain(domain),
        "dns_records": [f"{name} CNAME {host}" for name in (domain, grpc_domain(domain))],
    }


def visible(outputs: Mapping[str, Any], sensitive: Collection[str]) -> dict[str, Any]:
    """Return those of Terraform's outputs that users see."""
    return {name: outputs[name] for name in _PUBLIC if name in outputs and name not in sensitive}
