"""Signing: what is due, once, and only what continues what was signed."""

import hashlib
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, select, text
from tests.audit.attacks import KEY, NOW, fill, owner, rechain, sign
from tests.support.loglines import captured, named
from tests.support.waiting import until

from beta9_provisioning.audit import signatures
from beta9_provisioning.audit.record import PLATFORM
from beta9_provisioning.audit.signatures import KeyUnusable, fingerprint, read_private_key, read_public_key
from beta9_provisioning.kit.database import Sessions
from beta9_provisioning.operations.records.model import AuditSignatureRow
from beta9_provisioning.worker.signer import Signer


def openssl(*arguments: str | Path) -> str:
    return subprocess.run(["openssl", *arguments], check=True, capture_output=True, text=True).stdout


def numbers(sessions: Sessions, organization_id: str = "default") -> list[int]:
    query = select(AuditSignatureRow.number).where(AuditSignatureRow.organization_id == organization_id)
    with sessions() as session:
        return list(session.scalars(query.order_by(AuditSignatureRow.number)))


def test_heads_that_moved_are_signed(sessions: Sessions) -> None:
    fill(sessions, 2)
    fill(sessions, 1, PLATFORM)
    assert len(sign(sessions)) == 2
    assert sign(sessions) == []
    fill(sessions, 1)
    (head,) = sign(sessions)
    assert (head.organization_id, head.number, head.key) == ("default", 3, fingerprint(KEY.public_key()))
    assert head.is_signed_by(KEY.public_key())
    assert (numbers(sessions), numbers(sessions, PLATFORM)) == ([2, 3], [1])


def test_a_chain_that_was_signed_just_now_is_left_for_later(sessions: Sessions) -> None:
    fill(sessions, 1)
    sign(sessions)
    fill(sessions, 1)
    assert signatures.sign_moved(sessions, KEY, every=timedelta(hours=1)).signed == []
    assert len(signatures.sign_moved(sessions, KEY, every=NOW).signed) == 1


def test_several_workers_sign_a_head_once(sessions: Sessions) -> None:
    fill(sessions, 3)
    start = threading.Barrier(4)

    def work(_: int) -> int:
        start.wait(30)
        return len(sign(sessions))

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(work, range(4))) == 1
    assert numbers(sessions) == [3]


@pytest.mark.parametrize(
    ("attack", "number"),
    [
        ("UPDATE audit_records SET actor = 'mem_2' WHERE number = 5", 5),
        ("DELETE FROM audit_records WHERE number = 6", 6),
        ("UPDATE audit_signatures SET hash = repeat('0', 64)", 3),
    ],
)
def test_what_does_not_continue_what_was_signed_is_not_signed(
    engine: Engine, sessions: Sessions, attack: str, number: int
) -> None:
    fill(sessions, 3)
    sign(sessions)
    fill(sessions, 4)
    fill(sessions, 1, PLATFORM)
    with owner(engine) as session:
        session.execute(text(attack))
    done = signatures.sign_moved(sessions, KEY, every=NOW)
    assert [(name, error.number) for name, error in done.broken] == [("default", number)]
    assert [head.organization_id for head in done.signed] == [PLATFORM]
    assert numbers(sessions) == [3]


def test_a_chain_that_was_rebuilt_is_not_signed(engine: Engine, sessions: Sessions) -> None:
    fill(sessions, 3)
    sign(sessions)
    fill(sessions, 1)
    with owner(engine) as session:
        session.execute(text("UPDATE audit_records SET actor = 'mem_2' WHERE number = 1"))
        rechain(session)
    ((_, broken),) = signatures.sign_moved(sessions, KEY, every=NOW).broken
    assert broken.number == 4


def test_the_worker_signs_and_tells_in_its_log(sessions: Sessions) -> None:
    fill(sessions, 2)
    signer = Signer(sessions, KEY, 0.05)
    with captured() as lines:
        signer.start()
        try:
            until(lambda: named(lines, "audit_head_signed"), "the head is signed")
            fill(sessions, 1)
            until(lambda: len(named(lines, "audit_head_signed")) == 2, "the next one, too")
        finally:
            signer.stop()
    with sessions() as session:
        heads = list(signatures.heads(session, "default"))
    assert [{**head.fields, "log_level": "info"} for head in heads] == [
        {name: value for name, value in line.items() if name != "event"}
        for line in named(lines, "audit_head_signed")
    ]
    assert len(heads) == 2


def test_the_worker_says_that_a_chain_is_broken(engine: Engine, sessions: Sessions) -> None:
    fill(sessions, 2)
    with owner(engine) as session:
        session.execute(text("UPDATE audit_records SET actor = 'mem_2' WHERE number = 2"))
    signer = Signer(sessions, KEY, 0.05)
    with captured() as lines:
        signer.start()
        try:
            (line, *_) = until(lambda: named(lines, "audit_broken"), "it is noticed")
        finally:
            signer.stop()
    assert (line["organization_id"], line["number"], line["kind"]) == ("default", 2, "changed")
    assert numbers(sessions) == []


def test_without_a_key_nothing_is_signed(sessions: Sessions) -> None:
    signer = Signer(sessions, None, 0.01)
    signer.start()
    signer.stop()
    assert "signer" not in {thread.name for thread in threading.enumerate()}


class TestKeys:
    def test_openssl_makes_both(self, tmp_path: Path) -> None:
        private, public = tmp_path / "audit.key", tmp_path / "audit.pub"
        openssl("genpkey", "-algorithm", "ed25519", "-out", private)
        openssl("pkey", "-in", private, "-pubout", "-out", public)
        der = subprocess.run(
            ["openssl", "pkey", "-pubin", "-in", public, "-outform", "DER"], check=True, capture_output=True
        ).stdout
        key = read_public_key(public)
        assert read_private_key(private).public_key() == key
        assert hashlib.sha256(der).hexdigest() == fingerprint(key)

    @pytest.mark.parametrize(
        ("content", "why"),
        [
            (None, "No such file"),
            ("", "it holds none in PEM"),
            ("-----BEGIN PRIVATE KEY-----\nsecret\n-----END PRIVATE KEY-----\n", "it holds none in PEM"),
        ],
    )
    def test_what_is_no_key_is_refused_by_its_path(
        self, tmp_path: Path, content: str | None, why: str
    ) -> None:
        path = tmp_path / "audit.key"
        if content is not None:
            path.write_text(content)
        for read in (read_private_key, read_public_key):
            with pytest.raises(KeyUnusable, match=rf"audit\.key is no .* key.*{why}.*openssl") as refused:
                read(path)
            assert "secret" not in str(refused.value)

    @pytest.mark.parametrize("more", [[], ["-aes256", "-pass", "pass:geheim"]])
    def test_a_key_of_another_kind_or_with_a_passphrase_is_refused(
        self, tmp_path: Path, more: list[str]
    ) -> None:
        path = tmp_path / "audit.key"
        kind = ["ed25519"] if more else ["rsa"]
        openssl("genpkey", "-algorithm", *kind, *more, "-out", path)
        with pytest.raises(KeyUnusable, match="without a passphrase"):
            read_private_key(path)
