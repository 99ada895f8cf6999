"""The AWS Load Balancer Controller: it makes load balancers of Services, with our tags, by pods' addresses.

EKS's own controller would open the nodes' ports to everybody, and tag nothing.
"""

from beta9_provisioning.clouds.aws.names import names
from beta9_provisioning.engine.beta9.values import tolerations
from beta9_provisioning.engine.helm.release import Release
from beta9_provisioning.engine.kubernetes.access import ClusterAccess
from beta9_provisioning.engine.spec import OWNERSHIP_TAGS, tags
from beta9_provisioning.schemas.configuration import EnvironmentConfig, Network

NAMESPACE = "kube-system"
SERVICE_ACCOUNT = "aws-load-balancer-controller"
_CHART = "aws-load-balancer-controller"
_VERSION = "3.6.0"

_PREFIX = "service.beta.kubernetes.io/aws-load-balancer-"


def annotations(network: Network) -> dict[str, str]:
    """Return those of a Service whose load balancer is the way in; it passes TLS and HTTP/2 through.

    In a network of the user's it is in subnets that are said, so that none needs a tag for this; where none
    of them is public, only the network itself reaches it.
    """
    subnets = network.public_subnet_ids or network.private_subnet_ids
    inside = network.vpc_id is not None and not network.public_subnet_ids
    return {
        f"{_PREFIX}type": "external",
        f"{_PREFIX}nlb-target-type": "ip",
        f"{_PREFIX}scheme": "internal" if inside else "internet-facing",
        **({f"{_PREFIX}subnets": ",".join(subnets)} if subnets else {}),
    }


def ownership(config: EnvironmentConfig, environment_id: str) -> dict[str, str]:
    """Return the annotation by which a controller of the user's gives a load balancer our tags.

    The user's own tags may hold signs that have a meaning there.
    """
    own = tags(config, environment_id)
    told = ",".join(f"{key}={own[key]}" for key in OWNERSHIP_TAGS)
    return {f"{_PREFIX}additional-resource-tags": told}


def controller(config: EnvironmentConfig, environment_id: str, access: ClusterAccess) -> Release:
    """Return the controller's release.

    Its webhook is asked about every Service, so it must be ready before any other chart makes one. The nodes'
    metadata is out of its reach, so it is told region and VPC.
    """
    values = {
        "clusterName": names(environment_id).cluster,
        "region": config.cloud.region,
        "vpcId": access.network_id,
        "replicaCount": 2,
        "serviceAccount": {"create": True, "name": SERVICE_ACCOUNT},
        "defaultTags": tags(config, environment_id),
        # What it may not do, and nobody here asks of it.
        "enableShield": False,
        "enableWaf": False,
        "enableWafv2": False,
        "createIngressClassResource": False,
        "tolerations": tolerations(config),
    }
    return Release(_CHART, NAMESPACE, _CHART, _VERSION, values, timeout=420.0)
