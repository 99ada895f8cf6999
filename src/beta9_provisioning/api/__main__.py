"""`python -m beta9_provisioning.api`: serve the API until SIGTERM, SIGINT or SIGHUP."""

import contextlib
import socket
import sys

import structlog
import uvicorn
from fastapi import FastAPI
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from beta9_provisioning.api.app import create_app
from beta9_provisioning.kit import logs
from beta9_provisioning.kit.listening import cannot_listen, listen
from beta9_provisioning.kit.orphans import start_reaping
from beta9_provisioning.kit.signals import handling
from beta9_provisioning.operations.records import schema
from beta9_provisioning.settings import Settings, run_or_explain

log = structlog.get_logger(__name__)

_GRACE_SECONDS = 20


class Server(uvicorn.Server):
    """Ends the event streams first when it stops: uvicorn waits for open answers, and they would not end."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop serving."""
        app = self.config.app
        assert isinstance(app, FastAPI)
        app.state.services.streams.close()
        await super().shutdown(sockets)


def make_server(app: FastAPI, host: str, port: int) -> Server:
    """Return a server for the application; `run` serves."""
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        log_config=None,
        access_log=False,  # telemetry.py logs requests
        server_header=False,
        timeout_graceful_shutdown=_GRACE_SECONDS,
        lifespan="on",
    )
    return Server(config)


def main(settings: Settings) -> int:
    """Serve with the settings of the environment."""
    logs.configure(settings.log_level, settings.log_format)
    start_reaping()
    app = create_app(settings)
    server = make_server(app, settings.api_host, settings.api_port)
    try:
        listener = listen(settings.api_host, settings.api_port)
    except OSError as error:
        problem = cannot_listen("API", settings.api_host, settings.api_port, error)
        print(f"error: {problem}", file=sys.stderr)  # noqa: T201
        return 1
    _tell_misfit(app.state.services.engine)
    return serve(server, listener)


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


def _tell_misfit(engine: Engine) -> None:
    """Log that the schema does not fit. It serves nevertheless: readiness says so until `db init` has run."""
    with contextlib.suppress(SQLAlchemyError), engine.connect() as connection:
        misfit = schema.misfit(connection)
        if misfit is not None:
            log.error(misfit.code, detail=misfit.message)


if __name__ == "__main__":
    sys.exit(run_or_explain(main))
