"""How each type of resource is adopted that exists in AWS and that Terraform's state does not have.

A type is either imported, by an id of the form that its provider takes, or made again: then its create is a
request that says how something is to be, and changes nothing when it is so already. `tests` hold the table
against the stack: it has every type.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from beta9_provisioning.clouds.aws import adoption_network, adoption_services
from beta9_provisioning.clouds.aws.adoption_search import Find, Found, Search, Wanted, type_of
from beta9_provisioning.clouds.aws.refusals import AwsError
from beta9_provisioning.clouds.aws.session import AwsSession
from beta9_provisioning.clouds.stands import Condition, Known, Standing
from beta9_provisioning.engine.errors import Stopped

_POLL_SECONDS = 2.0


@dataclass(frozen=True)
class Way:
    """How a type is adopted.

    Attributes:
        form: of its import id, as documentation; empty when it is made again instead.
        find: looks for it; None when it is made again.
        why: which request makes it again.
    """

    form: str = ""
    find: Find | None = None
    why: str = ""


_AGAIN: Mapping[str, str] = {
    # The group comes with its VPC, and the provider's create takes it as it is.
    "aws_default_security_group": "ec2:CreateTags",
    # Of the errors of this request none says that the association exists.
    "aws_eks_access_policy_association": "eks:AssociateAccessPolicy",
    "aws_s3_bucket_cors_configuration": "s3:PutBucketCors",
    "aws_s3_bucket_lifecycle_configuration": "s3:PutBucketLifecycleConfiguration",
    "aws_s3_bucket_logging": "s3:PutBucketLogging",
    "aws_s3_bucket_ownership_controls": "s3:PutBucketOwnershipControls",
    "aws_s3_bucket_policy": "s3:PutBucketPolicy",
    "aws_s3_bucket_public_access_block": "s3:PutPublicAccessBlock",
    "aws_s3_bucket_server_side_encryption_configuration": "s3:PutBucketEncryption",
    "aws_s3_bucket_versioning": "s3:PutBucketVersioning",
}

WAYS: Mapping[str, Way] = {
    **{
        type_: Way(form=form, find=find)
        for group in (
            adoption_network.FINDERS,
            adoption_services.FIRST,
            adoption_network.AFTER_CLUSTER,
            adoption_services.REST,
        )
        for type_, (form, find) in group.items()
    },
    **{type_: Way(why=why) for type_, why in _AGAIN.items()},
}
"""By Terraform's types, in an order in which what a resource refers to comes before it."""
_ORDER = {type_: position for position, type_ in enumerate(WAYS)}


def standing(
    session: AwsSession, environment_id: str, wanted: Collection[str], known: Known
) -> list[Standing]:
    """Return which of these addresses exist, in an order in which what they refer to comes first.

    Raises:
        AwsError: AWS failed, or the role may not look.
    """
    search = Search(session, environment_id, known)
    found = []
    with session.explained("look for what exists of the environment"):
        # A stack of another release may have types that this one does not know.
        known_types = [one for one in wanted if type_of(one) in _ORDER]
        for address in sorted(known_types, key=lambda one: (_ORDER[type_of(one)], one)):
            one = _look(search, address)
            if one is not None:
                found.append(one)
    return found


def _look(search: Search, address: str) -> Standing | None:
    way = WAYS[type_of(address)]
    if way.find is None:
        held = search.known.state.get(address)
        return Standing(address, held, Condition.READY) if held else None
    found = way.find(Wanted(search, address, search.known.stack[address]))
    if found is None:
        return None
    search.note(address, found)
    return Standing(address, found.import_id or found.id, found.condition, found.holds_data, found.status)


def remove(
    session: AwsSession,
    environment_id: str,
    failed: Standing,
    known: Known,
    *,
    seconds: float,
    stop: threading.Event,
) -> None:
    """Delete what failed for good, and wait until it is gone.

    Raises:
        AwsError: `removal_timeout` when it is still there after so many seconds; `not_removed` when there is
            no way to delete its type; or another failure of AWS.
        Stopped: the stop event was set.
    """
    remover = adoption_services.REMOVERS.get(type_of(failed.address))
    if remover is None:
        raise AwsError(
            f"{failed.address} failed, and is of a kind that is not deleted alone.",
            detail=f"{failed.import_id} is {failed.status or 'not in use'}.",
            remedy="Delete it in the account, then try again.",
            code="not_removed",
        )
    known = replace(known, state={**known.state, failed.address: failed.import_id})
    deadline = time.monotonic() + seconds
    with session.explained(f"delete {failed.address}, which failed"):
        while (left := _find(session, environment_id, failed.address, known)) is not None:
            if left.condition is Condition.FAILED:
                remover(session, left)
            if time.monotonic() >= deadline:
                raise AwsError(
                    f"{failed.address} failed, and was not gone after {seconds:g} s.",
                    detail=f"{left.id} is {left.status}.",
                    remedy="See in the account what holds it, then try again.",
                    code="removal_timeout",
                )
            if stop.wait(_POLL_SECONDS):
                raise Stopped(f"The wait for the end of {failed.address} was stopped.")


def _find(session: AwsSession, environment_id: str, address: str, known: Known) -> Found | None:
    way = WAYS[type_of(address)]
    assert way.find is not None
    search = Search(session, environment_id, known)
    return way.find(Wanted(search, address, known.stack[address]))
