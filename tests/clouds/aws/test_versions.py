import json
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from beta9_provisioning.clouds.aws.versions import DEFAULTS, KUBERNETES, POSTGRES, VALKEY, Support
from beta9_provisioning.local.tools import ensure_tools

ROOT = Path(__file__).parents[3]


def minor(version: str) -> int:
    found = re.match(r"v?1\.(\d+)", version)
    assert found is not None, version
    return int(found[1])


def test_new_environments_get_the_newest_kubernetes_that_kubectl_and_helm_support() -> None:
    """kubectl talks to one minor version up and down; Helm to no newer one than it was built with."""
    tools = ensure_tools(ROOT)
    kubectl = subprocess.run(
        [tools.kubectl, "version", "--client", "--output=json"], capture_output=True, check=True, timeout=60
    )
    helm = subprocess.run(
        [tools.helm, "version", "--template", "{{.KubeClientVersion}}"],
        capture_output=True,
        check=True,
        text=True,
        timeout=60,
    )
    latest = min(minor(json.loads(kubectl.stdout)["clientVersion"]["gitVersion"]) + 1, minor(helm.stdout))
    assert DEFAULTS.kubernetes == max((name for name in KUBERNETES if minor(name) <= latest), key=minor)


@pytest.mark.parametrize(
    ("table", "default"),
    [
        (KUBERNETES, DEFAULTS.kubernetes),
        (POSTGRES, DEFAULTS.postgres),
        (VALKEY, DEFAULTS.valkey),
    ],
)
def test_later_versions_are_supported_longer_and_the_default_is_one_of_them(
    table: Mapping[str, Support], default: str
) -> None:
    assert default in table
    ends = [support.standard_until for support in table.values()]
    assert ends == sorted(ends)
    for version, support in table.items():
        assert support.standard_until <= support.extended_until, version
