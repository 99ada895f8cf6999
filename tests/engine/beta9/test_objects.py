"""Which objects are Beta9's own: what is taken for its own can be lost, so nothing of a user's may be."""

import pytest

from beta9_provisioning.engine.beta9.objects import is_own


@pytest.mark.parametrize(
    "key",
    [
        "0f3c.clip",
        "0f3c.rclip",
        "juicefs_uuid",
        "beta9-fs/juicefs_uuid",
        "beta9-fs/meta/dump-2026-11-28-040000.json.gz",
        "beta9-fs/testing/x",
    ],
)
def test_images_and_juicefs_marks_are_its_own(key: str) -> None:
    assert is_own(key)


@pytest.mark.parametrize(
    "key",
    [
        "",
        "beta9-fs/chunks/0/0/1_0_4194304",
        "photos/holiday.clip",
        "x.clip.txt",
        "meta/dump-1",
        "a/b/juicefs_uuid",
        "testing/thesis.pdf",
        "thesis.pdf",
    ],
)
def test_whatever_a_user_may_have_stored_is_not(key: str) -> None:
    assert not is_own(key)
