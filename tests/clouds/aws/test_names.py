"""Names of an environment's resources, within AWS's limits."""

import pytest

from beta9_provisioning.clouds.aws.names import names as names_of
from beta9_provisioning.engine.errors import SynthesisError

ENVIRONMENT_ID = "env_a1b2c3d4e5f6g7h8"


def test_names_come_from_the_last_twelve_characters_of_the_id() -> None:
    names = names_of(ENVIRONMENT_ID)
    assert names.stem == "beta9-c3d4e5f6g7h8"
    assert names.cluster == names.stem
    assert names.database == "beta9-c3d4e5f6g7h8-postgres"
    assert names.bucket("data") == "data-c3d4e5f6g7h8"
    assert ENVIRONMENT_ID in names.session


def test_names_are_within_the_limits_of_aws() -> None:
    names = names_of(ENVIRONMENT_ID)
    limits = {
        names.cluster: 100,
        names.node_group(99): 63,
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
        names_of(bad)
    assert error.value.code == "invalid_environment_id"
