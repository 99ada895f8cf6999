"""Names, tags and sizes of an environment, and what is refused."""

from typing import Any

import pytest
from tests.support.configs import config

from beta9_provisioning.engine import spec
from beta9_provisioning.engine.spec import NotSupported, SynthesisError
from beta9_provisioning.schemas.configuration import Size

ENVIRONMENT_ID = "env_a1b2c3d4e5f6g7h8"


def test_names_come_from_the_last_twelve_characters_of_the_id() -> None:
    names = spec.names(ENVIRONMENT_ID)
    assert names.stem == "beta9-c3d4e5f6g7h8"
    assert names.cluster == names.stem
    assert names.database == "beta9-c3d4e5f6g7h8-postgres"
    assert names.bucket("data") == "data-c3d4e5f6g7h8"
    assert ENVIRONMENT_ID in names.session


def test_names_are_within_the_limits_of_aws() -> None:
    names = spec.names(ENVIRONMENT_ID)
    limits = {
        names.cluster: 100,
        names.node_group: 63,
        names.cluster_role: 64,
        names.node_role: 64,
        names.ebs_csi_role: 64,
        names.database: 63,
        names.redis: 40,
        names.session: 64,
        names.bucket("p" * 30): 63,
    }
    assert {name for name, limit in limits.items() if len(name) > limit} == set()


@pytest.mark.parametrize(
    "bad", ["", "env_short", "env_A1B2C3D4E5F6G7H8", "xyz_a1b2c3d4e5f6g7h8", "env_a1b2c3d4e5f6g7h8\n", "../x"]
)
def test_names_refuse_what_is_not_an_environment_id(bad: str) -> None:
    with pytest.raises(SynthesisError, match="could not be used") as error:
        spec.names(bad)
    assert error.value.code == "invalid_environment_id"


def test_ownership_tags_are_added_to_the_users() -> None:
    tags = spec.tags(config(tags={"team": "a"}), ENVIRONMENT_ID)
    assert tags == {
        "team": "a",
        "beta9:environment-id": ENVIRONMENT_ID,
        "beta9:environment-name": "demo",
        "beta9:managed-by": "beta9-provisioning",
    }
    assert set(spec.OWNERSHIP_TAGS) == set(tags) - {"team"}


def test_every_size_is_defined_and_none_shrinks() -> None:
    assert set(spec.SIZES) == set(Size)
    nodes = [spec.SIZES[size].nodes for size in (Size.SMALL, Size.MEDIUM, Size.LARGE)]
    assert all(node.minimum <= node.desired <= node.maximum for node in nodes)
    assert [node.maximum for node in nodes] == sorted(node.maximum for node in nodes)


@pytest.mark.parametrize(
    ("region", "zones"),
    [
        ("eu-west-1", ("eu-west-1a", "eu-west-1b")),
        ("ap-northeast-1", ("ap-northeast-1a", "ap-northeast-1c")),
    ],
)
def test_an_environment_spans_two_zones(region: str, zones: tuple[str, str]) -> None:
    assert spec.zones(region) == zones


@pytest.mark.parametrize(
    ("sections", "field"),
    [
        (
            {"cloud": {"provider": "gcp", "region": "europe-west1", "service_account": "a@b.example"}},
            "cloud.provider",
        ),
        ({"cluster": {"use_existing": True, "existing_cluster_name": "mine"}}, "cluster.use_existing"),
        (
            {"beta9": {"domain": "b.example.com", "workers": {"gpu_enabled": True, "gpu_type": "T4"}}},
            "beta9.workers.gpu_enabled",
        ),
    ],
)
def test_what_cannot_be_built_yet_is_refused_by_name(sections: dict[str, Any], field: str) -> None:
    with pytest.raises(NotSupported, match=field) as error:
        spec.check_supported(config(**sections))
    assert error.value.code == "not_supported"
    assert error.value.remedy
    with pytest.raises(NotSupported):
        spec.cluster_ready_addresses(config(**sections))
