"""Values of Beta9's chart (`deploy/charts/beta9` of beam-cloud/beta9, chart 0.1.0) for one environment.

What the chart would bundle and the cloud provides is switched off: PostgreSQL and the queue's Redis. JuiceFS
keeps its metadata in a Redis of its own inside the cluster, on a volume and without eviction, because
losing a key there loses files.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from beta9_provisioning.engine.beta9 import database_user
from beta9_provisioning.engine.beta9.generated_secrets import GeneratedSecrets
from beta9_provisioning.engine.beta9.platform import Ingress, Platform, StorageClass
from beta9_provisioning.engine.errors import EngineError
from beta9_provisioning.schemas.configuration import EnvironmentConfig, Workers

ISSUER = "letsencrypt"
TLS_SECRET = "beta9-gateway-tls"  # noqa: S105  the name of an object
GRPC_SERVICE = "beta9-gateway-grpc"
HTTP_PORT, GRPC_PORT = 1994, 1993
COMPONENT_LABEL = "app.kubernetes.io/component"
GATEWAY = "gateway"
WORKER_MILLICORES, WORKER_MEBIBYTES = 2000, 1024
TRAEFIK_CONTROLLER, NGINX_CONTROLLER = "traefik.io/ingress-controller", "k8s.io/ingress-nginx"
# What a controller that was found needs to be told and Traefik does by itself: uploads of any size, streams
# that are silent for long, HTTP/2 to the gateway (https://kubernetes.github.io/ingress-nginx/user-guide).
_IN_ITS_WORDS: Mapping[str, Mapping[str, str]] = {
    NGINX_CONTROLLER: {
        "nginx.ingress.kubernetes.io/proxy-body-size": "0",
        "nginx.ingress.kubernetes.io/proxy-read-timeout": "3600",
        "nginx.ingress.kubernetes.io/proxy-send-timeout": "3600",
    }
}
_GRPC_IN_ITS_WORDS: Mapping[str, Mapping[str, str]] = {
    NGINX_CONTROLLER: {"nginx.ingress.kubernetes.io/backend-protocol": "GRPC"}
}


class OutputMissing(EngineError):
    """Terraform's outputs lack one that Beta9 needs."""

    code = "output_missing"


def tolerations(config: EnvironmentConfig) -> list[dict[str, str]]:
    """Return what a pod needs to run on nodes that carry the taints which the user gave them."""
    return [
        {"key": taint.key, "operator": "Equal", "value": taint.value, "effect": str(taint.effect)}
        for taint in config.cluster.node_taints
    ]


def beta9_values(
    config: EnvironmentConfig,
    outputs: Mapping[str, object],
    generated: GeneratedSecrets,
    *,
    redis_password: str,
    platform: Platform,
    namespace: str,
    ingress: Ingress,
) -> dict[str, Any]:
    """Return the chart's values. They hold secrets.

    `outputs` are the Terraform outputs of the stack; `redis_password` belongs to its `redis_username`, and
    both are empty where Redis has no users.

    Raises:
        OutputMissing: an output is missing.
    """
    found = _Outputs(outputs)
    tolerated = tolerations(config)
    domain = config.beta9.domain
    return {
        "config": _config(
            config,
            found,
            generated,
            redis_password=redis_password,
            platform=platform,
            namespace=namespace,
        ),
        "images": _images(config),
        "controllers": {"gateway": _gateway(config, found, tolerated)},
        "persistence": {
            "images": {"storageClass": platform.storage_class.name, "accessMode": "ReadWriteOnce"}
        },
        "service": {
            "gateway": {
                "annotations": {
                    "prometheus.io/scrape": "true" if config.beta9.enable_metrics else "false",
                    "prometheus.io/port": "9090",
                }
            }
        },
        "ingress": {"gateway": _ingress(domain, ingress)},
        "serviceAccount": {"name": "beta9"},
        "redis": {"enabled": False},
        "postgresql": {"enabled": False},
        "juicefs-redis": _juicefs_redis(platform.storage_class, tolerated),
        "manifests": {
            "resources": [
                *([] if platform.storage_class.is_found else [_storage_class(platform.storage_class)]),
                database_user.user_job(
                    found.text("database_host"),
                    found.number("database_port"),
                    found.text("database_name"),
                    _labels(database_user.COMPONENT),
                    tolerated,
                ),
                _issuer(ingress.class_name),
                _grpc_service(),
                _grpc_ingress(domain, ingress),
            ]
        },
    }


