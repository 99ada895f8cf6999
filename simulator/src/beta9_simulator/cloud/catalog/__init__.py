"""What the simulated cloud knows about each resource type, read from ``aws.json``.

The data is a model of AWS: id forms, computed values, defaults, what forces replacement, durations,
unique names and what depends on what. Defaults and replacement follow the documentation and behaviour of
hashicorp/aws; the tests hold them against the genuine 3.39.0 binary where it knows the type. Durations
are typical ones, in seconds. Templates use ``$name`` for another attribute of the object, ``$account``,
``$region``, ``$id``, ``$now``, or random text such as ``$hex17`` (see ``templates``).
"""

import json
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Link:
    """Other objects of ``type`` whose ``attribute`` (a dotted path) holds this object's attribute ``own``.

    ``used_by`` narrows them to those that are linked from somewhere in turn; ``unless`` names an
    attribute of the other object that must not hold the same value (a rule inside the very group it
    refers to). ``same`` names attributes that both must share.
    """

    type: str
    attribute: str
    own: str = "id"
    error: str = ""
    message: str = ""
    used_by: "Link | None" = None
    unless: str = ""
    same: tuple[str, ...] = ()


@dataclass(frozen=True)
class Need:
    """An attribute that must name an existing object of ``type`` by its ``attribute``, else ``error``.

    ``same`` lists attributes that both must share, such as the cluster of an access entry.
    """

    type: str
    attribute: str
    error: str
    same: tuple[str, ...] = ()


@dataclass(frozen=True)
class Unique:
    """Attributes that no two objects may share in an account's region, or ``within`` the cloud."""

    by: list[str]
    error: str
    message: str
    within: str = "region"
    error_elsewhere: str = ""


@dataclass(frozen=True)
class Entry:
    """One resource type. ``latency`` is (create, update, delete) in seconds; ``delete_retry`` likewise.

    ``late`` attributes have no value before the object is available. ``unread`` attributes are never
    returned by a read, only kept by Terraform; their values are what an import sets. ``imported`` are values
    inside of blocks for which the same is true. ``put`` marks operations that overwrite. ``counter`` is an
    attribute that grows by one with every update. ``arn`` is the template of an ARN that the object has but
    Terraform does not show.
    """

    service: str
    noun: str
    id: str
    scope: str = "region"
    arn: str = ""
    name: str = ""
    name_prefix: str = "name_prefix"
    name_start: str = ""
    imports: tuple[str, ...] = ()
    latency: tuple[float, float, float] = (1, 1, 1)
    status: dict[str, str] = field(default_factory=dict)
    late: tuple[str, ...] = ()
    put: bool = False
    counter: str = ""
    computed: dict[str, Any] = field(default_factory=dict)
    defaults: dict[str, Any] = field(default_factory=dict)
    force_new: tuple[str, ...] = ()
    unread: dict[str, Any] = field(default_factory=dict)
    imported: dict[str, dict[str, Any]] = field(default_factory=dict)
    valid: dict[str, str] = field(default_factory=dict)
    needs: dict[str, Need] = field(default_factory=dict)
    needs_active: tuple[str, ...] = ()
    unique: tuple[Unique, ...] = ()
    protected_by: str = ""
    blocked_by: tuple[Link, ...] = ()
    delete_retry: float = 0
    cascade: tuple[Link, ...] = ()

    @property
    def is_global(self) -> bool:
        """Whether objects belong to an account as a whole, as in IAM."""
        return self.scope == "global"


@cache
def catalog() -> dict[str, Entry]:
    """Return the catalog by Terraform resource type; the file is read once per process."""
    data = json.loads(Path(__file__).with_name("aws.json").read_text(encoding="utf-8"))
    return {type: _entry(raw) for type, raw in data.items()}


def _entry(raw: dict[str, Any]) -> Entry:
    made = dict(raw)
    made["imports"] = tuple(made.pop("import", ("$id",)))
    made["needs"] = {path: _need(*need) for path, need in raw.get("needs", {}).items()}
    made["unique"] = tuple(Unique(**unique) for unique in raw.get("unique", ()))
    for key in ("blocked_by", "cascade"):
        made[key] = tuple(_link(link) for link in raw.get(key, ()))
    for key in ("late", "force_new", "latency", "needs_active"):
        if key in made:
            made[key] = tuple(made[key])
    return Entry(**made)


def _link(raw: dict[str, Any]) -> Link:
    used_by = raw.get("used_by")
    same = tuple(raw.get("same", ()))
    return Link(**{**raw, "used_by": _link(used_by) if used_by else None, "same": same})


def _need(type: str, attribute: str, error: str, same: list[str] | None = None) -> Need:
    return Need(type, attribute, error, tuple(same or ()))
