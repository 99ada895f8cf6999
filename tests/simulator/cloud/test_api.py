"""The API door with boto3: botocore parses every answer, and the answers are those of the store."""

import json
import time
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from beta9_simulator.cloud.api import AwsApi, serve
from beta9_simulator.cloud.inventory import bucket_objects, inventory
from beta9_simulator.cloud.seeding import Seeded, seed
from beta9_simulator.cloud.store import NewObject, Store

REGION = "us-east-1"
_NO_RETRIES = Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"})


class Door:
    """boto3 clients of the door, for a pair of credentials."""

    def __init__(self, api: AwsApi, key: str, secret: str, token: str | None = None) -> None:
        self.api, self.key, self.secret, self.token = api, key, secret, token

    def client(self, service: str, region: str = REGION) -> Any:
        return boto3.client(  # type: ignore[call-overload]
            service,
            region_name=region,
            endpoint_url=self.api.url,
            aws_access_key_id=self.key,
            aws_secret_access_key=self.secret,
            aws_session_token=self.token,
            config=_NO_RETRIES,
        )

    def assume(self, seeded: Seeded, **changes: Any) -> "Door":
        request = {"RoleArn": seeded.role_arn, "RoleSessionName": "test", "ExternalId": seeded.external_id}
        answer = self.client("sts").assume_role(**{**request, **changes})["Credentials"]
        return Door(self.api, answer["AccessKeyId"], answer["SecretAccessKey"], answer["SessionToken"])


def code(error: pytest.ExceptionInfo[ClientError]) -> str:
    return str(error.value.response["Error"]["Code"])


@pytest.fixture
def control(api: AwsApi, seeded: Seeded) -> Door:
    return Door(api, seeded.access_key, seeded.secret_key)


@pytest.fixture
def customer(control: Door, seeded: Seeded) -> Door:
    return control.assume(seeded)


def test_identity_before_and_after_assuming_the_role(control: Door, customer: Door, seeded: Seeded) -> None:
    assert control.client("sts").get_caller_identity()["Arn"] == seeded.user_arn
    identity = customer.client("sts").get_caller_identity()
    assert identity["Account"] == seeded.account
    assert identity["Arn"] == f"arn:aws:sts::{seeded.account}:assumed-role/Beta9Provisioner/test"


@pytest.mark.parametrize("external_id", ["wrong", None])
def test_a_wrong_or_missing_external_id_is_refused(
    control: Door, seeded: Seeded, external_id: str | None
) -> None:
    request = {"RoleArn": seeded.role_arn, "RoleSessionName": "test"}
    if external_id:
        request["ExternalId"] = external_id
    with pytest.raises(ClientError) as refused:
        control.client("sts").assume_role(**request)
    assert code(refused) == "AccessDenied"
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


def test_a_session_outlasts_its_role_s_maximum_no_more(control: Door, seeded: Seeded) -> None:
    with pytest.raises(ClientError, match="MaxSessionDuration"):
        control.assume(seeded, DurationSeconds=7200)


@pytest.mark.parametrize("service", ["sts", "s3", "eks", "ec2", "iam", "secretsmanager"])
def test_unknown_keys_are_refused_in_every_protocol(api: AwsApi, service: str) -> None:
    stranger = Door(api, "AKIAUNKNOWN000000000", "secret").client(service)
    calls = {
        "sts": lambda: stranger.get_caller_identity(),
        "s3": lambda: stranger.list_buckets(),
        "eks": lambda: stranger.list_clusters(),
        "ec2": lambda: stranger.describe_vpcs(),
        "iam": lambda: stranger.list_roles(),
        "secretsmanager": lambda: stranger.get_secret_value(SecretId="x"),
    }
    with pytest.raises(ClientError) as refused:
        calls[service]()
    assert code(refused) == "InvalidClientTokenId"


def test_a_wrong_secret_key_is_refused(api: AwsApi, seeded: Seeded) -> None:
    with pytest.raises(ClientError) as refused:
        Door(api, seeded.access_key, "not the secret").client("s3").list_buckets()
    assert code(refused) == "SignatureDoesNotMatch"


