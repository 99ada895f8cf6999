"""The published policies: their files say what the source says, fit into IAM, and are no way up."""

import json
import re
from fnmatch import fnmatchcase
from functools import cache
from itertools import product
from typing import Any

import pytest
from scripts.customer_account import trust
from scripts.customer_account.unasked import unasked
from scripts.render_permissions import FILES
from tests.support.documents import ROOT

from beta9_provisioning.clouds.aws import permissions
from beta9_provisioning.clouds.aws.access_questions import (
    MOST_ACTIONS,
    MOST_RESOURCES,
    Place,
    batches,
    questions,
)
from beta9_provisioning.clouds.aws.adoption_services import REMOVERS
from beta9_provisioning.clouds.aws.rules import ROLE_NAME
from beta9_provisioning.clouds.cloud import Phase
from beta9_provisioning.schemas.configuration import ObjectStore
from beta9_simulator.cloud.authorization import reference
from beta9_simulator.cloud.authorization.provider_needs import operations
from beta9_simulator.cloud.iam.documents import Document, Kind, parse
from beta9_simulator.cloud.iam.evaluation import Asked, Caller, Held, decide

ACCOUNT = "123456789012"
LONG_PREFIX = "a" * 37
LISTS = ":List"
# No condition fulfilled, or those of what roles are used for.
CONTEXTS: tuple[dict[str, str], ...] = (
    {},
    {"iam:PassedToService": "eks.amazonaws.com"},
    {"iam:PolicyARN": "arn:aws:iam::aws:policy/AmazonEKSClusterPolicy"},
    {"iam:AWSServiceName": "eks.amazonaws.com"},
)
VERBS = ("Delete", "Get", "Put")
GLOBAL_KEYS = {"aws:requesttag/", "aws:resourcetag/"}
GRANTED = sorted({action for grant in permissions.grants() for action in grant.actions})


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_what_the_source_says(name: str) -> None:
    committed = (ROOT / name).read_text(encoding="utf-8")
    assert committed == FILES[name](), "run: python -m scripts.render_permissions"


@pytest.mark.parametrize("phase", permissions.phases())
def test_a_policy_fits_whatever_the_buckets_are_called(phase: str) -> None:
    size = permissions.characters(permissions.policy(phase, bucket_prefix=LONG_PREFIX))
    assert size <= permissions.MOST_CHARACTERS
    assert document(phase, LONG_PREFIX).size == size


@pytest.mark.parametrize("phase", permissions.phases())
def test_a_policy_fits_with_a_boundary_of_roles_too(phase: str) -> None:
    arn = f"arn:aws:iam::{ACCOUNT}:policy/{'b' * 128}"
    bounded = permissions.policy(phase, bucket_prefix=LONG_PREFIX, boundary_of_roles=arn)
    assert permissions.characters(bounded) <= permissions.MOST_CHARACTERS
    is_other = bounded != permissions.policy(phase, bucket_prefix=LONG_PREFIX)
    assert is_other == (phase in permissions.bounded_phases())


def test_roles_that_are_made_keep_to_their_boundary() -> None:
    """Nothing lets the role make or write one without it, take it away, or change what it says."""
    arn = f"arn:aws:iam::{ACCOUNT}:policy/Boundary"
    role = f"arn:aws:iam::{ACCOUNT}:role/beta9-x-node"
    policy = {"iam:PolicyARN": "arn:aws:iam::aws:policy/AmazonEKSClusterPolicy"}
    written = ("iam:AttachRolePolicy", "iam:CreateRole", "iam:PutRolePolicy")
    for action in written:
        for boundary, is_good in ((arn, True), (f"{arn}2", False), ("", False)):
            context = {**policy, **({permissions.BOUNDARY_KEY: boundary} if boundary else {})}
            assert is_allowed("create", action, role, context, boundary=arn) == is_good
            assert is_allowed("create", action, role, context)
    for action in GRANTED:
        is_about_boundaries = action.startswith("iam:") and ("Boundary" in action or "Policy" in action)
        removes = ("iam:DeleteRolePolicy", "iam:DetachRolePolicy", "iam:GetRolePolicy")
        reads = ("iam:SimulatePrincipalPolicy",)
        assert not is_about_boundaries or action in (*written, *removes, *reads)