class _Outputs:
    """Terraform's outputs, checked as they are read."""

    def __init__(self, outputs: Mapping[str, object]) -> None:
        self._outputs = outputs

    def text(self, name: str) -> str:
        value = self._outputs.get(name)
        if value in (None, ""):
            raise OutputMissing(
                f"The Terraform output {name} is missing.",
                detail=f"There are: {', '.join(sorted(self._outputs)) or 'none'}.",
                remedy="Apply the infrastructure again; if that does not help, the stack has a defect.",
            )
        return str(value)

    def optional(self, name: str) -> str:
        return str(self._outputs.get(name) or "")

    def number(self, name: str) -> int:
        return int(float(self.text(name)))


def _config(
    config: EnvironmentConfig,
    outputs: _Outputs,
    generated: GeneratedSecrets,
    *,
    redis_password: str,
    platform: Platform,
    namespace: str,
) -> dict[str, Any]:
    """Return Beta9's own configuration, over its defaults in `pkg/common/config.default.yaml`.

    Keys for the object store are left empty rather than at the public defaults: the image registry and
    JuiceFS then use the credentials of their pods.
    """
    bucket, region = outputs.text("bucket_name"), outputs.text("region")
    domain = config.beta9.domain
    no_keys = {"accessKey": "", "secretKey": ""}
    worker: dict[str, Any] = {
        "namespace": namespace,
        "serviceAccountName": "beta9",
        "imagePVCName": "",
        # No network policy holds pods that are in the network of their node.
        "hostNetwork": False,
        "pools": {"default": _pool(config.beta9.workers)},
    }
    if config.beta9.version is not None:
        worker["imageTag"] = config.beta9.version
    return {
        "clusterName": outputs.text("cluster_name"),
        "prettyLogs": False,
        "database": {
            "postgres": {
                "host": outputs.text("database_host"),
                "port": outputs.number("database_port"),
                "name": outputs.text("database_name"),
                "username": database_user.USERNAME,
                "password": generated.database_password,
                "timezone": "UTC",
                "enableTLS": True,
                "encryptionKey": generated.encryption_key,
            },
            "redis": {
                "mode": "single",
                "addrs": [f"{outputs.text('redis_host')}:{outputs.number('redis_port')}"],
                "username": outputs.optional("redis_username"),
                "password": redis_password,
                "enableTLS": True,
            },
        },
        "storage": {
            "mode": "juicefs",
            "juicefs": {
                "redisURI": "redis://juicefs-redis-master:6379/0",
                "awsS3Bucket": platform.bucket_url(bucket),
                "awsAccessKey": "",
                "awsSecretKey": "",
            },
            "workspaceStorage": {
                "defaultBucketPrefix": bucket,
                "defaultAccessKey": "",
                "defaultSecretKey": "",
                "defaultEndpointUrl": platform.object_store_url,
                "defaultPresignedEndpointUrl": platform.object_store_url,
                "defaultRegion": region,
            },
        },
        "fileService": {"enabled": False, **no_keys},
        "imageService": {
            "registryStore": "s3",
            "registries": {"s3": {"bucketName": bucket, "region": region, **no_keys}},
        },
        "gateway": {
            "grpc": {"externalHost": grpc_domain(domain), "externalPort": 443, "tls": True},
            "http": {"externalHost": domain, "externalPort": 443, "tls": True, "enablePrettyLogs": False},
            "stubLimits": {"maxReplicas": config.beta9.workers.max_workers},
        },
        "worker": worker,
        "monitoring": _monitoring(config.beta9.enable_metrics),
    }


def _pool(workers: Workers) -> dict[str, Any]:
    """Return the pool of the cluster's own nodes: room for `min_workers` more workers is always kept free."""
    return {
        "mode": "local",
        "poolSizing": {
            "defaultWorkerCpu": f"{WORKER_MILLICORES}m",
            "defaultWorkerMemory": f"{WORKER_MEBIBYTES}Mi",
            "minFreeCpu": f"{workers.min_workers * WORKER_MILLICORES}m",
            "minFreeMemory": f"{workers.min_workers * WORKER_MEBIBYTES}Mi",
            "minFreeGpu": 0,
        },
    }


def _monitoring(enabled: bool) -> dict[str, Any]:
    return {
        "metricsCollector": "prometheus" if enabled else "none",
        "prometheus": {"scrapeWorkers": enabled, "port": 9090},
    }


def _images(config: EnvironmentConfig) -> dict[str, Any]:
    if config.beta9.version is None:
        return {}
    return {"gateway": {"tag": config.beta9.version}, "worker": {"tag": config.beta9.version}}


