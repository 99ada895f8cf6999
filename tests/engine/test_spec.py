"""The tags by which an environment is recognized."""

from tests.support.configs import config

from beta9_provisioning.engine import spec

ENVIRONMENT_ID = "env_a1b2c3d4e5f6g7h8"


def test_ownership_tags_are_added_to_the_users() -> None:
    tags = spec.tags(config(tags={"team": "a"}), ENVIRONMENT_ID)
    assert tags == {
        "team": "a",
        "beta9:environment-id": ENVIRONMENT_ID,
        "beta9:environment-name": "demo",
        "beta9:managed-by": "beta9-provisioning",
    }
    assert set(spec.OWNERSHIP_TAGS) == set(tags) - {"team"}
