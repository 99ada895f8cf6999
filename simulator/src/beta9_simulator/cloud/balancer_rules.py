"""What Elastic Load Balancing, and the controller that asks it, refuse of the subnets of a load balancer.

Codes are those of its service model. AWS complains of a VPC without an internet gateway, not of a subnet
without a route to one, and then nobody reaches the load balancer: here it is refused.
"""

from beta9_simulator.cloud import addresses
from beta9_simulator.cloud.network_rules import leads_to_internet
from beta9_simulator.cloud.rules import CloudError
from beta9_simulator.cloud.store import Store, StoredObject

# "Availability Zones for your Network Load Balancer" in its user guide.
_LEAST_FREE = 8


def check(store: Store, vpc: StoredObject, subnet_ids: list[str], *, internal: bool) -> None:
    """Raise ``CloudError`` when there can be no load balancer in these subnets of a VPC."""
    if not subnet_ids:
        raise CloudError("InvalidSubnet", "unable to resolve at least one subnet")
    zones: set[str] = set()
    for id_ in subnet_ids:
        found = store.find("aws_subnet", account=vpc.account, region=vpc.region, id=id_)
        if not found:
            raise CloudError("SubnetNotFound", f"The subnet ID '{id_}' does not exist")
        (subnet,) = found
        if subnet.state["vpc_id"] != vpc.id:
            raise CloudError("InvalidSubnet", f"The subnet '{id_}' is not of the VPC '{vpc.id}'")
        zone = str(subnet.state["availability_zone"])
        if zone in zones:
            raise CloudError(
                "InvalidConfigurationRequest",
                "A load balancer cannot be attached to multiple subnets in the same Availability Zone",
            )
        zones.add(zone)
        if not internal and not leads_to_internet(store, vpc.account, vpc.region, id_):
            raise CloudError("InvalidSubnet", f"The subnet '{id_}' has no route to an internet gateway")
        if addresses.free(store, subnet) < _LEAST_FREE:
            raise CloudError(
                "InvalidSubnet",
                f"Not enough IP space available in {id_}. ELB requires at least 8 "
                "free IP addresses in each subnet.",
            )
