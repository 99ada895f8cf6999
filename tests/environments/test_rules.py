import pytest
from tests.support.configs import config

from beta9_provisioning.environments.errors import ConfigurationRefused
from beta9_provisioning.environments.rules import check

REGIONS = ("us-east-1", "eu-west-1")


def test_allows_a_plain_configuration() -> None:
    check(config(), REGIONS)


@pytest.mark.parametrize(
    ("changes", "field", "allowed"),
    [
        ({"cloud__region": "us-west-1"}, "cloud.region", REGIONS),
        (
            {"beta9__workers": {"gpu_enabled": True, "gpu_type": "T4"}},
            "beta9.workers.gpu_enabled",
            ("false",),
        ),
        (
            {"cluster": {"api": {"private_only": True}}},
            "cluster.api.private_only",
            ("false",),
        ),
        (
            {"cloud": {"provider": "gcp", "region": "us-central1", "service_account": "a@b.iam"}},
            "cloud.provider",
            ("aws",),
        ),
    ],
)
def test_refuses_and_names_the_field(
    changes: dict[str, object], field: str, allowed: tuple[str, ...]
) -> None:
    with pytest.raises(ConfigurationRefused) as caught:
        check(config(**changes), REGIONS)
    (fault,) = caught.value.faults
    assert (fault.field, fault.allowed) == (field, allowed)


def test_reports_every_fault_at_once() -> None:
    bad = config(cloud__region="mars-1", cluster__api={"private_only": True})
    with pytest.raises(ConfigurationRefused) as caught:
        check(bad, REGIONS)
    assert {fault.field for fault in caught.value.faults} == {"cloud.region", "cluster.api.private_only"}
