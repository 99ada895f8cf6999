"""What single resource types do beyond the catalog's data: values from other objects, side effects.

Four tables by type: ``COMPUTED`` gives values for attributes that the configuration left open,
``CREATED`` and ``DELETED`` act after the fact, ``REFUSED`` may refuse a delete.
"""

import base64
import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from beta9_simulator.cloud import cache_rules, machines, rds_rules
from beta9_simulator.cloud.eks_rules import add_on_version
from beta9_simulator.cloud.node_rules import recommended_release
from beta9_simulator.cloud.principals import Principal, add_principal, remove_principal
from beta9_simulator.cloud.rules import CloudError, values_at
from beta9_simulator.cloud.store import Store, StoredObject
from beta9_simulator.cloud.templates import random_text
from beta9_simulator.cloud.zones import zone_named

_ENGINE_VERSIONS = {"postgres": "17.6", "mysql": "8.4.6", "redis": "7.1", "valkey": "8.1"}
_ENGINE_PORTS = {"postgres": 5432, "mysql": 3306}


@dataclass(frozen=True)
class Scope:
    """Where a request acts, and who makes it (the ARN policies speak about)."""

    account: str
    region: str
    caller: str


State = dict[str, Any]
Computed = Callable[[Store, Scope, State], State]


def _eks_cluster(store: Store, scope: Scope, state: State) -> State:
    kube_url = store.setting("kube_url", "https://kubernetes.invalid")
    authority = base64.b64encode(store.setting("kube_ca").encode()).decode()
    return {
        "endpoint": f"{kube_url}/clusters/{scope.account}/{scope.region}/{state['name']}",
        "certificate_authority": [{"data": authority}],
        "vpc_config": {"vpc_id": _vpc_of(store, values_at(state, "vpc_config.subnet_ids"))},
    }


def _eks_node_group(store: Store, scope: Scope, state: State) -> State:
    version = state["version"] if isinstance(state["version"], str) else _version_of(store, scope, state)
    return {"version": version, "release_version": recommended_release(version)}


def _version_of(store: Store, scope: Scope, state: State) -> str:
    clusters = store.find(
        "aws_eks_cluster", account=scope.account, region=scope.region, id=state["cluster_name"]
    )
    return str(clusters[0].state["version"]) if clusters else ""


def _subnet_group(store: Store, _scope: Scope, state: State) -> State:
    return {"vpc_id": _vpc_of(store, state["subnet_ids"])}


def _vpc_of(store: Store, subnet_ids: list[str]) -> str:
    subnets = store.find("aws_subnet", id=subnet_ids[0]) if subnet_ids else []
    return str(subnets[0].state["vpc_id"]) if subnets else ""


def _subnet(_store: Store, scope: Scope, state: State) -> State:
    name, id_ = state["availability_zone"], state["availability_zone_id"]
    zone = zone_named(
        scope.account,
        scope.region,
        name=name if isinstance(name, str) else None,
        id_=id_ if isinstance(id_, str) else None,
    )
    return {"availability_zone": zone.name, "availability_zone_id": zone.id}


def _eip(_store: Store, scope: Scope, _state: State) -> State:
    public = f"203.0.{_byte()}.{_byte()}"
    dashed = public.replace(".", "-")
    return {"public_ip": public, "public_dns": f"ec2-{dashed}.{scope.region}.compute.amazonaws.com"}


def _nat_gateway(store: Store, _scope: Scope, state: State) -> State:
    found = store.find("aws_eip", id=state["allocation_id"]) if state["allocation_id"] else []
    values = {"private_ip": f"10.0.{_byte()}.{_byte()}", "vpc_id": _vpc_of(store, [state["subnet_id"]])}
    return {**values, "public_ip": found[0].state["public_ip"]} if found else values


def _byte() -> int:
    return int(random_text("hex", 2), 16)


