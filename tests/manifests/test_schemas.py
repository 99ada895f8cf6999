"""Every object against the schemas of the four newest Kubernetes versions, or that of its custom kind."""

from __future__ import annotations

import kubernetes_validate
import pytest
from tests.support.manifests import EXAMPLES, OVERLAYS, PLAIN, VERSIONS, faults, objects


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", [*PLAIN, *OVERLAYS, *EXAMPLES])
def test_every_object_has_a_schema_and_fits_it(name: str, version: str) -> None:
    bodies = objects(name)
    assert bodies
    found = {f"{b['kind']} {b['metadata']['name']}": faults(b, version) for b in bodies}
    assert {place: told for place, told in found.items() if told} == {}


def test_the_versions_are_the_newest_that_the_validator_knows() -> None:
    newest = int(kubernetes_validate.latest_version().split(".")[1])
    assert [int(version.split(".")[1]) for version in VERSIONS] == list(range(newest - 3, newest + 1))