def test_expired_sessions_are_refused(customer: Door, store: Store) -> None:
    store.execute("update credentials set expires_at=1 where access_key=?", customer.key)
    with pytest.raises(ClientError) as refused:
        customer.client("ec2").describe_vpcs()
    assert code(refused) == "ExpiredToken"


def test_a_session_needs_its_token(api: AwsApi, customer: Door) -> None:
    with pytest.raises(ClientError) as refused:
        Door(api, customer.key, customer.secret).client("sts").get_caller_identity()
    assert code(refused) == "InvalidClientTokenId"


def test_operations_the_cloud_does_not_have_are_refused(customer: Door) -> None:
    with pytest.raises(ClientError, match=r"does not answer ec2:RunInstances"):
        customer.client("ec2").run_instances(MinCount=1, MaxCount=1)


@pytest.mark.parametrize(
    ("service", "ask"), [("s3", lambda s3: s3.list_buckets()), ("ec2", lambda ec2: ec2.describe_vpcs())]
)
def test_a_service_that_fails_for_a_while_does_so_in_its_own_words(
    customer: Door, store: Store, service: str, ask: Callable[[Any], object]
) -> None:
    client = customer.client(service)
    store.set_setting(f"refuses:{service}", f"503 SlowDown {time.time() + 3600}")
    with pytest.raises(ClientError) as refused:
        ask(client)
    assert code(refused) == "SlowDown"
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503
    store.set_setting(f"refuses:{service}", f"503 SlowDown {time.time() - 1}")
    ask(client)


# S3


def test_state_bucket_as_the_engine_makes_it(customer: Door, store: Store, seeded: Seeded) -> None:
    s3 = customer.client("s3")
    s3.create_bucket(Bucket="state", ObjectOwnership="BucketOwnerEnforced")
    s3.put_bucket_versioning(Bucket="state", VersioningConfiguration={"Status": "Enabled"})
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
    s3.put_bucket_encryption(Bucket="state", ServerSideEncryptionConfiguration={"Rules": [rule]})
    block = dict.fromkeys(
        ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True
    )
    s3.put_public_access_block(Bucket="state", PublicAccessBlockConfiguration=block)
    assert s3.get_bucket_versioning(Bucket="state")["Status"] == "Enabled"
    assert s3.get_bucket_encryption(Bucket="state")["ServerSideEncryptionConfiguration"]["Rules"]
    assert s3.get_public_access_block(Bucket="state")["PublicAccessBlockConfiguration"] == block
    s3.put_object(Bucket="state", Key="environments/a b/é", Body=b"1", IfNoneMatch="*")
    with pytest.raises(ClientError) as refused:
        s3.put_object(Bucket="state", Key="environments/a b/é", Body=b"2", IfNoneMatch="*")
    assert code(refused) == "PreconditionFailed"
    assert s3.get_object(Bucket="state", Key="environments/a b/é")["Body"].read() == b"1"
    (found,) = inventory(store)
    assert (found.type, found.id, found.account) == ("aws_s3_bucket", "state", seeded.account)
    assert bucket_objects(store) == {"state": 1}


def test_deleting_a_bucket_takes_it_out_of_the_store(customer: Door, store: Store) -> None:
    s3 = customer.client("s3")
    s3.create_bucket(Bucket="short-lived")
    s3.put_object(Bucket="short-lived", Key="k", Body=b"x")
    with pytest.raises(ClientError) as refused:
        s3.delete_bucket(Bucket="short-lived")
    assert code(refused) == "BucketNotEmpty"
    s3.delete_objects(Bucket="short-lived", Delete={"Objects": [{"Key": "k"}]})
    s3.delete_bucket(Bucket="short-lived")
    assert inventory(store) == []
    with pytest.raises(ClientError) as missing:
        s3.head_bucket(Bucket="short-lived")
    assert code(missing) == "404"


