"""What the texts of a configuration may look like, one by one."""

from ipaddress import IPv4Network
from typing import Annotated

from pydantic import AfterValidator, StringConstraints

Name = Annotated[str, StringConstraints(min_length=1, max_length=40, pattern=r"^[a-z]([a-z0-9-]*[a-z0-9])?$")]
LabelKey = Annotated[
    str,
    StringConstraints(
        max_length=317,
        pattern=r"^([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$",
    ),
]
LabelValue = Annotated[
    str, StringConstraints(max_length=63, pattern=r"^([A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?)?$")
]
TagKey = Annotated[str, StringConstraints(min_length=1, max_length=128)]
TagValue = Annotated[str, StringConstraints(max_length=256)]
# A name in DNS has 253 characters at most, and the gateway's second name is `grpc.` before this one.
_MAX_DOMAIN = 253 - len("grpc.")
Domain = Annotated[
    str,
    StringConstraints(
        max_length=_MAX_DOMAIN,
        pattern=r"^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])$",
    ),
]


# The ranges that no one on the internet has: RFC 1918, and the shared space of RFC 6598, which EKS takes too.
_PRIVATE_RANGES = tuple(map(IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10")))


def _ipv4_network(text: str) -> IPv4Network:
    try:
        return IPv4Network(text)
    except ValueError:
        raise ValueError("must be an IPv4 range without host bits, such as 10.0.0.0/16") from None


def _is_network(text: str) -> str:
    _ipv4_network(text)
    return text


def _is_private_network(text: str) -> str:
    network = _ipv4_network(text)
    if not any(network.subnet_of(private) for private in _PRIVATE_RANGES):
        raise ValueError(f"must be within {', '.join(map(str, _PRIVATE_RANGES))}")
    return text


def _takes_subnets(text: str) -> str:
    if not 16 <= IPv4Network(text).prefixlen <= 20:
        raise ValueError("must be of /16 to /20: AWS takes no larger one, and smaller ones are soon full")
    return text


def _takes_services(text: str) -> str:
    if not 12 <= IPv4Network(text).prefixlen <= 24:
        raise ValueError("must be of /12 to /24, as EKS demands")
    return text


_CIDR_SHAPE = StringConstraints(max_length=18, pattern=r"^[0-9.]+/[0-9]{1,2}$")
Cidr = Annotated[str, _CIDR_SHAPE, AfterValidator(_is_network)]
PrivateCidr = Annotated[str, _CIDR_SHAPE, AfterValidator(_is_private_network)]
NetworkCidr = Annotated[PrivateCidr, AfterValidator(_takes_subnets)]
ServiceCidr = Annotated[PrivateCidr, AfterValidator(_takes_services)]
VpcId = Annotated[str, StringConstraints(max_length=21, pattern=r"^vpc-[0-9a-f]{8,17}$")]
SubnetId = Annotated[str, StringConstraints(max_length=24, pattern=r"^subnet-[0-9a-f]{8,17}$")]
ZoneId = Annotated[str, StringConstraints(max_length=20, pattern=r"^[a-z]{2,6}[0-9]+-az[0-9]+$")]
KeyArn = Annotated[
    str,
    StringConstraints(max_length=256, pattern=r"^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key/[A-Za-z0-9-]+$"),
]
PolicyArn = Annotated[
    str,
    StringConstraints(
        max_length=256, pattern=r"^arn:aws[a-z-]*:iam::([0-9]{12}|aws):policy/[A-Za-z0-9_+=,.@/-]+$"
    ),
]
AdminArn = Annotated[
    str,
    StringConstraints(
        max_length=700, pattern=r"^arn:aws[a-z-]*:iam::[0-9]{12}:(role|user)/[A-Za-z0-9_+=,.@/-]+$"
    ),
]
