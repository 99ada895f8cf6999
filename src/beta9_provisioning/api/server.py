"""One process that serves the API until SIGTERM, SIGINT or SIGHUP.

`python -m beta9_provisioning.api.server FD PLACE DIRECTORY` is one of several: it serves on a socket that it
inherits, counts in its place of a directory (counting.py), and reads its settings from standard input.
"""

import json
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

import structlog
import uvicorn
from fastapi import FastAPI
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from beta9_provisioning.api import bounds, connections, counting
from beta9_provisioning.api.app import create_app
from beta9_provisioning.api.bounds import Limits
from beta9_provisioning.kit import logs, tracing
from beta9_provisioning.kit.database import DatabaseUnavailable
from beta9_provisioning.kit.database_errors import describe
from beta9_provisioning.kit.signals import handling
from beta9_provisioning.operations.records import schema
from beta9_provisioning.settings import Settings

log = structlog.get_logger(__name__)

# Together with the longest request that begins just before its end (10 s, see kit.database.hasten), 25 s.
_GRACE_SECONDS = 15


_OPEN = "AUTH_MODE=none: whoever reaches this API may do everything. It is for a machine of your own."


class Server(uvicorn.Server):
    """Hurries open answers when it stops: uvicorn waits for them, and streams would not end.

    Nor would Python end before the threads of requests that wait for a database which is silent.
    """

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop serving."""
        app = self.config.app
        assert isinstance(app, FastAPI)
        app.state.services.hasten()
        await super().shutdown(sockets)


def make_server(
    app: FastAPI, host: str, port: int, limits: Limits | None = None, proxies: Sequence[str] = ("127.0.0.1",)
) -> Server:
    """Return a server for the application; `run` serves.

    Args:
        app: the application.
        host: where to serve, unless a socket is given later.
        port: likewise.
        limits: of connections.
        proxies: addresses and networks whose `X-Forwarded-For` counts.
    """
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        # httptools bounds neither header nor URL, and loses the body of a request that offers an upgrade.
        http=connections.protocol(limits or Limits()),  # type: ignore[arg-type]  # uvicorn only calls it
        h11_max_incomplete_event_size=connections.MAX_HEAD,
        forwarded_allow_ips=list(proxies),
        log_config=None,
        access_log=False,  # telemetry.py logs requests
        server_header=False,
        timeout_graceful_shutdown=_GRACE_SECONDS,
        lifespan="on",
    )
    return Server(config)


def run(settings: Settings, listener: socket.socket, counts: Path | None = None) -> int:
    """Serve with these settings on a socket that listens; return the exit code.

    Args:
        settings: of the service.
        listener: where to serve.
        counts: directory of the counts of several processes; none when this one is alone.
    """
    logs.configure(settings.log_level, settings.log_format)
    tracing.configure(settings.collector("provisioning-api"))
    limits = bounds.of_process(settings.max_connections)
    app = create_app(settings, counts=counts, limits=limits)
    server = make_server(
        app, settings.api_host, settings.api_port, limits, [str(one) for one in settings.forwarded_allow_ips]
    )
    if settings.auth_mode == "none":
        log.warning("authentication_off", detail=_OPEN)
    # It serves nevertheless: readiness says so until the database is there, or `db init` has run.
    if (unfit := _unfit(app.state.services.engine)) is not None:
        log.error(unfit[0], detail=unfit[1])
    code = serve(server, listener)
    tracing.shut_down()
    return code


def serve(server: Server, listener: socket.socket) -> int:
    """Serve until a signal comes; return the exit code."""
    # uvicorn takes two of them itself while it serves, and raises them again when it has stopped; an orderly
    # stop exits with 0.
    try:
        with handling(server.handle_exit):
            server.run(sockets=[listener])
    except SystemExit:  # it could not start; uvicorn's 3 would mean "not found" to the command line
        return 1
    return 0


def _unfit(engine: Engine) -> tuple[str, str] | None:
    """Return why the database does not suit, a code and words for the operator; None when it does."""
    try:
        misfit = schema.inspect(engine)
    except DatabaseUnavailable as error:
        return "database_unfit", str(error)
    except SQLAlchemyError as error:
        return "database_unfit", describe(error)
    return None if misfit is None else (misfit.code, misfit.message)


def _one_of_several(listener: str, place: str, directory: str) -> int:
    settings = Settings(**json.load(sys.stdin))
    counting.join(Path(directory), int(place))
    return run(settings, socket.socket(fileno=int(listener)), Path(directory))


if __name__ == "__main__":
    sys.exit(_one_of_several(*sys.argv[1:]))
