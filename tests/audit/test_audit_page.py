"""docs/audit.md: its commands are run as they stand, with a genuine worker that signs."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.audit.attacks import fill
from tests.audit.conftest import PAGE, Server
from tests.support.loglines import named, written
from tests.support.page import blocks, counts
from tests.support.waiting import until
from tests.worker.test_main import Process

from beta9_provisioning.audit.signatures import LOG_LINE
from beta9_provisioning.kit.database import connect, sessions
from beta9_provisioning.local.services import embedded_postgres
from beta9_provisioning.settings import Settings

TRIED = {"master", "owner", "machine", "afterwards", "existing", "elsewhere"}


def test_every_block_says_who_runs_it() -> None:
    assert set(counts(PAGE)) == TRIED


def test_the_commands_work_as_typed(redis_url: str, tmp_path: Path) -> None:
    make_key, verify, init = (block.text for block in blocks(PAGE) if block.where == "machine")
    with embedded_postgres() as url:
        server = Server(url)

        def types(commands: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                ["sh", "-euxc", commands],
                cwd=tmp_path,
                env={
                    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
                    "PYTHONPATH": os.pathsep.join(sys.path),
                    "DATABASE_URL": server.application,
                    "OWNER_URL": server.owner,
                    "APPLICATION_URL": server.application,
                },
                capture_output=True,
                text=True,
                check=False,
            )

        server.runs("master", server.master)
        server.runs("owner", server.owner)
        for commands in (make_key, init):
            done = types(commands)
            assert done.returncode == 0, done.stderr
        assert (tmp_path / "audit.key").stat().st_mode & 0o777 == 0o600
        server.runs("afterwards", server.owner)
        engine = connect(server.application)
        fill(sessions(engine), 3)
        engine.dispose()
        settings = Settings(database_url=server.application, redis_url=redis_url)
        signing = {"AUDIT_SIGNING_KEY_FILE": str(tmp_path / "audit.key"), "AUDIT_SIGNING_SECONDS": "0.2"}
        process = Process(settings, tmp_path, variables=signing)
        try:
            until(lambda: process.logged(LOG_LINE), "the worker signs the head")
        finally:
            process.child.terminate()
            process.child.wait()
        done = types(verify)
        assert done.returncode == 0, done.stderr
        first, _, document = done.stdout.partition("\n")
        assert first == "default: 3 records hold, signed up to 3."
        assert json.loads(document)["intact"] is True
        (line,) = named(written(tmp_path / "worker.log"), LOG_LINE)
        assert (line["organization_id"], line["number"], len(line["ed25519"])) == ("default", 3, 128)


def test_a_worker_with_a_key_that_is_none_says_so_and_ends(settings: Settings, tmp_path: Path) -> None:
    process = Process(settings, tmp_path, variables={"AUDIT_SIGNING_KEY_FILE": str(tmp_path / "audit.key")})
    try:
        assert process.child.wait(60) == 1
    finally:
        process.child.kill()
    told = (tmp_path / "worker.log").read_text()
    assert "audit.key is no private Ed25519 key without a passphrase: No such file or directory" in told
