"""docs/permissions.md: every permission of the role with its why, and what it is not given."""

import json
from collections.abc import Iterator
from typing import Any

from scripts.customer_account.unasked import unasked

from beta9_provisioning.clouds.aws import permissions
from beta9_provisioning.clouds.aws.permissions import Grant

BOUNDARY_OF_ROLES = "BOUNDARY_OF_ROLES"
"""What stands for the ARN in policies for accounts that bound the roles that are made there."""

_HEAD = """\
# What the role in a customer's account may do

Written by `python -m scripts.render_permissions` from `src/beta9_provisioning/clouds/aws/permissions.toml`; a test fails when
the two differ. How the role is made is in [customer-account.md](customer-account.md).

The role `Beta9Provisioner` has four policies, one for each phase of an environment's life. Reading and writing Terraform's state is
in each of them. The worker needs all four: a create that failed takes away what it made, and every operation reads. `PREFIX` stands
for the start of buckets' names (`beta9`, unless the role was made for another one)."""

_SIZES = """\
## Sizes

IAM takes 6,144 characters for a policy; white space does not count. Figures are for the prefix `beta9`."""

_NOT_LIMITED = """\
## What these limits do not hold

- **Roles.** The role makes roles whose names begin with `beta9-`, and writes their inline policies, whatever these say. Whoever holds
  it can so make a role that may do more than it may itself. [A boundary of the roles it
  makes](customer-account.md#a-boundary-of-the-roles-that-are-made) closes that: with it what is marked "bounded" here holds for roles
  with this boundary only.
- **Names.** Other resources of the account whose names begin with `beta9-`, and buckets that begin with the prefix, are taken for
  environments'. No role of yours should have such a name, or be in a path of which a part begins with `beta9-`.
- **Networks.** Into any VPC of the account the role may put security groups, if they carry its tag, since a
  [VPC of yours](own-network.md) does not. It may change no other, and attach none to what is there.
- **Regions.** The policies hold in all of them; an organization's policies can limit that."""

_UNASKED = """\
## What it is not given

IAM Policy Autopilot derives from the provider's source which operations each of Terraform's types may call; the simulated cloud
judges by that list (`cloud/authorization/provider_operations.json`), which is not made from ours. These {count} permissions are in it
for the types of our stacks, and in none of the policies."""


def page() -> str:
    """Return the whole page."""
    parts = [_HEAD, _SIZES, _table(["policy", "actions", "characters", "for"], _sizes())]
    for phase, says in permissions.phases().items():
        parts += [f"## {phase.capitalize()}", says, _table(["on", "why", "actions"], _grants(phase))]
    told = unasked()
    rows = [
        [f"`{action}`", ", ".join(f"`{type_}`" for type_ in types), "; ".join(why)]
        for action, (types, why) in told.items()
    ]
    parts += [
        _NOT_LIMITED,
        _UNASKED.format(count=len(rows)),
        _table(["permission", "types", "why not"], rows),
    ]
    return "\n\n".join(parts) + "\n"


def of_phase(phase: str) -> list[Grant]:
    """Return what is granted in a phase."""
    return [grant for grant in permissions.grants() if phase in grant.phases]


def _sizes() -> Iterator[list[str]]:
    for phase, says in permissions.phases().items():
        actions = {action for grant in of_phase(phase) for action in grant.actions}
        size = permissions.characters(permissions.policy(phase))
        yield [f"`{permissions.policy_name(phase)}`", str(len(actions)), f"{size:,}", says]


def _grants(phase: str) -> Iterator[list[str]]:
    for grant in of_phase(phase):
        scope = permissions.scopes()[grant.scope]
        on = [*map(_resource, scope.on if scope.on != ("*",) else ()), *_conditions(scope.condition)]
        named = f"{scope.says}: {', '.join(on)}" if on else scope.says
        named += " (bounded)" if grant.is_bounded else ""
        yield [named, grant.why, ", ".join(f"`{action}`" for action in grant.actions)]


def _resource(arn: str) -> str:
    return f"`{arn.replace('$BucketPrefix', 'PREFIX')}`"


def _conditions(condition: dict[str, dict[str, Any]]) -> Iterator[str]:
    for operator, keys in condition.items():
        for key, value in keys.items():
            values = value if isinstance(value, list) else [value]
            yield f"`{operator}` `{key}` {' or '.join(f'`{one}`' for one in values)}"


def _table(head: list[str], rows: Any) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def policy_file(phase: str, boundary_of_roles: str | None = None) -> str:
    """Return the JSON file of a phase's policy."""
    return json.dumps(permissions.policy(phase, boundary_of_roles=boundary_of_roles), indent=2) + "\n"
