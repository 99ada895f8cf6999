"""From where the Kubernetes API of an environment can be reached over the internet."""

from collections.abc import Sequence
from ipaddress import IPv4Network, collapse_addresses

from beta9_provisioning.engine.errors import EngineError
from beta9_provisioning.schemas.configuration import EnvironmentConfig


class ApiUnreachable(EngineError):
    """Nobody, not even this service, would reach the cluster."""

    code = "api_unreachable"


def api_networks(config: EnvironmentConfig, workers_from: Sequence[str]) -> tuple[str, ...]:
    """Return the networks from which the API can be reached: the user's, and those of the workers.

    Raises:
        ApiUnreachable: there are none. EKS would then open the API to everybody.
    """
    wanted = {IPv4Network(one) for one in (*config.cluster.api.public_from, *workers_from)}
    if not wanted:
        raise ApiUnreachable(
            "Nobody could reach the environment's Kubernetes API: neither cluster.api.public_from of the "
            "configuration nor the setting CONTROL_PLANE_CIDRS of this service names a network.",
            detail="The API is never open to everybody, and this service installs Beta9 through it.",
            remedy=(
                "The operator sets CONTROL_PLANE_CIDRS to the addresses from which the workers reach the "
                "internet, such as those of their NAT gateway; or name them in cluster.api.public_from."
            ),
        )
    return tuple(map(str, collapse_addresses(sorted(wanted))))