def place(boundary: str | None = None) -> Place:
    return Place("env_0123456789abcdef", ACCOUNT, "eu-west-1", "/teams/", "acme", boundary)


def test_the_access_check_asks_for_all_that_is_granted() -> None:
    asked = {question.action for question in questions(place(), permissions.phases())}
    assert {*asked, "iam:SimulatePrincipalPolicy"} == set(GRANTED)
    assert {phase.value for phase in Phase} == set(permissions.phases())


@pytest.mark.parametrize("boundary", [None, f"arn:aws:iam::{ACCOUNT}:policy/Boundary"])
def test_the_published_policies_allow_what_the_access_check_asks(boundary: str | None) -> None:
    """On a resource of a type that the action is about: on another one IAM's simulator allows nothing."""
    for question in questions(place(boundary), permissions.phases()):
        phases = [
            phase for phase in permissions.phases() if permissions.policy_name(phase) in question.policies
        ]
        for ask in (question, *([question.narrowed()] if question.narrower else [])):
            forms = [re.sub(r"\$\{\w+\}", "*", form) for form in reference.templates(ask.action)]
            fitting = [arn for arn in ask.resources if any(fnmatchcase(arn, form) for form in forms)]
            if ask is question or forms:
                assert fitting or not ask.resources, ask
            for phase in phases:
                context = dict(ask.context)
                for resource in fitting or ("*",):
                    assert is_allowed(
                        phase, ask.action, resource, context, prefix="acme", boundary=boundary
                    ), ask


def test_the_access_check_takes_few_calls() -> None:
    made = batches(questions(place(), permissions.phases()))
    assert len(made) == 18
    assert all(len(one.actions) <= MOST_ACTIONS for one in made)
    assert all(len(one.resources) <= MOST_RESOURCES for one in made)


@pytest.mark.parametrize("phase", permissions.phases())
def test_the_state_can_be_reached_in_every_phase(phase: str) -> None:
    state = "arn:aws:s3:::beta9-tfstate-123456789012-us-east-1"
    for action, place in (("ListBucket", ""), *((f"{verb}Object", "/environments/1/s") for verb in VERBS)):
        assert is_allowed(phase, f"s3:{action}", state + place), action


def test_another_prefix_of_buckets_leaves_the_state_bucket_to_a_destroy() -> None:
    """The state bucket does not follow the prefix, and its destroy takes all versions of a state."""
    state = "arn:aws:s3:::beta9-tfstate-123456789012-us-east-1"
    for action, place in (
        ("s3:ListBucketVersions", state),
        ("s3:DeleteBucket", state),
        ("s3:DeleteObjectVersion", f"{state}/environments/1/terraform.tfstate"),
    ):
        assert is_allowed("destroy", action, place, prefix="acme"), action
    assert not is_allowed("destroy", "s3:DeleteBucket", "arn:aws:s3:::beta9-abc", prefix="acme")


def test_aws_knows_every_action() -> None:
    assert not [action for action in GRANTED if "*" in action]
    assert set(GRANTED) <= reference.actions()


def test_every_condition_can_be_fulfilled() -> None:
    """A key that AWS does not know for an action would make its statement allow nothing."""
    for grant in permissions.grants():
        for keys in permissions.scopes()[grant.scope].condition.values():
            for key in keys:
                wanted = key.lower()
                forms = {wanted, wanted.partition("/")[0] + "/"}
                for action in grant.actions:
                    assert forms & reference.permission(action).known, f"{action} does not know {key}"


def test_roles_are_passed_to_services_only() -> None:
    grants = [grant for grant in permissions.grants() if "iam:PassRole" in grant.actions]
    assert [grant.scope for grant in grants] == ["passed"]
    condition = permissions.scopes()["passed"].condition
    (services,) = condition["StringEquals"].values()
    assert list(condition["StringEquals"]) == ["iam:PassedToService"]
    assert all(service.endswith(".amazonaws.com") and "*" not in service for service in services)
    assert not is_allowed("create", "iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/beta9-x-nodes")
    lambdas = {"iam:PassedToService": "lambda.amazonaws.com"}
    assert not is_allowed("create", "iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/beta9-x-nodes", lambdas)


