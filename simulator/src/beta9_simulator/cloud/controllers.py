"""What the controllers inside a cluster make in the cloud: load balancers and volumes, as they tag them.

Sources: the tags of the AWS Load Balancer Controller (``elbv2.k8s.aws/cluster``, ``service.k8s.aws/stack``),
https://kubernetes-sigs.github.io/aws-load-balancer-controller; those of the EBS CSI driver,
https://github.com/kubernetes-sigs/aws-ebs-csi-driver/blob/master/docs/tagging.md, which as an add-on of EKS
knows the cluster's name; those of Kubernetes' own cloud provider, https://github.com/kubernetes/cloud-provider-aws.
"""

from beta9_simulator.cloud import balancer_rules
from beta9_simulator.cloud.interfaces import add_group, add_interface, interfaces_of, try_to_delete
from beta9_simulator.cloud.rules import CloudError
from beta9_simulator.cloud.store import NewObject, Store, StoredObject
from beta9_simulator.cloud.templates import random_text
from beta9_simulator.cluster.directory import LoadBalancer, SimCluster, Volume

LOAD_BALANCER = "elbv2:load-balancer"
TARGET_GROUP = "elbv2:target-group"
VOLUME = "ec2:volume"
INTERFACE_SECONDS = 120.0
"""So long the interfaces of a deleted load balancer stay, and hold subnets and security groups."""
_GROUP = "aws_security_group"


