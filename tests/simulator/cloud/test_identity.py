"""IAM at the API's door: roles, policies and providers, which Terraform's door sees as well."""

import json
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from beta9_simulator.cloud.api import AwsApi
from beta9_simulator.cloud.seeding import Seeded
from beta9_simulator.cloud.store import GLOBAL, NewObject, Store

ACCOUNT = "999999999999"
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"AWS": ACCOUNT}, "Action": "sts:AssumeRole"}],
}
POLICY = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "arn:aws:iam::*:role/a"}],
}
READ_ONLY = "arn:aws:iam::aws:policy/ReadOnlyAccess"
ISSUER = "https://oidc.example.com/id/A1"


@pytest.fixture
def iam(api: AwsApi, seeded: Seeded) -> Any:
    return boto3.client(
        "iam",
        region_name="us-east-1",
        endpoint_url=api.url,
        aws_access_key_id=seeded.access_key,
        aws_secret_access_key=seeded.secret_key,
        # What the client itself would refuse, the cloud has to refuse.
        config=Config(parameter_validation=False),
    )


def text(document: object) -> str:
    return json.dumps(document)


def make_role(iam: Any, name: str = "it", **more: Any) -> dict[str, Any]:
    made: dict[str, Any] = iam.create_role(
        **{"RoleName": name, "AssumeRolePolicyDocument": text(TRUST), **more}
    )["Role"]
    return made


def make_policy(iam: Any, name: str = "may", **more: Any) -> str:
    return str(
        iam.create_policy(**{"PolicyName": name, "PolicyDocument": text(POLICY), **more})["Policy"]["Arn"]
    )


