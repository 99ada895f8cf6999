"""What of an attack reaches Terraform's plan and Helm's manifests: the text, and nothing made of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unicodedata import is_normalized

from pydantic import ValidationError
from ruamel.yaml import YAML
from tests.clouds.aws.test_stack_in_terraform import terraform, without_backend
from tests.engine.beta9.test_releases import GENERATED, OUTPUTS, PLATFORM
from tests.security.attacks import attacks, every_attack
from tests.security.fields import KEY, VALUE, Field, fields
from tests.simulator.test_charts import CHARTS, SIMULATED, helm
from tests.support.configs import config
from tests.support.simulated import ROOT
from tests.support.stacks import subject

from beta9_provisioning.clouds.aws.provider import SCHEMA_FILE
from beta9_provisioning.clouds.synthesis import synthesize
from beta9_provisioning.engine.beta9.releases import base_releases, beta9_release
from beta9_provisioning.engine.helm.release import Release
from beta9_provisioning.environments import rules
from beta9_provisioning.environments.errors import ConfigurationRefused
from beta9_provisioning.local.tools import Tools, ensure_tools
from beta9_provisioning.schemas.configuration import EnvironmentConfig, json_schema
from beta9_simulator.cloud.mirror import cli_config, install_mirror
from beta9_simulator.cloud.seeding import seed
from beta9_simulator.cloud.store import Store

REGIONS = ("us-east-1", "us-west-2")
# What no row of the database can hold reaches no tool: the API refuses it, and `kit.texts` replaces it.
STORABLE = [
    text
    for text in dict.fromkeys(every_attack())
    if len(text) < 2000 and not re.search("[\0\ud800-\udfff]", text)
]
# Terraform takes a mark of byte order away, and makes Unicode's normal form NFC of every text.
UNCHANGED = [
    text
    for text in STORABLE
    if len(text) < 2000 and is_normalized("NFC", text) and not text.startswith("\ufeff")
]
EXPRESSION = re.compile(r"(?<!\$)\$\{[^}]*\}|(?<!%)%\{[^}]*\}")


def accepted() -> list[tuple[Field, str, EnvironmentConfig]]:
    """Return what the API takes."""
    found = []
    for field in fields(json_schema()):
        for attack in STORABLE:
            try:
                made = rules.read(field.holding(attack))
                rules.check(made, REGIONS)
            except (ValidationError, ConfigurationRefused):
                continue
            found.append((field, attack, made))
    return found


ACCEPTED = accepted()


def unchecked(texts: list[str]) -> EnvironmentConfig:
    """Return a configuration that no rule has looked at, as if one had a fault."""
    made = config(cluster__node_taints=[{"key": "team", "value": "ml", "effect": "NoSchedule"}])
    numbered = {f"k{number}": text for number, text in enumerate(texts)}
    (taint,) = made.cluster.node_taints
    taints = [taint.model_copy(update={"value": text}) for text in texts]
    cluster = made.cluster.model_copy(update={"node_labels": numbered, "node_taints": taints})
    cloud = made.cloud.model_copy(update={"external_id": "".join(attacks("terraform"))})
    tags = {**numbered, **{text: "key" for text in texts}}
    return made.model_copy(update={"tags": tags, "cluster": cluster, "cloud": cloud})


def strings(part: object) -> Iterator[str]:
    """Yield every text of a document, keys too."""
    if isinstance(part, str):
        yield part
    elif isinstance(part, dict):
        for key, value in part.items():
            yield from strings(key)
            yield from strings(value)
    elif isinstance(part, list):
        for value in part:
            yield from strings(value)


def synthesized(made: EnvironmentConfig, outdir: Path) -> dict[str, Any]:
    directory = synthesize(subject(made), outdir)
    document: dict[str, Any] = json.loads((directory / "cdk.tf.json").read_text(encoding="utf-8"))
    return document


def expressions(document: dict[str, Any]) -> set[str]:
    """Return all that Terraform would evaluate."""
    return {found for text in strings(document) for found in EXPRESSION.findall(text)}


def test_genuine_terraform_plans_every_attack_as_the_text_that_it_is(tmp_path: Path) -> None:
    made = unchecked(UNCHANGED)
    document = synthesized(made, tmp_path / "out")
    assert expressions(document) == expressions(synthesized(config(), tmp_path / "plain"))
    install_mirror(tmp_path / "mirror", SCHEMA_FILE)
    store = Store(tmp_path / "store.db")
    seeded = seed(store, external_id=made.cloud.external_id or "")
    environment = {
        "TF_CLI_CONFIG_FILE": str(cli_config(tmp_path / "mirror")),
        "BETA9_SIM_STORE": str(store.path),
        "AWS_ACCESS_KEY_ID": seeded.access_key,
        "AWS_SECRET_ACCESS_KEY": seeded.secret_key,
    }
    without_backend(document, tmp_path / "work")
    terraform(tmp_path / "work", environment, "init", "-input=false")
    # The provider assumes the role for this, which demands the external ID letter for letter.
    terraform(tmp_path / "work", environment, "plan", "-input=false", "-out=plan")
    plan = json.loads(terraform(tmp_path / "work", environment, "show", "-json", "plan"))
    planned = {
        resource["address"]: resource["values"]
        for resource in plan["planned_values"]["root_module"]["resources"]
    }
    assert planned["aws_vpc.main"]["tags_all"].items() >= made.tags.items()
    nodes = planned["aws_eks_node_group.main"]
    assert nodes["labels"].items() >= made.cluster.node_labels.items()
    assert sorted(taint["value"] for taint in nodes["taint"]) == sorted(UNCHANGED)


def test_what_is_accepted_is_text_in_the_terraform_document(tmp_path: Path) -> None:
    plain = expressions(synthesized(config(), tmp_path / "plain"))
    for field, texts in together(ACCEPTED):
        assert all(is_normalized("NFC", text) for text in texts), (
            f"Terraform would change {texts!a} in {field}"
        )
        made = EnvironmentConfig.model_validate(field.holding(*texts))
        document = synthesized(made, tmp_path / "out")
        assert expressions(document) == plain, f"{texts!a} in {field}"
        # The domain and the version go to Helm alone.
        written = list(strings(document))
        missing = [text for text in texts if not any(text in other for other in written)]
        assert missing == [] or field.path[0] == "beta9", f"{missing!a} in {field}"


def together(accepted: list[tuple[Field, str, EnvironmentConfig]]) -> Iterator[tuple[Field, list[str]]]:
    """Yield fields and what one configuration can hold there: many texts in maps."""
    by_field: dict[Field, list[str]] = {}
    for field, text, _ in accepted:
        by_field.setdefault(field, []).append(text)
    for field, texts in by_field.items():
        size = 40 if {KEY, VALUE} & set(field.path) else 1
        for start in range(0, len(texts), size):
            yield field, texts[start : start + size]


def test_genuine_helm_renders_every_attack_as_the_text_that_it_is() -> None:
    """In taints, which alone of a user's texts reach a chart as they are, and may be many."""
    # Of what is no YAML to Helm, it renders nothing at all; taints are ASCII.
    texts = [text for text in UNCHANGED if re.fullmatch("[\x01-\x7e\xa0-\ufffd]*", text)]
    made = unchecked(texts)
    tools = ensure_tools(ROOT)
    for release in (*base_releases(made, PLATFORM), beta9_release(made, PLATFORM, OUTPUTS, GENERATED)):
        found = rendered(tools, release)
        pods = [pod for document in found for pod in tolerations(document)]
        assert pods, release.name
        for tolerated in pods:
            assert [item["value"] for item in tolerated] == texts, release.name