def test_the_role_changes_neither_itself_nor_its_policies() -> None:
    named = [ROLE_NAME, *map(permissions.policy_name, permissions.phases())]
    harmless = ("iam:SimulatePrincipalPolicy",)
    asked = [
        action
        for action in GRANTED
        if action.startswith("iam:") and LISTS not in action and action not in harmless
    ]
    for phase in permissions.phases():
        for action in asked:
            for kind, path, name in product(("role", "policy"), ("/", "/teams/beta9/"), named):
                resource = f"arn:aws:iam::{ACCOUNT}:{kind}{path}{name}"
                for context in CONTEXTS:
                    assert not is_allowed(phase, action, resource, context), (phase, action, resource)


def test_a_path_that_would_make_the_role_one_of_its_own_is_refused() -> None:
    """`*` in a resource takes slashes: in such a path the role could write its own policies."""
    for path in ("/beta9-team/", "/a/beta9-team/"):
        assert is_allowed("create", "iam:PutRolePolicy", f"arn:aws:iam::{ACCOUNT}:role{path}{ROLE_NAME}")
        assert not re.fullmatch(trust.PATH, path)
    assert all(re.fullmatch(trust.PATH, path) for path in ("/", "/beta9/", "/teams/my-beta9-x/"))
    assert not re.fullmatch(trust.NAME, "beta9-provisioner")
    assert re.fullmatch(trust.NAME, trust.ROLE_NAME)
    assert trust.ROLE_NAME == ROLE_NAME


def test_the_parameter_takes_the_prefixes_that_configurations_take() -> None:
    for prefix in ("beta9", "a-1", "b" * 30):
        assert ObjectStore(bucket_prefix=prefix)
        assert re.fullmatch(trust.BUCKET_PREFIX, prefix)
    for prefix in ("a", "b" * 31, "-ab", "Ab1"):
        assert not re.fullmatch(trust.BUCKET_PREFIX, prefix)


def test_the_template_fits_into_a_request() -> None:
    """CloudFormation takes 51,200 bytes in a request; a longer one would have to lie in a bucket."""
    assert len(FILES["iam/customer-account/beta9-provisioner.yaml"]().encode()) <= 51_200


def test_what_is_not_asked_for_has_a_reason() -> None:
    told = unasked()
    assert told
    assert not set(told) & set(GRANTED)
    assert all(types and all(why) for types, why in told.values())


@cache
def document(phase: str, prefix: str, boundary: str | None = None) -> Document:
    """The policy of a phase as IAM reads it."""
    made = permissions.policy(phase, bucket_prefix=prefix, boundary_of_roles=boundary)
    return parse(json.dumps(made), Kind.IDENTITY)


def is_allowed(
    phase: str,
    action: str,
    resource: str,
    context: Any = None,
    *,
    prefix: str = permissions.BUCKET_PREFIX,
    boundary: str | None = None,
) -> bool:
    """Decide as IAM does, with the policy of one phase alone."""
    known = reference.permission(action).known | GLOBAL_KEYS | {key.lower() for key in context or {}}
    arn = f"arn:aws:sts::{ACCOUNT}:assumed-role/{ROLE_NAME}/worker"
    caller = Caller(arn, ACCOUNT, f"arn:aws:iam::{ACCOUNT}:role/{ROLE_NAME}")
    asked = Asked(action, resource, context or {}, known)
    return decide(asked, caller, Held(identity=(document(phase, prefix, boundary),))).is_allowed


@pytest.mark.parametrize("type_", sorted(REMOVERS))
def test_a_create_may_take_away_what_aws_could_not_finish(type_: str) -> None:
    """What the adoption of a failed create deletes, a provision has to be allowed."""
    deletes = {name for name in operations()[type_]["delete"] if ":Delete" in name}
    granted = {
        action for grant in permissions.grants() if "create" in grant.phases for action in grant.actions
    }
    assert deletes & granted
