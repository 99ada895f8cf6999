"""Genuine Helm before a hostile registry of charts: typed failures, and nothing that stays or leaks."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.cli.test_terminal import STEERING
from tests.operations.rows import events
from tests.operations.run.provisions import Provision
from tests.support.fake_sts import fake_sts, says
from tests.support.registry import Answer, Registry, gives, packed, registry
from tests.support.waiting import GUARD_SECONDS

from beta9_provisioning.engine.helm.command import BOUNDS
from beta9_provisioning.engine.helm.helm import HelmFailed
from beta9_provisioning.engine.helm.release import Release
from beta9_provisioning.kit.database import Sessions
from beta9_provisioning.lifecycle import OperationStatus
from beta9_provisioning.operations.run.context import Context
from beta9_simulator.cluster.certificates import server_context

if TYPE_CHECKING:
    from tests.engine.conftest import Access

FILES = {
    "small/Chart.yaml": b"apiVersion: v2\nname: small\nversion: 1.2.3\n",
    "small/templates/all.yaml": b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: made}\n"
    b"data: {read: {{ .Files.Get `read` | quote }}}\n",
}
# What AWS's metadata service answers to those who ask for a role's credentials.
CREDENTIALS = json.dumps(
    {"Code": "Success", "AccessKeyId": "ASIA0", "SecretAccessKey": "s", "Token": "stolen"}
)
# Each name stands for nine of the one before it.
ALIASES = b"a: &a [x]\n" + b"".join(
    b"%c: &%c [%s]\n" % (name, name, b",".join([b"*%c" % (name - 1)] * 9)) for name in b"bcdefghijklm"
)
SAID = "a\x1b]0;owned\x07\x00\x9b31m\ud800 password=hunter2 "


@pytest.fixture
def hostile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    """A registry with a good chart, whose authority Helm trusts."""
    pem, context = server_context("127.0.0.1")
    (tmp_path / "authority.pem").write_text(pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    with registry(context, packed(FILES)) as found:
        yield found


def small(timeout: float = GUARD_SECONDS) -> Release:
    return Release("small", "apps", "small", "1.2.3", {}, timeout)


def failure(access: Access, hostile: Registry, timeout: float = GUARD_SECONDS) -> HelmFailed:
    """Install the chart, and return why that failed; nothing was made."""
    with pytest.raises(HelmFailed, match="Helm could not install small in apps") as caught:
        access.helm(source=hostile.source).install(small(timeout))
    assert "made" not in access.kube.objects("ConfigMap")
    return caught.value


def written(access: Access) -> int:
    """The bytes of all files that Helm has left."""
    return sum(path.stat().st_size for path in access.directory.rglob("*") if path.is_file())


def redirects(url: str) -> Answer:
    return gives(b"", status=307, Location=url)


def endless(declared: int | None, piece: bytes = bytes(1 << 20), pause: float = 0.0) -> Answer:
    """Write pieces until the client has gone."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "application/vnd.oci.image.manifest.v1+json")
        if declared is not None:
            handler.send_header("Content-Length", str(declared))
        handler.end_headers()
        with suppress(OSError):
            while handler.command != "HEAD":
                handler.wfile.write(piece)
                time.sleep(pause)

    return answer


def test_a_chart_comes_from_a_registry(access: Access, hostile: Registry) -> None:
    access.helm(source=hostile.source).install(small())
    assert access.kube.objects("ConfigMap")["made"]["data"] == {"read": ""}