def test_no_template_of_helm_reaches_a_chart() -> None:
    """Charts may evaluate their values (`tpl`), as the genuine ones do with hosts: none is a template."""
    for field, attack, made in ACCEPTED:
        releases = (*base_releases(made, PLATFORM), beta9_release(made, PLATFORM, OUTPUTS, GENERATED))
        values = [text for release in releases for text in strings(release.values)]
        assert not [text for text in values if "{{" in text], f"{attack!a} in {field}"


def rendered(tools: Tools, release: Release) -> list[dict[str, Any]]:
    """Return the manifest that genuine Helm makes of a release with the stand-in charts."""
    arguments = ("template", release.name, str(CHARTS / release.chart), "-n", release.namespace, *SIMULATED)
    done = helm(tools, *arguments, values=release.values)
    assert done.returncode == 0, done.stderr
    return [found for found in YAML(typ="safe", pure=True).load_all(done.stdout) if found]


def tolerations(part: object) -> Iterator[list[dict[str, str]]]:
    """Yield the tolerations of every pod in a document."""
    if isinstance(part, dict):
        if isinstance(part.get("tolerations"), list):
            yield part["tolerations"]
        for value in part.values():
            yield from tolerations(value)
    elif isinstance(part, list):
        for value in part:
            yield from tolerations(value)