def test_buckets_belong_to_their_account(control: Door, customer: Door, store: Store, api: AwsApi) -> None:
    other = seed(store, account="222222222222")
    stranger = control.assume(other).client("s3")
    customer.client("s3").create_bucket(Bucket="private")
    calls: tuple[Callable[[], Any], ...] = (
        lambda: stranger.head_bucket(Bucket="private"),
        lambda: stranger.put_object(Bucket="private", Key="k", Body=b""),
        lambda: stranger.create_bucket(Bucket="private"),
        lambda: customer.client("s3").head_bucket(Bucket="private", ExpectedBucketOwner="222222222222"),
    )
    for call in calls:
        with pytest.raises(ClientError) as refused:
            call()
        assert code(refused) in ("403", "AccessDenied", "BucketAlreadyExists")
    assert stranger.list_buckets()["Buckets"] == []


def test_a_bucket_made_by_terraform_is_there(customer: Door, store: Store, seeded: Seeded) -> None:
    new = NewObject(seeded.account, "eu-west-1", "aws_s3_bucket", "made", "made", {"bucket": "made"})
    made = store.create(new)
    s3 = customer.client("s3", "eu-west-1")
    assert [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]] == ["made"]
    assert s3.get_bucket_location(Bucket="made")["LocationConstraint"] == "eu-west-1"
    store.delete(made)
    assert s3.list_buckets()["Buckets"] == []


def test_taken_ports_are_an_error(api: AwsApi, store: Store) -> None:
    with pytest.raises((OSError, SystemExit)):
        serve(store.path, int(api.url.rsplit(":", 1)[1]))


# What hangs on the store


@pytest.fixture
def built(terraform: Any, customer: Door) -> Door:
    """A customer's cloud that Terraform has filled."""
    from tests.simulator.cloud.provider.test_every_type import everything

    terraform.write(everything(), provider={"default_tags": [{"tags": {"env": "e1"}}]})
    terraform.init()
    terraform.apply()
    return customer


def test_both_doors_show_one_cloud(built: Door, store: Store, terraform: Any) -> None:
    state = terraform.state()
    _check_network(built, state)
    _check_eks(built, state)
    _check_databases(built, state)
    _check_tags(built, store)
    _check_identity(built)


def _check_network(door: Door, state: dict[str, Any]) -> None:
    ec2 = door.client("ec2")
    tagged = {"Filters": [{"Name": "tag:env", "Values": ["e1"]}]}
    (vpc,) = ec2.describe_vpcs(**tagged)["Vpcs"]
    assert vpc["VpcId"] == state["aws_vpc.it"]["values"]["id"]
    assert {"Key": "Name", "Value": "it"} in vpc["Tags"]
    pages = ec2.get_paginator("describe_subnets").paginate(PaginationConfig={"PageSize": 5}, **tagged)
    assert len([subnet for each in pages for subnet in each["Subnets"]]) == 3
    (gateway,) = ec2.describe_nat_gateways(Filter=[{"Name": "vpc-id", "Values": [vpc["VpcId"]]}])[
        "NatGateways"
    ]
    assert gateway["State"] == "available"
    (address,) = ec2.describe_addresses(**tagged)["Addresses"]
    assert address["AllocationId"] == state["aws_eip.it"]["values"]["id"]
    assert address["AssociationId"] == gateway["NatGatewayAddresses"][0]["AssociationId"]
    assert ec2.describe_security_groups(**tagged)["SecurityGroups"][0]["VpcId"] == vpc["VpcId"]
    attached = ec2.describe_internet_gateways(**tagged)["InternetGateways"][0]["Attachments"]
    assert attached[0]["VpcId"] == vpc["VpcId"]
    assert len(ec2.describe_route_tables(**tagged)["RouteTables"]) == 1
    assert len(ec2.describe_vpc_endpoints(**tagged)["VpcEndpoints"]) == 1
    held = ec2.describe_network_interfaces(Filters=[{"Name": "vpc-id", "Values": [vpc["VpcId"]]}])
    assert {each["Status"] for each in held["NetworkInterfaces"]} == {"in-use"}
    assert ec2.describe_volumes()["Volumes"] == []
    assert ec2.describe_vpcs(Filters=[{"Name": "tag-key", "Values": ["nothing"]}])["Vpcs"] == []
    with pytest.raises(ClientError) as missing:
        ec2.describe_vpcs(VpcIds=["vpc-0"])
    assert code(missing) == "InvalidVpcId.NotFound"