class StoreCloud:
    """The cloud of one cluster (see ``cluster.directory.ClusterCloud``)."""

    def __init__(self, store: Store, cluster: SimCluster) -> None:
        self._store = store
        self._account = cluster.account
        self._region = cluster.region
        self._cluster = cluster.name

    def make_load_balancer(self, wanted: LoadBalancer) -> str:
        """Make a network load balancer, if there is none of that name yet, and return its host name."""
        found = self._load_balancers(wanted.name)
        if found:
            return str(found[0].state["dns_name"])
        owner = self._owner()
        if owner is None:
            return ""
        vpc_id, tags = owner.state["vpc_config"][0]["vpc_id"], self._tags(wanted)
        subnets = list(wanted.subnets) or self._subnets(vpc_id, internal=wanted.internal)
        if not self._is_possible(vpc_id, subnets, internal=wanted.internal):
            return ""
        groups = self._groups(owner, wanted, vpc_id) if wanted.by_controller else []
        number = random_text("hex", 16)
        host = f"{wanted.name}-{number}.elb.{self._region}.amazonaws.com"
        arn = f"{self._arn('loadbalancer')}/net/{wanted.name}/{number}"
        state = {
            "id": arn,
            "arn": arn,
            "dns_name": host,
            "scheme": "internal" if wanted.internal else "internet-facing",
            "vpc_id": vpc_id,
            "subnet_ids": subnets,
            "groups": groups,
            "tags": tags,
        }
        made = self._create(LOAD_BALANCER, arn, wanted.name, state)
        for subnet_id in subnets:
            add_interface(
                self._store,
                made,
                subnet_id,
                groups,
                description=f"ELB net/{wanted.name}/{number}",
                origin="cluster",
                public=not wanted.internal,
            )
        for port in wanted.ports:
            name = f"k8s-{wanted.name[-20:]}-{port}"
            target = f"{self._arn('targetgroup')}/{name}/{random_text('hex', 16)}"
            about = {"id": target, "arn": target, "port": port, "vpc_id": vpc_id, "load_balancer": arn}
            self._create(TARGET_GROUP, target, name, {**about, "tags": tags})
        return host

    def remove_load_balancer(self, name: str) -> None:
        """Delete a load balancer with its target groups, and a security group of its own."""
        for balancer in self._load_balancers(name):
            delete_load_balancer(self._store, balancer)
            for target in self._store.find(TARGET_GROUP, account=self._account, region=self._region):
                if target.state["load_balancer"] == balancer.id:
                    self._store.delete(target)
            own = [
                group
                for id in balancer.state["groups"]
                for group in self._store.find(_GROUP, account=self._account, region=self._region, id=id)
            ]
            # The controller waits for the interfaces, and so does whoever waits for its finalizer.
            for group in own:
                for interface in interfaces_of(self._store, balancer):
                    self._store.edit(interface, groups=[])
                try_to_delete(self._store, [group], 0)

    def make_volume(self, wanted: Volume) -> str:
        """Make an EBS volume, if there is none of that name yet, and return its id."""
        found = self._volumes(wanted.name)
        if found:
            return found[0].id
        id = f"vol-{random_text('hex', 17)}"
        tags = {
            "CSIVolumeName": wanted.name,
            "ebs.csi.aws.com/cluster": "true",
            "KubernetesCluster": self._cluster,
            f"kubernetes.io/cluster/{self._cluster}": "owned",
            "kubernetes.io/created-for/pv/name": wanted.name,
            "kubernetes.io/created-for/pvc/name": wanted.claim,
            "kubernetes.io/created-for/pvc/namespace": wanted.namespace,
            "Name": f"{self._cluster}-dynamic-{wanted.name}",
        }
        arn = f"arn:aws:ec2:{self._region}:{self._account}:volume/{id}"
        state = {"id": id, "arn": arn, "size": wanted.gib, "encrypted": wanted.encrypted, "tags": tags}
        self._create(VOLUME, id, wanted.name, state)
        return id

    def remove_volume(self, name: str) -> None:
        """Delete the EBS volume of that name."""
        for volume in self._volumes(name):
            self._store.delete(volume)

    def _owner(self) -> StoredObject | None:
        found = self._store.find(
            "aws_eks_cluster", account=self._account, region=self._region, name=self._cluster
        )
        return found[0] if found else None

    def _load_balancers(self, name: str) -> list[StoredObject]:
        found = self._store.find(LOAD_BALANCER, account=self._account, region=self._region, name=name)
        return [one for one in found if self._is_ours(one)]

    def _volumes(self, name: str) -> list[StoredObject]:
        found = self._store.find(VOLUME, account=self._account, region=self._region, name=name)
        return [one for one in found if self._is_ours(one)]

    def _is_ours(self, found: StoredObject) -> bool:
        owner = (f"kubernetes.io/cluster/{self._cluster}", "elbv2.k8s.aws/cluster")
        return owner[0] in found.tags or found.tags.get(owner[1]) == self._cluster

    def _tags(self, wanted: LoadBalancer) -> dict[str, str]:
        service = f"{wanted.namespace}/{wanted.service}"
        if not wanted.by_controller:
            cluster = f"kubernetes.io/cluster/{self._cluster}"
            return {cluster: "owned", "kubernetes.io/service-name": service, **wanted.tags}
        return {
            "elbv2.k8s.aws/cluster": self._cluster,
            "service.k8s.aws/resource": "LoadBalancer",
            "service.k8s.aws/stack": service,
            **wanted.tags,
        }

    def _groups(self, owner: StoredObject, wanted: LoadBalancer, vpc_id: str) -> list[str]:
        """Make the load balancer's own security group, and the one that all of the cluster share."""
        tags = {**self._tags(wanted), "service.k8s.aws/resource": "ManagedLBSecurityGroup"}
        shared = f"k8s-traffic-{self._cluster[:20]}-"
        present = [
            group
            for group in self._store.find(_GROUP, account=self._account, region=self._region)
            if group.name.startswith(shared) and group.state["vpc_id"] == vpc_id
        ]
        backend = present or [
            self._group(
                owner,
                f"{shared}{random_text('hex', 10)}",
                vpc_id,
                {"elbv2.k8s.aws/cluster": self._cluster, "elbv2.k8s.aws/resource": "backend-sg"},
            )
        ]
        return [self._group(owner, wanted.name, vpc_id, tags).id, backend[0].id]

    def _group(self, owner: StoredObject, name: str, vpc_id: str, tags: dict[str, str]) -> StoredObject:
        id = f"sg-{random_text('hex', 17)}"
        about = "[k8s] Managed SecurityGroup for LoadBalancer"
        return add_group(
            self._store, owner, id, name=name, description=about, vpc_id=vpc_id, tags=tags, origin="cluster"
        )

    def _subnets(self, vpc_id: str, *, internal: bool) -> list[str]:
        role = "kubernetes.io/role/internal-elb" if internal else "kubernetes.io/role/elb"
        found = self._store.find("aws_subnet", account=self._account, region=self._region)
        return [one.id for one in found if one.state["vpc_id"] == vpc_id and role in one.tags]

    def _is_possible(self, vpc_id: str, subnets: list[str], *, internal: bool) -> bool:
        """Whether the cloud takes a load balancer in these subnets."""
        for vpc in self._store.find("aws_vpc", account=self._account, region=self._region, id=vpc_id):
            try:
                balancer_rules.check(self._store, vpc, subnets, internal=internal)
            except CloudError:
                return False
        return True

    def _create(self, type: str, id: str, name: str, state: dict[str, object]) -> StoredObject:
        return self._store.create(
            NewObject(self._account, self._region, type, id, name, state, "", "cluster")
        )

    def _arn(self, kind: str) -> str:
        return f"arn:aws:elasticloadbalancing:{self._region}:{self._account}:{kind}"


def delete_load_balancer(store: Store, balancer: StoredObject) -> None:
    """Delete a load balancer; its interfaces go some time later."""
    seconds = store.lasting("load_balancer_interfaces", INTERFACE_SECONDS)
    store.delete(balancer)
    for interface in interfaces_of(store, balancer):
        store.delete(interface, seconds)
