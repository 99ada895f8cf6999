"""The registry of clouds, and what none of them can build yet."""

from typing import Any

import pytest
from tests.support.configs import config

from beta9_provisioning.clouds.registry import cloud_of
from beta9_provisioning.engine.errors import NotSupported


@pytest.mark.parametrize(
    ("sections", "field"),
    [
        (
            {"cloud": {"provider": "gcp", "region": "europe-west1", "service_account": "a@b.example"}},
            "cloud.provider",
        ),
        (
            {"beta9": {"domain": "b.example.com", "workers": {"gpu_enabled": True, "gpu_type": "T4"}}},
            "beta9.workers.gpu_enabled",
        ),
    ],
)
def test_what_cannot_be_built_yet_is_refused_by_name(sections: dict[str, Any], field: str) -> None:
    with pytest.raises(NotSupported, match=field) as error:
        cloud_of(config(**sections).cloud).check_supported(config(**sections))
    assert error.value.code == "not_supported"
    assert error.value.remedy