def refused(call: Any, **arguments: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as error:
        call(**arguments)
    return error.value.response["Error"]["Code"], error.value.response["Error"]["Message"]


# Roles


def test_a_role_is_what_it_was_made(iam: Any, store: Store, seeded: Seeded) -> None:
    make_role(
        iam,
        Path="/teams/a/",
        Description="for tests",
        MaxSessionDuration=7200,
        Tags=[{"Key": "team", "Value": "a"}],
    )
    role = iam.get_role(RoleName="it")["Role"]
    assert (role["Arn"], role["Path"]) == (f"arn:aws:iam::{ACCOUNT}:role/teams/a/it", "/teams/a/")
    assert (role["Description"], role["MaxSessionDuration"]) == ("for tests", 7200)
    assert role["AssumeRolePolicyDocument"] == TRUST
    assert role["Tags"] == [{"Key": "team", "Value": "a"}]
    stored = store.get(ACCOUNT, GLOBAL, "aws_iam_role", "it")
    assert stored is not None
    assert (stored.origin, stored.creator, stored.tags) == ("api", seeded.user_arn, {"team": "a"})
    (listed,) = iam.list_roles(PathPrefix="/teams/")["Roles"]
    assert listed["RoleName"] == "it"
    assert "Tags" not in listed
    assert iam.list_roles(PathPrefix="/others/")["Roles"] == []


def test_a_trust_policy_is_replaced(iam: Any) -> None:
    make_role(iam)
    other = {**TRUST, "Statement": [{**TRUST["Statement"][0], "Effect": "Deny"}]}  # type: ignore[dict-item]
    iam.update_assume_role_policy(RoleName="it", PolicyDocument=text(other))
    assert iam.get_role(RoleName="it")["Role"]["AssumeRolePolicyDocument"] == other


def test_a_name_is_taken_whatever_its_case(iam: Any) -> None:
    make_role(iam, "Taken")
    assert refused(iam.create_role, RoleName="taken", AssumeRolePolicyDocument=text(TRUST)) == (
        "EntityAlreadyExists",
        "Role with name taken already exists.",
    )


def test_tags_are_set_and_taken_away(iam: Any) -> None:
    make_role(iam, Tags=[{"Key": "Team", "Value": "a"}, {"Key": "kept", "Value": "yes"}])
    iam.tag_role(RoleName="it", Tags=[{"Key": "team", "Value": "b"}])
    iam.untag_role(RoleName="it", TagKeys=["nothing", "kept"])
    assert iam.list_role_tags(RoleName="it")["Tags"] == [{"Key": "team", "Value": "b"}]
    tags = [{"Key": f"t{number}", "Value": ""} for number in range(50)]
    assert refused(iam.tag_role, RoleName="it", Tags=tags)[0] == "LimitExceeded"
    twice = [{"Key": "a", "Value": ""}, {"Key": "a", "Value": ""}]
    assert refused(iam.tag_role, RoleName="it", Tags=twice)[0] == "InvalidInput"
    reserved = [{"Key": "aws:a", "Value": ""}]
    assert refused(iam.tag_role, RoleName="it", Tags=reserved)[0] == "InvalidParameterValue"


def test_a_role_goes_when_nothing_hangs_on_it(iam: Any) -> None:
    make_role(iam)
    arn = make_policy(iam)
    iam.attach_role_policy(RoleName="it", PolicyArn=arn)
    assert "must detach all policies" in refused(iam.delete_role, RoleName="it")[1]
    iam.detach_role_policy(RoleName="it", PolicyArn=arn)
    iam.put_role_policy(RoleName="it", PolicyName="own", PolicyDocument=text(POLICY))
    assert refused(iam.delete_role, RoleName="it") == (
        "DeleteConflict",
        "Cannot delete entity, must delete policies first.",
    )
    iam.delete_role_policy(RoleName="it", PolicyName="own")
    iam.delete_role(RoleName="it")
    assert refused(iam.get_role, RoleName="it")[0] == "NoSuchEntity"


def test_a_boundary_is_a_policy_that_exists(iam: Any) -> None:
    make_role(iam)
    nowhere = f"arn:aws:iam::{ACCOUNT}:policy/nowhere"
    for call in (iam.put_role_permissions_boundary, iam.create_role):
        arguments = {"RoleName": "other", "AssumeRolePolicyDocument": text(TRUST)}
        if call == iam.put_role_permissions_boundary:
            arguments = {"RoleName": "it"}
        assert refused(call, PermissionsBoundary=nowhere, **arguments) == (
            "NoSuchEntity",
            f"Scope ARN: {nowhere} does not exist or is not attachable.",
        )
    arn = make_policy(iam)
    iam.put_role_permissions_boundary(RoleName="it", PermissionsBoundary=arn)
    assert iam.get_role(RoleName="it")["Role"]["PermissionsBoundary"]["PermissionsBoundaryArn"] == arn
    assert iam.get_policy(PolicyArn=arn)["Policy"]["PermissionsBoundaryUsageCount"] == 1
    assert refused(iam.delete_policy, PolicyArn=arn)[0] == "DeleteConflict"
    iam.delete_role_permissions_boundary(RoleName="it")
    assert "PermissionsBoundary" not in iam.get_role(RoleName="it")["Role"]
    assert refused(iam.delete_role_permissions_boundary, RoleName="it")[0] == "NoSuchEntity"
    iam.delete_policy(PolicyArn=arn)


@pytest.mark.parametrize(
    ("changes", "member"),
    [
        ({"RoleName": "a b"}, "roleName"),
        ({"RoleName": "a" * 65}, "roleName"),
        ({"Path": "teams"}, "path"),
        ({"Description": "\u20ac"}, "description"),
        ({"MaxSessionDuration": 60}, "maxSessionDuration"),
        ({"MaxSessionDuration": 43201}, "maxSessionDuration"),
    ],
)
def test_parameters_of_a_wrong_form_are_refused(iam: Any, changes: dict[str, Any], member: str) -> None:
    code, message = refused(
        iam.create_role, **{"RoleName": "it", "AssumeRolePolicyDocument": text(TRUST), **changes}
    )
    assert code == "ValidationError"
    assert f"Value at '{member}' failed to satisfy constraint" in message
    assert {role["RoleName"] for role in iam.list_roles()["Roles"]} == set()


@pytest.mark.parametrize("document", ["not JSON", "[]", '"Statement"', "{}", '{"Statement": []}'])
def test_a_document_that_says_nothing_is_malformed(iam: Any, document: str) -> None:
    make_role(iam)
    arn = make_policy(iam)
    calls: list[tuple[Any, dict[str, Any]]] = [
        (iam.create_role, {"RoleName": "other", "AssumeRolePolicyDocument": document}),
        (iam.update_assume_role_policy, {"RoleName": "it", "PolicyDocument": document}),
        (iam.put_role_policy, {"RoleName": "it", "PolicyName": "p", "PolicyDocument": document}),
        (iam.create_policy, {"PolicyName": "other", "PolicyDocument": document}),
        (iam.create_policy_version, {"PolicyArn": arn, "PolicyDocument": document}),
    ]
    for call, arguments in calls:
        assert refused(call, **arguments)[0] == "MalformedPolicyDocument"


def test_what_is_not_there_is_said_to_be_missing(iam: Any) -> None:
    nobody, nowhere = {"RoleName": "nobody"}, {"PolicyArn": f"arn:aws:iam::{ACCOUNT}:policy/nowhere"}
    make_role(iam)
    calls: list[tuple[Any, dict[str, Any]]] = [
        (iam.update_assume_role_policy, {**nobody, "PolicyDocument": text(TRUST)}),
        (iam.delete_role, nobody),
        (iam.tag_role, {**nobody, "Tags": []}),
        (iam.list_role_tags, nobody),
        (iam.put_role_policy, {**nobody, "PolicyName": "p", "PolicyDocument": text(POLICY)}),
        (iam.get_role_policy, {"RoleName": "it", "PolicyName": "p"}),
        (iam.delete_role_policy, {"RoleName": "it", "PolicyName": "p"}),
        (iam.list_role_policies, nobody),
        (iam.list_attached_role_policies, nobody),
        (iam.attach_role_policy, {**nobody, "PolicyArn": READ_ONLY}),
        (iam.attach_role_policy, {"RoleName": "it", **nowhere}),
        (iam.attach_role_policy, {"RoleName": "it", "PolicyArn": f"{READ_ONLY}2"}),
        (iam.detach_role_policy, {"RoleName": "it", "PolicyArn": READ_ONLY}),
        (iam.get_policy, nowhere),
        (iam.get_policy_version, {**nowhere, "VersionId": "v1"}),
        (iam.list_policy_versions, nowhere),
        (iam.list_entities_for_policy, nowhere),
        (iam.delete_policy, nowhere),
        (iam.get_open_id_connect_provider, {"OpenIDConnectProviderArn": f"{nowhere['PolicyArn']}"}),
    ]
    for call, arguments in calls:
        assert refused(call, **arguments)[0] == "NoSuchEntity", (call, arguments)


# Policies


def test_a_policy_is_what_it_was_made(iam: Any, store: Store) -> None:
    arn = make_policy(iam, Path="/teams/", Description="for tests", Tags=[{"Key": "team", "Value": "a"}])
    assert arn == f"arn:aws:iam::{ACCOUNT}:policy/teams/may"
    policy = iam.get_policy(PolicyArn=arn)["Policy"]
    assert (policy["PolicyName"], policy["Description"]) == ("may", "for tests")
    assert (policy["DefaultVersionId"], policy["AttachmentCount"]) == ("v1", 0)
    assert policy["Tags"] == [{"Key": "team", "Value": "a"}]
    shown = iam.get_policy_version(PolicyArn=arn, VersionId="v1")["PolicyVersion"]
    assert (shown["Document"], shown["IsDefaultVersion"]) == (POLICY, True)
    assert [one["Arn"] for one in iam.list_policies(Scope="Local")["Policies"]] == [arn]
    assert iam.list_policies(Scope="Local", OnlyAttached=True)["Policies"] == []
    assert iam.list_policies(Scope="Local", PathPrefix="/other/")["Policies"] == []
    stored = store.get(ACCOUNT, GLOBAL, "aws_iam_policy", arn)
    assert stored is not None
    assert (stored.origin, stored.name) == ("api", "may")
    again = {"PolicyName": "may", "Path": "/teams/", "PolicyDocument": text(POLICY)}
    assert refused(iam.create_policy, **again)[0] == "EntityAlreadyExists"


def test_what_aws_s_own_policies_say_is_not_known(iam: Any) -> None:
    calls: list[tuple[Any, dict[str, Any]]] = [
        (iam.get_policy, {"PolicyArn": READ_ONLY}),
        (iam.get_policy_version, {"PolicyArn": READ_ONLY, "VersionId": "v1"}),
        (iam.list_policy_versions, {"PolicyArn": READ_ONLY}),
        (iam.list_policies, {"Scope": "AWS"}),
        (iam.list_policies, {}),
    ]
    for call, arguments in calls:
        assert refused(call, **arguments)[0] == "UnsupportedOperation"


def test_five_versions_one_of_which_is_in_force(iam: Any, store: Store) -> None:
    arn = make_policy(iam)
    documents = {
        f"v{number}": {**POLICY, "Statement": [{**POLICY["Statement"][0], "Sid": f"s{number}"}]}  # type: ignore[dict-item]
        for number in range(2, 7)
    }
    for name in ("v2", "v3", "v4", "v5"):
        made = iam.create_policy_version(
            PolicyArn=arn, PolicyDocument=text(documents[name]), SetAsDefault=name == "v3"
        )["PolicyVersion"]
        assert (made["VersionId"], made["IsDefaultVersion"]) == (name, name == "v3")
    assert iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"] == "v3"
    assert (
        iam.get_policy_version(PolicyArn=arn, VersionId="v3")["PolicyVersion"]["Document"] == documents["v3"]
    )
    stored = store.get(ACCOUNT, GLOBAL, "aws_iam_policy", arn)
    assert stored is not None
    assert json.loads(stored.state["policy"]) == documents["v3"]
    sixth = {"PolicyArn": arn, "PolicyDocument": text(documents["v6"])}
    assert refused(iam.create_policy_version, **sixth)[0] == "LimitExceeded"
    assert refused(iam.delete_policy_version, PolicyArn=arn, VersionId="v3")[0] == "DeleteConflict"
    assert refused(iam.delete_policy, PolicyArn=arn)[0] == "DeleteConflict"
    iam.delete_policy_version(PolicyArn=arn, VersionId="v5")
    assert iam.create_policy_version(**sixth)["PolicyVersion"]["VersionId"] == "v6"
    listed = iam.list_policy_versions(PolicyArn=arn)["Versions"]
    assert [one["VersionId"] for one in listed] == ["v6", "v4", "v3", "v2", "v1"]
    for name in ("v6", "v4", "v2", "v1"):
        iam.delete_policy_version(PolicyArn=arn, VersionId=name)
    iam.delete_policy(PolicyArn=arn)
    assert iam.list_policies(Scope="Local")["Policies"] == []


def test_what_terraform_writes_is_the_default_version(iam: Any, store: Store) -> None:
    arn = make_policy(iam)
    for _ in range(4):
        iam.create_policy_version(PolicyArn=arn, PolicyDocument=text(POLICY))
    stored = store.get(ACCOUNT, GLOBAL, "aws_iam_policy", arn)
    assert stored is not None
    store.update(stored, {**stored.state, "policy": text({**POLICY, "Id": "of Terraform"})})
    listed = iam.list_policy_versions(PolicyArn=arn)["Versions"]
    assert [one["VersionId"] for one in listed] == ["v6", "v5", "v4", "v3", "v1"]
    assert [one["VersionId"] for one in listed if one["IsDefaultVersion"]] == ["v6"]
    shown = iam.get_policy_version(PolicyArn=arn, VersionId="v6")["PolicyVersion"]
    assert shown["Document"]["Id"] == "of Terraform"


def test_policies_are_attached_and_told_where(iam: Any, store: Store) -> None:
    role, arn = make_role(iam), make_policy(iam)
    make_role(iam, "bounded", PermissionsBoundary=arn)
    for _ in range(2):
        iam.attach_role_policy(RoleName="it", PolicyArn=arn)
    iam.attach_role_policy(RoleName="it", PolicyArn=READ_ONLY)
    attached = iam.list_attached_role_policies(RoleName="it")["AttachedPolicies"]
    assert [one["PolicyArn"] for one in attached] == [arn, READ_ONLY]
    assert store.get(ACCOUNT, GLOBAL, "aws_iam_role_policy_attachment", f"it/{arn}") is not None
    assert iam.get_policy(PolicyArn=arn)["Policy"]["AttachmentCount"] == 1

    def entities(**more: Any) -> set[str]:
        found = iam.list_entities_for_policy(PolicyArn=arn, **more)["PolicyRoles"]
        assert all(one["RoleId"] == role["RoleId"] for one in found if one["RoleName"] == "it")
        return {one["RoleName"] for one in found}

    assert entities() == {"it", "bounded"}
    assert entities(PolicyUsageFilter="PermissionsPolicy") == {"it"}
    assert entities(PolicyUsageFilter="PermissionsBoundary") == {"bounded"}
    assert entities(EntityFilter="User") == set()
    assert refused(iam.delete_policy, PolicyArn=arn)[0] == "DeleteConflict"


def test_inline_policies_are_a_role_s_own(iam: Any, store: Store) -> None:
    make_role(iam)
    iam.put_role_policy(RoleName="it", PolicyName="own", PolicyDocument=text({"Statement": [{}]}))
    iam.put_role_policy(RoleName="it", PolicyName="own", PolicyDocument=text(POLICY))
    assert iam.get_role_policy(RoleName="it", PolicyName="own")["PolicyDocument"] == POLICY
    assert iam.list_role_policies(RoleName="it")["PolicyNames"] == ["own"]
    assert store.get(ACCOUNT, GLOBAL, "aws_iam_role_policy", "it:own") is not None
    iam.delete_role_policy(RoleName="it", PolicyName="own")
    assert iam.list_role_policies(RoleName="it")["PolicyNames"] == []


def test_policies_may_be_only_so_long_and_so_many(iam: Any) -> None:
    def long(characters: int) -> str:
        document = text({**POLICY, "Id": ""})
        return text({**POLICY, "Id": "x" * (characters - len("".join(document.split())))})

    make_role(iam)
    iam.create_policy(PolicyName="fits", PolicyDocument=long(6144) + " " * 100)
    over = refused(iam.create_policy, PolicyName="over", PolicyDocument=long(6145))
    assert over == ("LimitExceeded", "Cannot exceed quota for PolicySize: 6144")
    arn = make_policy(iam)
    assert (
        refused(iam.create_policy_version, PolicyArn=arn, PolicyDocument=long(6145), SetAsDefault=True)
        == over
    )
    trust = refused(iam.update_assume_role_policy, RoleName="it", PolicyDocument=long(2049))
    assert trust == ("LimitExceeded", "Cannot exceed quota for ACLSizePerRole: 2048")
    iam.put_role_policy(RoleName="it", PolicyName="a", PolicyDocument=long(10000))
    iam.put_role_policy(RoleName="it", PolicyName="a", PolicyDocument=long(10001))
    own = refused(iam.put_role_policy, RoleName="it", PolicyName="b", PolicyDocument=long(240))
    assert own == ("LimitExceeded", "Maximum policy size of 10240 bytes exceeded for role it")
    for number in range(10):
        iam.attach_role_policy(RoleName="it", PolicyArn=make_policy(iam, f"p{number}"))
    iam.attach_role_policy(RoleName="it", PolicyArn=f"arn:aws:iam::{ACCOUNT}:policy/p0")
    many = refused(iam.attach_role_policy, RoleName="it", PolicyArn=READ_ONLY)
    assert many == ("LimitExceeded", "Cannot exceed quota for PoliciesPerRole: 10")


# Providers


def test_a_provider_is_what_it_was_made(iam: Any, store: Store) -> None:
    given = {"Url": ISSUER, "ClientIDList": ["sts.amazonaws.com"]}
    arn = iam.create_open_id_connect_provider(**given, Tags=[{"Key": "a", "Value": "b"}])[
        "OpenIDConnectProviderArn"
    ]
    assert arn == f"arn:aws:iam::{ACCOUNT}:oidc-provider/oidc.example.com/id/A1"
    shown = iam.get_open_id_connect_provider(OpenIDConnectProviderArn=arn)
    assert (shown["Url"], shown["ClientIDList"]) == ("oidc.example.com/id/A1", ["sts.amazonaws.com"])
    assert len(shown["ThumbprintList"]) == 1
    assert [one["Arn"] for one in iam.list_open_id_connect_providers()["OpenIDConnectProviderList"]] == [arn]
    tags = iam.list_open_id_connect_provider_tags(OpenIDConnectProviderArn=arn)["Tags"]
    assert tags == [{"Key": "a", "Value": "b"}]
    assert store.get(ACCOUNT, GLOBAL, "aws_iam_openid_connect_provider", arn) is not None
    assert refused(iam.create_open_id_connect_provider, **given)[0] == "EntityAlreadyExists"
    insecure = refused(iam.create_open_id_connect_provider, Url=ISSUER.replace("https", "http"))
    assert insecure[0] == "ValidationError"
    for _ in range(2):
        iam.delete_open_id_connect_provider(OpenIDConnectProviderArn=arn)
    assert iam.list_open_id_connect_providers()["OpenIDConnectProviderList"] == []


# Both doors


def test_what_one_door_made_the_other_sees(iam: Any, store: Store) -> None:
    state = {"url": ISSUER, "client_id_list": [], "thumbprint_list": [], "arn": "arn"}
    new = NewObject(ACCOUNT, GLOBAL, "aws_iam_openid_connect_provider", "arn" * 9, "", state)
    store.create(new)
    assert iam.get_open_id_connect_provider(OpenIDConnectProviderArn="arn" * 9)["ClientIDList"] == []


def test_terraform_takes_over_what_the_api_made(iam: Any, seeded: Seeded, terraform: Any) -> None:
    arn = make_policy(iam, Description="d")
    make_role(iam, Description="d", Tags=[{"Key": "a", "Value": "b"}])
    iam.put_role_policy(RoleName="it", PolicyName="own", PolicyDocument=text(POLICY))
    iam.attach_role_policy(RoleName="it", PolicyArn=arn)
    provider = iam.create_open_id_connect_provider(Url=ISSUER, ClientIDList=["sts.amazonaws.com"])
    resources = {
        "aws_iam_policy": {"it": {"name": "may", "description": "d", "policy": text(POLICY)}},
        "aws_iam_role": {
            "it": {
                "name": "it",
                "description": "d",
                "assume_role_policy": text(TRUST),
                "tags": {"a": "b"},
            }
        },
        "aws_iam_role_policy": {
            "it": {"role": "${aws_iam_role.it.name}", "name": "own", "policy": text(POLICY)}
        },
        "aws_iam_role_policy_attachment": {
            "it": {"role": "${aws_iam_role.it.name}", "policy_arn": "${aws_iam_policy.it.arn}"}
        },
        "aws_iam_openid_connect_provider": {"it": {"url": ISSUER, "client_id_list": ["sts.amazonaws.com"]}},
    }
    ids = (arn, "it", "it:own", f"it/{arn}", provider["OpenIDConnectProviderArn"])
    imports = [{"to": f"{type_}.it", "id": id_} for type_, id_ in zip(resources, ids, strict=True)]
    terraform.write(resources, provider={"assume_role": []}, imports=imports)
    terraform.init()
    assert terraform.plan_changes() == []
    terraform.apply()
    terraform.destroy()
    assert iam.list_roles()["Roles"] == []
