"""Where the simulator's doors listen, and under which name their clients reach them."""

import ipaddress
import re
from dataclasses import dataclass

_LABEL = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")


@dataclass(frozen=True)
class Listening:
    """An address to listen on, and the host that URLs and certificates carry.

    Attributes:
        address: an IP address of this machine.
        name: what clients call it: the address itself on loopback, else a name of the containers' network.
    """

    address: str = "127.0.0.1"
    name: str = "127.0.0.1"

    @classmethod
    def checked(cls, address: str, name: str) -> "Listening":
        """Return both, when nobody can take this simulator for a public service.

        Beyond loopback it needs a name of one label. Such a name is in no public zone, and of other machines
        workers ask none else whether it is the simulator.

        Raises:
            ValueError: they do not fit; the message is for whoever started the simulator.
        """
        if ipaddress.ip_address(address).is_loopback:
            if name:
                raise ValueError(f"on {address} the simulator has no other name: leave --name out")
            return cls(address, address)
        if not _LABEL.fullmatch(name) or name == "localhost":
            raise ValueError(
                f"beyond loopback (--host {address}) --name has to be a name of one label, such as `cloud`, "
                f"by which the containers' network knows this host; {name!r} is none"
            )
        return cls(address, name)


LOOPBACK = Listening()
