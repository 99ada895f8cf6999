"""The bindings with CDK Terrain and, for what a user writes, with genuine Terraform."""

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from beta9_provisioning.clouds.aws.provider import SCHEMA_FILE
from beta9_provisioning.engine.errors import SynthesisError
from beta9_provisioning.engine.synthesis.blocks import Ref
from beta9_provisioning.engine.synthesis.providers import ProviderSchema, load_schema
from beta9_provisioning.engine.synthesis.synthesize import TARGET_VERSIONS, set_up_jsii

if TYPE_CHECKING:
    from beta9_provisioning.engine.synthesis import bindings
else:
    set_up_jsii()
    from beta9_provisioning.engine.synthesis import bindings

from cdktn import App
from jsii.errors import JSIIError

# Terraform's own provider, which needs no plugin; `input` takes anything.
BUILT_IN = ProviderSchema(
    source="terraform.io/builtin/terraform",
    version="",
    provider={"attributes": {}, "block_types": {}},
    resources={
        "terraform_data": {
            "version": 0,
            "block": {
                "attributes": {
                    "input": {"type": ["map", "string"], "optional": True},
                    "output": {"type": ["map", "string"], "computed": True},
                },
                "block_types": {},
            },
        }
    },
)
HOSTILE = [
    '${file("/etc/passwd")}',
    "%{for x in y}${x}%{endfor}",
    "$${a} %%{b}",
    "$$${a} %%%{b} $%{c} %${d}",
    "$",
    "$${",
    "\\${a} \\",
    'quote " newline \n tab \t',
    "\u2028 ü 😀",
    "${TfToken[TOKEN.0]} #{TfToken[TOKEN.0]} &{TfToken[TOKEN.0]}",
    "-1.8881545897087827e+289",
    "String Map Token Value",
    "1e5",
    "$jsii.byref",
    "",
]


def app(outdir: Path) -> App:
    return App(outdir=str(outdir), stack_traces=False, context={"targetVersions": TARGET_VERSIONS})


def document(stack: "bindings.Stack", outdir: Path) -> Any:
    return json.loads((stack.synthesize(outdir) / "cdk.tf.json").read_text(encoding="utf-8"))


def terraform(directory: Path, *arguments: str) -> str:
    environment = {"PATH": os.environ["PATH"], "CHECKPOINT_DISABLE": "1"}
    finished = subprocess.run(
        ["terraform", *arguments, "-no-color"],
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def test_what_a_user_writes_stays_literal_in_genuine_terraform(tmp_path: Path) -> None:
    stack = bindings.Stack(app(tmp_path), "literal", BUILT_IN)
    for index, text in enumerate(HOSTILE):
        data = bindings.Resource(stack, "terraform_data", f"r{index}", input={f"key {text}": text})
        bindings.Output(stack, f"text{index}", text)
        bindings.Output(stack, f"reference{index}", data.ref("output"))
    directory = stack.synthesize(tmp_path)
    # CDK Terrain's default puts the state into this process's working directory.
    written = json.loads((directory / "cdk.tf.json").read_text(encoding="utf-8"))
    del written["terraform"]["backend"]
    (directory / "cdk.tf.json").write_text(json.dumps(written), encoding="utf-8")
    terraform(directory, "init", "-input=false")
    terraform(directory, "apply", "-auto-approve", "-input=false")
    outputs = {
        name: output["value"] for name, output in json.loads(terraform(directory, "output", "-json")).items()
    }
    assert outputs == {
        **{f"text{index}": text for index, text in enumerate(HOSTILE)},
        **{f"reference{index}": {f"key {text}": text} for index, text in enumerate(HOSTILE)},
    }


def test_keys_of_the_providers_default_tags_stay_as_they_are(tmp_path: Path) -> None:
    stack = bindings.Stack(app(tmp_path), "tags", load_schema(SCHEMA_FILE))
    tags = {"CostCenter": "1", "a b": "${x}", "kebab-case": "3", "1e5": "1e5"}
    bindings.Provider(stack, region="eu-west-1", default_tags=[{"tags": tags}])
    provider = document(stack, tmp_path)["provider"]["aws"]
    assert provider == [{"region": "eu-west-1", "default_tags": [{"tags": {**tags, "a b": "$${x}"}}]}]


def test_blocks_get_their_addresses_and_dependencies(tmp_path: Path) -> None:
    schema = load_schema(SCHEMA_FILE)
    stack = bindings.Stack(app(tmp_path), "blocks", schema)
    bindings.Provider(stack, region="eu-west-1")
    vpc = bindings.Resource(stack, "aws_vpc", "main", cidr_block="10.0.0.0/16")
    gateway = bindings.Resource(stack, "aws_internet_gateway", "main", vpc_id=vpc.ref("id"))
    eip = bindings.Resource(stack, "aws_eip", "nat_0", domain="vpc", depends_on=[vpc, gateway])
    bindings.Output(stack, "vpc_id", vpc.ref("id"))
    assert eip.address == "aws_eip.nat_0"
    assert vpc.ref("id") == Ref("aws_vpc.main.id", "string")
    written = document(stack, tmp_path)
    resources = {
        kind: {
            name: {key: value for key, value in body.items() if key != "//"} for name, body in bodies.items()
        }
        for kind, bodies in written["resource"].items()
    }
    assert resources == {
        "aws_vpc": {"main": {"cidr_block": "10.0.0.0/16"}},
        "aws_internet_gateway": {"main": {"vpc_id": "${aws_vpc.main.id}"}},
        "aws_eip": {"nat_0": {"domain": "vpc", "depends_on": ["aws_internet_gateway.main", "aws_vpc.main"]}},
    }
    assert written["output"] == {"vpc_id": {"value": "${aws_vpc.main.id}"}}
    assert written["terraform"]["required_providers"]["aws"] == {
        "source": "registry.terraform.io/hashicorp/aws",
        "version": schema.version,
    }


def test_unknown_types_bad_names_and_bad_bodies_are_refused(tmp_path: Path) -> None:
    stack = bindings.Stack(app(tmp_path), "bad", load_schema(SCHEMA_FILE))
    with pytest.raises(SynthesisError, match=r"aws_vpz: main has an unknown type") as error:
        bindings.Resource(stack, "aws_vpz", "main")
    assert "aws_vpc" in error.value.remedy
    with pytest.raises(SynthesisError, match="cannot name a aws_vpc"):
        bindings.Resource(stack, "aws_vpc", "Main-1")
    with pytest.raises(SynthesisError, match="aws_vpc: cidr is not an attribute") as error:
        bindings.Resource(stack, "aws_vpc", "main", cidr="10.0.0.0/16")
    assert "cidr_block" in error.value.remedy
    with pytest.raises(SynthesisError, match=r"provider aws: assume_role\[0\].arn is not"):
        bindings.Provider(stack, assume_role=[{"arn": "a"}])


def test_two_blocks_cannot_have_one_address(tmp_path: Path) -> None:
    stack = bindings.Stack(app(tmp_path), "twice", load_schema(SCHEMA_FILE))
    bindings.Resource(stack, "aws_vpc", "main")
    with pytest.raises((JSIIError, RuntimeError), match="already a Construct"):
        bindings.Resource(stack, "aws_vpc", "main")


def test_a_stack_without_its_provider_is_refused(tmp_path: Path) -> None:
    stack = bindings.Stack(app(tmp_path), "bare", load_schema(SCHEMA_FILE))
    bindings.Resource(stack, "aws_vpc", "main")
    with pytest.raises((JSIIError, RuntimeError), match="matching provider"):
        stack.synthesize(tmp_path)