def _db_instance(_store: Store, scope: Scope, state: State) -> State:
    engine = state["engine"] if isinstance(state["engine"], str) else "postgres"
    version = state["engine_version"]
    if not isinstance(version, str):
        version = _ENGINE_VERSIONS.get(engine, "1.0")
    secret = []
    if state["manage_master_user_password"]:
        name = f"rds!db-{uuid.uuid4()}"
        arn = f"arn:aws:secretsmanager:{scope.region}:{scope.account}:secret:{name}-{random_text('alnum', 6)}"
        key = state["master_user_secret_kms_key_id"]
        secret = [
            {
                "kms_key_id": key if isinstance(key, str) else "alias/aws/secretsmanager",
                "secret_arn": arn,
                "secret_status": "active",
            }
        ]
    iops, throughput = rds_rules.figures(state) if state["storage_type"] == "gp3" else (0, 0)
    return {
        "engine": engine,
        "engine_version": version,
        "iops": iops,
        "storage_throughput": throughput,
        "engine_version_actual": rds_rules.full_version(version) or version,
        "engine_major": version.split(".", maxsplit=1)[0],
        "port": _ENGINE_PORTS.get(engine, 5432),
        "master_user_secret": secret,
    }


def _db_created(store: Store, made: StoredObject, _config: State) -> None:
    for secret in made.state["master_user_secret"]:
        value = json.dumps({"username": made.state["username"], "password": random_text("secret", 28)})
        _put_secret(store, made, secret["secret_arn"], value)


def _db_deleted(store: Store, gone: StoredObject) -> None:
    for secret in gone.state["master_user_secret"]:
        store.execute("delete from secrets where arn=?", secret["secret_arn"])


def _db_refused(_store: Store, target: StoredObject, prior: State) -> None:
    rds_rules.check_delete(target.state, prior)


def _replication_group(_store: Store, scope: Scope, state: State) -> State:
    engine = state["engine"] if isinstance(state["engine"], str) else "redis"
    version = state["engine_version"]
    if not isinstance(version, str):
        version = _ENGINE_VERSIONS.get(engine, "7.1")
    group = state["replication_group_id"]
    shards, replicas = state["num_node_groups"], state["replicas_per_node_group"]
    clustered = isinstance(shards, int) and shards > 1
    nodes = state["num_cache_clusters"]
    if not isinstance(nodes, int):
        nodes = (shards if isinstance(shards, int) else 1) * (
            1 + (replicas if isinstance(replicas, int) else 0)
        )
    suffix = f"{random_text('alnum', 6)}.{scope.region}.cache.amazonaws.com"
    single = {
        "primary_endpoint_address": f"master.{group}.{suffix}",
        "reader_endpoint_address": f"replica.{group}.{suffix}",
    }
    return {
        "engine": engine,
        "engine_version": version,
        "engine_version_actual": version if version.count(".") > 1 else f"{version}.0",
        "parameter_group_name": f"default.{cache_rules.family(engine, version)}",
        "num_cache_clusters": nodes,
        "replicas_per_node_group": max(nodes - 1, 0),
        "cluster_enabled": clustered,
        "member_clusters": [f"{group}-{number:03}" for number in range(1, nodes + 1)],
        "transit_encryption_mode": "required" if state["transit_encryption_enabled"] is True else "",
        **({"configuration_endpoint_address": f"clustercfg.{group}.{suffix}"} if clustered else single),
    }


def _default_security_group(store: Store, scope: Scope, state: State) -> State:
    """The group that came with the VPC: it is adopted, not made."""
    vpcs = store.find("aws_vpc", account=scope.account, region=scope.region, id=str(state["vpc_id"]))
    return {"group": vpcs[0].state["default_security_group_id"] if vpcs else ""}


def _kms_alias(_store: Store, scope: Scope, state: State) -> State:
    key = str(state["target_key_id"]).rsplit("/", maxsplit=1)[-1]
    return {"target_key_arn": f"arn:aws:kms:{scope.region}:{scope.account}:key/{key}"}


_OF_A_GRANT = ("key_id", "name", "grantee_principal", "operations", "retiring_principal", "constraints")