@pytest.mark.parametrize("what", ["manifest", "chart", "token"])
def test_helm_asked_a_metadata_service_and_gave_its_token_to_the_registry(
    access: Access, hostile: Registry, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a redirect, or as the place where tokens are given; both whatever NO_PROXY says."""
    monkeypatch.setenv("NO_PROXY", "*")
    with fake_sts() as metadata:
        metadata.will(says(200, CREDENTIALS))
        realm = f'Bearer realm="{metadata.url}/latest/meta-data",service="x",scope="a"'
        leading = {
            "token": gives(b"{}", status=401, WWW_Authenticate=realm),
        }.get(what, redirects(f"{metadata.url}/latest/meta-data"))
        hostile.answers["manifest" if what == "token" else what] = leading
        failed = failure(access, hostile)
        assert metadata.asked == []
    assert hostile.asked
    assert hostile.credentials == []
    assert "without TLS" in failed.remedy
    assert "ASIA0" not in failed.detail


def test_a_chart_of_which_a_schema_is_elsewhere_asks_nothing_without_tls(
    access: Access, hostile: Registry
) -> None:
    with fake_sts() as metadata:
        metadata.will(says(200, "{}"))
        schema = json.dumps({"$ref": f"{metadata.url}/schema"}).encode()
        hostile.chart = packed({**FILES, "small/values.schema.json": schema})
        assert "without TLS" in failure(access, hostile).remedy
        assert metadata.asked == []


@pytest.mark.parametrize(
    ("what", "answer", "why"),
    [
        ("manifest", endless(None), "unknown response Content-Length"),
        ("chart", endless(None), "trailing data|digest"),
        ("chart", endless(1 << 40), "Content-Length"),
        ("chart", gives(b"something else"), "Content-Length|digest"),
        ("manifest", gives(b"[" * 100_000), "descriptors found: 0"),
        ("manifest", gives(b"{}", kind="text/html"), "."),
        ("manifest", gives(b"\0\xff", status=404), "not found"),
        ("config", gives(b"x" * 2), "digest"),
    ],
)
def test_what_is_no_good_answer_is_a_failure(
    access: Access, hostile: Registry, what: str, answer: Answer, why: str
) -> None:
    hostile.answers[what] = answer
    failed = failure(access, hostile)
    assert failed.code == "helm_failed"
    assert "CHART_SOURCE" in failed.remedy
    assert re.search(why, failed.detail)
    assert written(access) < 1 << 20


def test_a_redirect_to_itself_ends(access: Access, hostile: Registry) -> None:
    hostile.answers["manifest"] = redirects(f"{hostile.url}/v2/charts/small/manifests/1.2.3")
    assert "stopped after 10 redirects" in failure(access, hostile).detail
    assert len(hostile.asked) < 20


@pytest.mark.parametrize("what", ["manifest", "chart"])
def test_an_answer_as_large_as_it_likes_was_taken_into_memory(
    access: Access, hostile: Registry, what: str
) -> None:
    hostile.size = 64 << 30
    hostile.answers[what] = endless(hostile.size)
    failed = failure(access, hostile)
    assert "out of memory" in failed.detail
    assert "goroutine" not in failed.detail
    assert "CHART_SOURCE" in failed.remedy
    assert written(access) < 1 << 20


def test_a_chart_that_fits_into_memory_filled_the_disk(access: Access, hostile: Registry) -> None:
    hostile.chart = bytes(BOUNDS.file + (8 << 20))
    assert "file too large" in failure(access, hostile).detail
    assert written(access) <= BOUNDS.file + (1 << 20)


def test_a_trickle_ends_at_the_deadline(access: Access, hostile: Registry) -> None:
    hostile.answers["chart"] = endless(len(hostile.chart), b"x", pause=0.5)
    assert failure(access, hostile, timeout=2).code == "release_timeout"


@pytest.mark.parametrize(
    "files",
    [
        {"small/files/x": bytes(200 << 20)},
        {f"small/files/{number}": bytes(4 << 20) for number in range(40)},
        {"small/values.yaml": b'{"a":' * 100_000},
        {"small/values.yaml": ALIASES},
        {"small/values.schema.json": b'{"not":' * 100_000 + b"{}" + b"}" * 100_000},
        {"small/values.schema.json": b'{"$ref":"#"}'},
        {"small/values.schema.json": b'{"$ref":"file:///etc/passwd"}'},
        {"small/templates/more.yaml": b"{{ range until 999999999 }}x{{ end }}"},
        {"small/templates/more.yaml": b'{{ define "a" }}{{ include "a" . }}{{ end }}{{ include "a" . }}'},
        {"small/../../../../escaped": b"x"},
        {"small\\..\\..\\escaped": b"x"},
    ],
    ids=[
        *("file", "files", "deep", "aliases", "schema", "circle", "passwd", "endless", "recursion", "up"),
        "back",
    ],
)  # fmt: skip
def test_a_chart_that_grows_or_breaks_out_is_refused(
    access: Access, hostile: Registry, files: dict[str, bytes]
) -> None:
    hostile.chart = packed({**FILES, **files})
    failed = failure(access, hostile)
    assert failed.code == "helm_failed"
    assert "root:" not in failed.detail
    assert len(failed.detail) < 8192
    assert written(access) < 2 << 20


def test_a_charts_links_and_paths_lead_nowhere(access: Access, hostile: Registry, tmp_path: Path) -> None:
    """They name places in the archive alone, of which nothing is unpacked."""
    outside = tmp_path / "outside"
    hostile.chart = packed(
        {**FILES, "../escaped": b"x", str(outside): b"x"},
        links={"small/read": "/etc/passwd", "small/templates/more.yaml": "/etc/passwd", "small/crds": "/etc"},
    )
    access.helm(source=hostile.source).install(small())
    assert access.kube.objects("ConfigMap")["made"]["data"] == {"read": ""}
    assert not outside.exists()
    assert access.files() == set()
    unpacked = [path for path in tmp_path.rglob("*") if path.is_symlink() or path.name == "escaped"]
    assert unpacked == []


def test_what_a_chart_says_of_itself_is_not_compared(access: Access, hostile: Registry) -> None:
    """Whoever holds the registry says what is installed: docs/security.md tells so."""
    other = {name.replace("small/", "other/"): content for name, content in FILES.items()}
    other["other/Chart.yaml"] = b"apiVersion: v2\nname: other\nversion: 6.6.6\n"
    hostile.chart = packed(other)
    helm = access.helm(source=hostile.source)
    helm.install(small())
    assert [(one.name, one.chart) for one in helm.releases()] == [("small", "other-6.6.6")]


def test_what_a_registry_says_is_words_in_the_journal(
    access: Access, hostile: Registry, sessions: Sessions, tmp_path: Path
) -> None:
    errors = {"errors": [{"code": SAID, "message": SAID * 40, "detail": SAID}]}
    hostile.answers["manifest"] = gives(json.dumps(errors).encode(), status=403)
    failed = failure(access, hostile)
    assert "owned" in failed.detail
    provision = Provision(sessions, tmp_path / "provision")

    def install(_: Context) -> None:
        access.helm(source=hostile.source).install(small())

    assert provision.run(install) is OperationStatus.FAILED
    journal = json.dumps(events(sessions, provision.made.environment_id), ensure_ascii=False, default=str)
    assert "owned" in journal
    assert not STEERING.search(journal)
    assert "hunter2" not in journal
    assert "hunter2" not in failed.detail


def test_helm_has_no_more_than_its_bounds(access: Access, hostile: Registry, tmp_path: Path) -> None:
    told = tmp_path / "bounds"
    binary = tmp_path / "helm"
    binary.write_text(f"#!/bin/sh\ncat /proc/self/limits > {told}\n")
    binary.chmod(0o755)
    access.helm(binary=binary, source=hostile.source).install(small())
    for what, most in {"Max data size": BOUNDS.memory, "Max file size": BOUNDS.file}.items():
        assert re.search(rf"{what} +{most} +{most} ", told.read_text())
