"""How what exists of an environment is looked up: what all types of resources share.

A search asks AWS once for each kind and remembers the answer: it is made for one look, and then another.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from beta9_provisioning.clouds.aws.inventory import ec2_entries, listed
from beta9_provisioning.clouds.aws.inventory_kinds import EC2, KIND_OF, NAMED
from beta9_provisioning.clouds.aws.names import Names, names
from beta9_provisioning.clouds.aws.session import AwsSession
from beta9_provisioning.clouds.stands import Condition, Known
from beta9_provisioning.engine.spec import ENVIRONMENT_ID_TAG

Body = Mapping[str, Any]
Entry = Mapping[str, Any]
_REFERENCE = re.compile(r"\$\{(aws_\w+\.\w+)\.(\w+)\}")
_MOST_VALUES = 200
"""So many values a filter of EC2 may have."""


@dataclass(frozen=True)
class Found:
    """What AWS shows of one address.

    Attributes:
        id: by which others refer to it.
        import_id: by which Terraform takes it into its state, if that is another.
        condition: how it is.
        holds_data: whether somebody's data may be lost with it.
        status: AWS's word for its condition; empty when it tells none.
    """

    id: str
    import_id: str = ""
    condition: Condition = Condition.READY
    holds_data: bool = False
    status: str = ""


class Search:
    """One look at an environment's resources.

    Addresses are looked for in an order in which what a resource refers to comes before it.
    """

    def __init__(self, session: AwsSession, environment_id: str, known: Known) -> None:
        self.session = session
        self.environment_id = environment_id
        self.known = known
        self.names: Names = names(environment_id)
        self._found: dict[str, str] = {}
        self._entries: dict[str, dict[str, Entry]] = {}
        self._named: dict[str, dict[str, str]] = {}

    def note(self, address: str, found: Found) -> None:
        """Remember what was found, for those that refer to it."""
        self._found[address] = found.id

    def value(self, body: Body, name: str) -> str:
        """Return an argument that is a text, or names another resource; empty when that is unknown."""
        given = body.get(name)
        if not isinstance(given, str):
            return ""
        reference = _REFERENCE.fullmatch(given)
        return self.id_of(reference[1], reference[2]) if reference else given

    def id_of(self, address: str, attribute: str = "id") -> str:
        """Return the id of another resource, or its name where it has one; empty when it is unknown."""
        named = self.known.stack.get(address, {}).get(attribute)
        if isinstance(named, str):
            return named
        return self._found.get(address) or self.known.state.get(address, "")

    def entries(self, kind: str) -> Mapping[str, Entry]:
        """Return all that EC2 shows of a kind with the environment's tag, or with an id that is known."""
        if kind not in self._entries:
            self._entries[kind] = dict(self._described(kind))
        return self._entries[kind]

    def named(self, kind: str) -> Mapping[str, str]:
        """Return names and states of a kind; what lacks the environment's stem may be left out."""
        if kind not in self._named:
            self._named[kind] = dict(listed(self.session, NAMED[kind], self.names.stem))
        return self._named[kind]

    @cached_property
    def taken(self) -> frozenset[str]:
        """The ids that the state has: what has one of them is of no other address."""
        return frozenset(self.known.state.values())

    def choose(self, address: str, matching: Mapping[str, Entry]) -> str | None:
        """Return the id of the entry that is an address's: the one that is known, or the first that is free.

        What the state has under this address is no other than that.
        """
        state = self.known.state.get(address)
        if state:
            return state if state in matching else None
        free = sorted(matching.keys() - self.taken - set(self._found.values()))
        journaled = self.known.journal.get(address)
        return journaled if journaled in free else next(iter(free), None)

    def _described(self, kind: str) -> Iterator[tuple[str, Entry]]:
        wanted = [{"Name": f"tag:{ENVIRONMENT_ID_TAG}", "Values": [self.environment_id]}]
        ids = self._known_ids(kind)
        if ids and (name := EC2[kind].id_filter):
            wanted.append({"Name": name, "Values": ids[:_MOST_VALUES]})
        for one in wanted:
            yield from ec2_entries(self.session, kind, one)

    def _known_ids(self, kind: str) -> list[str]:
        known = (*self.known.state.items(), *self.known.journal.items())
        return sorted({id_ for address, id_ in known if id_ and KIND_OF.get(type_of(address)) == kind})


def type_of(address: str) -> str:
    """Return the type of a Terraform address."""
    return address.partition(".")[0]


@dataclass(frozen=True)
class Wanted:
    """What is looked for: an address of the stack, the arguments of its resource, and the search it is of."""

    search: Search
    address: str
    body: Body

    def value(self, argument: str) -> str:
        """Return an argument that is a text, or names another resource; empty when that is unknown."""
        return self.search.value(self.body, argument)

    @property
    def name(self) -> str:
        """The tag `Name` that the resource is to have; empty when it is to have none."""
        return str((self.body.get("tags") or {}).get("Name", ""))

    @property
    def was_made(self) -> bool:
        """Whether the journal says that it was once made to its end."""
        return self.address in self.search.known.journal


Find = Callable[[Wanted], Found | None]
"""Look for a resource; return None if there is none."""


def referred(body: Body, argument: str) -> str:
    """Return the address of the resource that an argument names; empty when it names none."""
    reference = _REFERENCE.fullmatch(str(body.get(argument)))
    return reference[1] if reference else ""


def name_tag(entry: Entry) -> str:
    """Return the tag `Name` of an entry; empty when it has none."""
    return next((str(tag["Value"]) for tag in entry.get("Tags", ()) if tag["Key"] == "Name"), "")