def _check_eks(door: Door, state: dict[str, Any]) -> None:
    eks = door.client("eks")
    assert eks.list_clusters()["clusters"] == ["it"]
    cluster = eks.describe_cluster(name="it")["cluster"]
    assert cluster["endpoint"] == state["aws_eks_cluster.it"]["values"]["endpoint"]
    assert cluster["status"] == "ACTIVE"
    assert eks.list_nodegroups(clusterName="it")["nodegroups"] == ["system"]
    group = eks.describe_nodegroup(clusterName="it", nodegroupName="system")["nodegroup"]
    assert group["scalingConfig"] == {"minSize": 1, "maxSize": 3, "desiredSize": 2}
    assert group["taints"] == [{"key": "gpu", "value": "yes", "effect": "NO_SCHEDULE"}]
    with pytest.raises(eks.exceptions.ResourceNotFoundException):
        eks.describe_cluster(name="another")


def _check_databases(door: Door, state: dict[str, Any]) -> None:
    rds, cache = door.client("rds"), door.client("elasticache")
    (instance,) = rds.describe_db_instances(DBInstanceIdentifier="it")["DBInstances"]
    assert instance["DBInstanceStatus"] == "available"
    assert instance["Endpoint"]["Address"] == state["aws_db_instance.it"]["values"]["address"]
    secret_arn = state["aws_db_instance.it"]["values"]["master_user_secret"][0]["secret_arn"]
    assert instance["MasterUserSecret"]["SecretArn"] == secret_arn
    secret = json.loads(door.client("secretsmanager").get_secret_value(SecretId=secret_arn)["SecretString"])
    assert secret["username"] == "beta9"
    assert len(secret["password"]) >= 20
    assert door.client("secretsmanager").get_secret_value(SecretId="it")["SecretString"] == "written only"
    (group,) = cache.describe_replication_groups(ReplicationGroupId="it")["ReplicationGroups"]
    assert (group["Status"], group["NodeGroups"][0]["PrimaryEndpoint"]["Port"]) == ("available", 6379)
    with pytest.raises(ClientError) as no_db:
        rds.describe_db_instances(DBInstanceIdentifier="other")
    assert code(no_db) == "DBInstanceNotFound"
    with pytest.raises(ClientError) as no_group:
        cache.describe_replication_groups(ReplicationGroupId="other")
    assert code(no_group) == "ReplicationGroupNotFoundFault"


def _check_tags(door: Door, store: Store) -> None:
    pages = (
        door.client("resourcegroupstaggingapi")
        .get_paginator("get_resources")
        .paginate(TagFilters=[{"Key": "env", "Values": ["e1"]}], ResourcesPerPage=5)
    )
    arns = [entry["ResourceARN"] for each in pages for entry in each["ResourceTagMappingList"]]
    tagged = [item for item in store.find() if item.tags.get("env") and item.region != "global"]
    assert len(set(arns)) == len(arns) == len(tagged) > 20
    assert any(":access-entry/" in arn for arn in arns)


def _check_identity(door: Door) -> None:
    iam = door.client("iam")
    assert iam.get_role(RoleName="it")["Role"]["AssumeRolePolicyDocument"]["Version"] == "2012-10-17"
    assert {role["RoleName"] for role in iam.list_roles()["Roles"]} == {"it", "Beta9Provisioner"}
    assert len(iam.list_attached_role_policies(RoleName="it")["AttachedPolicies"]) == 2
    with pytest.raises(iam.exceptions.NoSuchEntityException):
        iam.get_role(RoleName="nobody")
    key = door.client("kms").create_key()["KeyMetadata"]
    assert key["AWSAccountId"] == door.client("sts").get_caller_identity()["Account"]