def _kms_grant(store: Store, scope: Scope, state: State) -> State:
    """A grant with a name is made once: the same request again gets the same id ("CreateGrant")."""
    for one in store.find("aws_kms_grant", account=scope.account, region=scope.region):
        if isinstance(state["name"], str) and all(
            one.state.get(key) == state.get(key) for key in _OF_A_GRANT
        ):
            return {"grant_id": one.state["grant_id"]}
    return {"grant_id": random_text("hex", 64)}


def _openid_provider(_store: Store, _scope: Scope, state: State) -> State:
    return {"host": str(state["url"]).removeprefix("https://")}


def _access_key_created(store: Store, made: StoredObject, _config: State) -> None:
    arn = f"arn:aws:iam::{made.account}:user/{made.state['user']}"
    add_principal(store, Principal(made.id, made.state["secret"], "", arn, made.account, None, ""))


def _access_key_deleted(store: Store, gone: StoredObject) -> None:
    remove_principal(store, gone.id)


def _secret_version(_store: Store, _scope: Scope, state: State) -> State:
    return {
        "has_secret_string_wo": state["secret_string_wo_version"] is not None,
        "version_id": str(uuid.uuid4()),
    }


def _secret_version_created(store: Store, made: StoredObject, config: State) -> None:
    value = config.get("secret_string_wo") or config.get("secret_string") or config.get("secret_binary") or ""
    _put_secret(store, made, made.state["secret_id"], value, made.state["version_id"])


def _secret_deleted(store: Store, gone: StoredObject) -> None:
    store.execute("delete from secrets where arn=?", gone.id)


def _put_secret(store: Store, owner: StoredObject, arn: str, value: str, version: str = "") -> None:
    """Keep a secret's current value where the API door's Secrets Manager finds it."""
    name = arn.split(":secret:", maxsplit=1)[-1][:-7]
    store.execute(
        "insert or replace into secrets values(?,?,?,?,?,?)",
        *(arn, owner.account, owner.region, name, version or str(uuid.uuid4()), value),
    )


def _bucket_refused(store: Store, target: StoredObject, prior: State) -> None:
    rows = store.execute("select objects from bucket_contents where bucket=?", target.id)
    if rows and rows[0][0] and not prior.get("force_destroy"):
        raise CloudError("BucketNotEmpty", "The bucket you tried to delete is not empty")


def _bucket_deleted(store: Store, gone: StoredObject) -> None:
    store.execute("delete from bucket_contents where bucket=?", gone.id)


COMPUTED: dict[str, Computed] = {
    "aws_db_instance": _db_instance,
    "aws_db_subnet_group": _subnet_group,
    "aws_default_security_group": _default_security_group,
    "aws_eip": _eip,
    "aws_eks_addon": add_on_version,
    "aws_eks_cluster": _eks_cluster,
    "aws_eks_node_group": _eks_node_group,
    "aws_elasticache_replication_group": _replication_group,
    "aws_elasticache_subnet_group": _subnet_group,
    "aws_iam_openid_connect_provider": _openid_provider,
    "aws_kms_alias": _kms_alias,
    "aws_kms_grant": _kms_grant,
    "aws_nat_gateway": _nat_gateway,
    "aws_secretsmanager_secret_version": _secret_version,
    "aws_subnet": _subnet,
}
CREATED: dict[str, Callable[[Store, StoredObject, State], None]] = {
    "aws_db_instance": _db_created,
    "aws_eks_cluster": machines.cluster_created,
    "aws_eks_node_group": machines.node_group_created,
    "aws_iam_access_key": _access_key_created,
    "aws_secretsmanager_secret_version": _secret_version_created,
}
DELETED: dict[str, Callable[[Store, StoredObject], None]] = {
    "aws_cloudwatch_log_group": machines.log_group_deleted,
    "aws_db_instance": _db_deleted,
    "aws_eks_cluster": machines.cluster_deleted,
    "aws_eks_node_group": machines.node_group_deleted,
    "aws_iam_access_key": _access_key_deleted,
    "aws_s3_bucket": _bucket_deleted,
    "aws_secretsmanager_secret": _secret_deleted,
}
REFUSED: dict[str, Callable[[Store, StoredObject, State], None]] = {
    "aws_db_instance": _db_refused,
    "aws_s3_bucket": _bucket_refused,
}
