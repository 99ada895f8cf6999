import re

from beta9_provisioning.access import keys


def test_a_key_is_known_by_its_prefix_and_holds_256_random_bits() -> None:
    new = keys.new()
    assert re.fullmatch(r"b9p_[0-9a-z]{16}_[A-Za-z0-9_-]{43}", new.text)
    assert keys.id_of(new.text) == new.id
    assert len({keys.new().text[-43:] for _ in range(100)}) == 100


def test_nothing_that_is_stored_or_printed_shows_a_key() -> None:
    new = keys.new()
    assert new.text not in repr(new)
    assert new.digest not in new.text
    assert keys.digest(new.text) == new.digest


def test_what_has_another_form_is_no_key() -> None:
    text = keys.new().text
    for other in (
        "",
        "b9p_",
        text[:-1],
        text + "A",
        text.upper(),
        text.replace("_", "-"),
        text + "\n",
        "ü" + text,
    ):
        assert keys.id_of(other) is None


def test_one_letter_more_or_less_is_another_key() -> None:
    new = keys.new()
    assert keys.is_text_of(new.text, new.digest)
    assert not keys.is_text_of(keys.new().text, new.digest)
    assert not keys.is_text_of(new.text, None)
