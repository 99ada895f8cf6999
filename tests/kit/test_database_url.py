"""DATABASE_URL and REDIS_URL as libpq and Redis read them; faults are told without the value."""

from urllib.parse import unquote

import pytest

from beta9_provisioning.kit import database_url, redis_url
from beta9_provisioning.settings import Settings, SettingsError, get_settings

SECRET = "s3cr3t"


def test_a_url_of_several_hosts_is_read_as_libpq_reads_it() -> None:
    url = "postgresql://u:p%40%2Fw@a:1,b:2/db?target_session_attrs=any&options=-c%20lock_timeout%3D9s"
    found = database_url.parse(url)
    assert (found["host"], found["port"], found["password"]) == ("a,b", "1,2", "p@/w")
    assert database_url.address(found) == "a:1,b:2/db"
    assert database_url.option_names(found["options"]) == {"lock_timeout"}


@pytest.mark.parametrize(
    ("url", "words"),
    [
        (f"postgresql://u:{SECRET}@x@host/db", "more than one @"),
        (f"postgresql://u:1/{SECRET}@host/db", "more than one @"),
        (f"postgresql://u:{SECRET}%zz@host/db", "percent-encoded"),
        (f"postgresql://u:x?a@{SECRET}@host/db", "more than one @"),
        (f"postgresql://u:{SECRET} x@host/db", "cannot be read"),
        (f"postgresql://u:{SECRET}@host:{SECRET}/db", "port"),
        (f"postgresql://u:{SECRET}@a:1,2/db?host=x,y,z", "ports"),
        (f"postgresql://u:{SECRET}@host/db?sslmode={SECRET}", "sslmode"),
        (f"postgresql://u:{SECRET}@host/db?connect_timeout={SECRET}", "connect_timeout"),
        (f"postgresql://u:{SECRET}@host/db?target_session_attrs=standby", "read-write"),
        (f"postgresql://u:{SECRET}@host/db?{SECRET}=1", "query parameter"),
        (f"mysql://u:{SECRET}@host/db", "postgresql://"),
        (f"postgresql://u:{SECRET}%ED%A0%80@host/db", "no UTF-8"),
    ],
)
def test_a_wrong_database_url_is_told_by_name_and_not_by_value(
    monkeypatch: pytest.MonkeyPatch, url: str, words: str
) -> None:
    _is_told(monkeypatch, "DATABASE_URL", url, words)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        (f"redis+sentinel://:{SECRET}@host:26379/0", "sentinel"),
        (f"redis://:{SECRET}/x@host:1/0", "percent-encoded"),
        (f"redis://:{SECRET}#x@host:1/0", "percent-encoded"),
        (f"redis://:{SECRET}@host:x", "cannot be read"),
        (f"redis://:{SECRET}@host:1/0?nonsense=1", "cannot be read"),
        (f"amqp://:{SECRET}@host", "redis://"),
        (f"redis://me:1?{SECRET}@host", "cannot be read"),
        (f"redis://me:{SECRET}?x@host", "cannot be read"),
        (f"unix://me:{SECRET}?x@/s", "cannot be read"),
        (f"unix://me:{SECRET}/x@/s", "cannot be read"),
        (f"unix://me:{SECRET}#x@/s", "cannot be read"),
    ],
)
def test_a_wrong_redis_url_is_told_by_name_and_not_by_value(
    monkeypatch: pytest.MonkeyPatch, url: str, words: str
) -> None:
    _is_told(monkeypatch, "REDIS_URL", url, words)


@pytest.mark.parametrize("character", ["\0", "\n", "\x1b", "\ud800"])
@pytest.mark.parametrize("form", ["postgresql://u:1{}{}@host/db", "redis://:1{}{}@host/0"])
def test_a_character_that_no_url_has_is_told_before_a_piece_of_the_password_is(
    form: str, character: str
) -> None:
    check = redis_url.check if form.startswith("redis") else database_url.parse
    with pytest.raises(ValueError, match=r"^holds a control character or half a character\.") as caught:
        check(form.format(character, SECRET))
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("name", ["a%40b", "a%2Fb"])
def test_a_database_may_have_any_name(name: str) -> None:
    found = database_url.parse(f"postgresql://u:p@h/{name}?application_name=me@work")
    assert database_url.address(found) == f"h:5432/{unquote(name)}"


@pytest.mark.parametrize(
    "url",
    ["redis://h", "rediss://u:p@h:1/2?ssl_cert_reqs=none", "unix:///run/redis.sock?db=1", "redis://:p@@h/0"],
)
def test_what_redis_can_connect_to_is_accepted(url: str) -> None:
    redis_url.check(url)
    assert "p@" not in redis_url.address(url)


def test_the_address_of_redis_shows_no_password_that_is_a_parameter() -> None:
    assert redis_url.address(f"unix:///run/redis.sock?password={SECRET}") == "/run/redis.sock"
    assert redis_url.address(f"unix://me:{SECRET}@/run/redis.sock?db=1") == "/run/redis.sock"


def _is_told(monkeypatch: pytest.MonkeyPatch, name: str, url: str, words: str) -> None:
    for other in Settings.model_fields:
        monkeypatch.delenv(other.upper(), raising=False)
    monkeypatch.setenv(name, url)
    get_settings.cache_clear()
    try:
        with pytest.raises(SettingsError) as caught:
            get_settings()
    finally:
        get_settings.cache_clear()
    _, told = str(caught.value).splitlines()
    assert told.startswith(f"{name}: ")
    assert words in told
    assert SECRET not in told