def _gateway(config: EnvironmentConfig, outputs: _Outputs, tolerated: list[dict[str, str]]) -> dict[str, Any]:
    backends = (
        (outputs.text("database_host"), outputs.number("database_port")),
        (outputs.text("redis_host"), outputs.number("redis_port")),
        ("juicefs-redis-master", 6379),
    )
    script = "\n".join(
        f"until nc -z -w 5 {shlex.quote(host)} {port}; do echo waiting for {shlex.quote(host)}; sleep 2; done"
        for host, port in backends
    )
    pod: dict[str, Any] = {"tolerations": tolerated}
    if not config.beta9.enable_logging:
        # What Fluent Bit's Kubernetes filter honours.
        pod["annotations"] = {"fluentbit.io/exclude": "true"}
    return {
        # The chart's own waits for the hosts of the databases that it would bundle.
        "initContainers": {"wait-on-backends": {"command": ["sh", "-c", script]}},
        "pod": pod,
    }


def _juicefs_redis(storage_class: StorageClass, tolerated: list[dict[str, str]]) -> dict[str, Any]:
    return {
        "enabled": True,
        "architecture": "standalone",
        "master": {
            "configuration": "appendonly yes\nmaxmemory-policy noeviction\n",
            "persistence": {"enabled": True, "storageClass": storage_class.name, "size": "8Gi"},
            "tolerations": tolerated,
        },
    }


def _storage_class(storage_class: StorageClass) -> dict[str, Any]:
    """Return the class of volumes, which the cluster's storage driver does not define by itself."""
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": storage_class.name},
        "provisioner": storage_class.provisioner,
        "parameters": dict(storage_class.parameters),
        "volumeBindingMode": "WaitForFirstConsumer",
        "allowVolumeExpansion": True,
        "reclaimPolicy": "Delete",
    }


def _issuer(ingress_class: str) -> dict[str, Any]:
    """Return the issuer of the gateway's certificate.

    A hook, which Helm does not wait for: the environment must become ready although the domain does not
    point at it yet.
    """
    return {
        "apiVersion": "cert-manager.io/v1",
        "kind": "Issuer",
        "metadata": {
            "name": ISSUER,
            "annotations": {
                "helm.sh/hook": "post-install,post-upgrade",
                "helm.sh/hook-delete-policy": "before-hook-creation",
            },
        },
        "spec": {
            "acme": {
                "server": "https://acme-v02.api.letsencrypt.org/directory",
                "privateKeySecretRef": {"name": f"{ISSUER}-account"},
                "solvers": [{"http01": {"ingress": {"ingressClassName": ingress_class}}}],
            }
        },
    }


def _ingress(domain: str, ingress: Ingress) -> dict[str, Any]:
    return {
        "enabled": True,
        "className": ingress.class_name,
        "annotations": {"cert-manager.io/issuer": ISSUER, **_IN_ITS_WORDS.get(ingress.controller, {})},
        "hosts": [
            {
                "host": domain,
                "paths": [
                    {"path": "/", "pathType": "Prefix", "service": {"name": "gateway", "port": HTTP_PORT}}
                ],
            }
        ],
        "tls": [{"hosts": [domain], "secretName": TLS_SECRET}],
    }


def grpc_domain(domain: str) -> str:
    """Return the name under which gRPC is reached: an ingress serves one protocol per host."""
    return f"grpc.{domain}"


def _labels(component: str) -> dict[str, str]:
    """Return the labels of one component's pods, as the chart sets them."""
    return {
        "app.kubernetes.io/name": "beta9",
        "app.kubernetes.io/instance": "beta9",
        COMPONENT_LABEL: component,
    }


def _grpc_service() -> dict[str, Any]:
    """Return a second Service of the gateway: Traefik learns per Service that a port speaks HTTP/2 (h2c)."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": GRPC_SERVICE,
            "annotations": {"traefik.ingress.kubernetes.io/service.serversscheme": "h2c"},
        },
        "spec": {
            "selector": _labels(GATEWAY),
            "ports": [{"name": "grpc", "port": GRPC_PORT, "targetPort": GRPC_PORT, "protocol": "TCP"}],
        },
    }


def _grpc_ingress(domain: str, ingress: Ingress) -> dict[str, Any]:
    host = grpc_domain(domain)
    backend = {"service": {"name": GRPC_SERVICE, "port": {"number": GRPC_PORT}}}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {
            "name": GRPC_SERVICE,
            "annotations": {
                "cert-manager.io/issuer": ISSUER,
                **_IN_ITS_WORDS.get(ingress.controller, {}),
                **_GRPC_IN_ITS_WORDS.get(ingress.controller, {}),
            },
        },
        "spec": {
            "ingressClassName": ingress.class_name,
            "rules": [
                {
                    "host": host,
                    "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]},
                }
            ],
            "tls": [{"hosts": [host], "secretName": f"{GRPC_SERVICE}-tls"}],
        },
    }
