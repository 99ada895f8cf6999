"""The server: HTTPS, one path prefix per cluster, an event loop in a thread of its own."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from aiohttp import web

from beta9_simulator.cluster.behaviour import Behaviour, HttpFault, Target
from beta9_simulator.cluster.certificates import server_context
from beta9_simulator.cluster.directory import ClusterDirectory
from beta9_simulator.cluster.errors import ApiError
from beta9_simulator.cluster.hosting import Hosting
from beta9_simulator.cluster.routes import respond
from beta9_simulator.cluster.store import Object
from beta9_simulator.listening import LOOPBACK, Listening

_LARGEST_BODY = 3 << 20  # bytes, as in the real API server
_REFRESH_SECONDS = 0.25
_CALL_SECONDS = 30.0
logger = logging.getLogger(__name__)
_T = TypeVar("_T")


def serve(
    directory: ClusterDirectory, port: int = 0, *, time_scale: float = 0.0, at: Listening = LOOPBACK
) -> ClusterServer:
    """Start a server for the clusters of a directory; port 0 takes a free one.

    ``time_scale`` multiplies the time that things take to become ready; 0 makes them ready at once.

    Raises:
        OSError: the port is taken.
    """
    server = ClusterServer(directory, Behaviour(time_scale=time_scale), at)
    server.start(port)
    return server


class ClusterServer:
    """A running server. Its methods may be called from any thread."""

    def __init__(self, directory: ClusterDirectory, behaviour: Behaviour, at: Listening = LOOPBACK) -> None:
        self._at = at
        self._behaviour = behaviour
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="simulated-clusters", daemon=True)
        self._hosting = Hosting(directory, behaviour, self._later)
        self._runner: web.AppRunner | None = None
        self._refresher: asyncio.Task[None] | None = None
        self.ca_pem, self._tls = server_context(at.name)
        self.port = 0

    @property
    def url(self) -> str:
        """Address of the server, without a slash at the end."""
        return f"https://{self._at.name}:{self.port}"

    def endpoint(self, account: str, region: str, name: str) -> str:
        """Address of one cluster's API, as kubeconfigs need it."""
        return f"{self.url}/clusters/{account}/{region}/{name}"

    def start(self, port: int) -> None:
        """Listen. :func:`serve` does this."""
        self._thread.start()
        try:
            asyncio.run_coroutine_threadsafe(self._listen(port), self._loop).result(_CALL_SECONDS)
        except OSError as error:
            self.stop()
            raise OSError(
                error.errno,
                f"the simulated Kubernetes API cannot listen on {self._at.address}:{port} ({error}); "
                "free the port",
            ) from error

    def stop(self) -> None:
        """Close all connections and end the thread; repeatable."""
        if not self._thread.is_alive():
            return
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(_CALL_SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_CALL_SECONDS)
        self._loop.close()

    def objects(self, account: str, region: str, name: str) -> list[Object]:
        """Every object of a cluster; none if it is unknown. The objects must not be modified."""
        return self._call(lambda: self._hosting.objects((account, region, name)))

    def hold(self, kind: str | None = None, namespace: str | None = None, name: str | None = None) -> None:
        """Such objects never become ready; None stands for any."""
        self._change(lambda: self._behaviour.never_ready.add(Target(kind, namespace, name)))

    def fail(self, kind: str | None = None, namespace: str | None = None, name: str | None = None) -> None:
        """Such Deployments, Jobs and Pods report failure; None stands for any."""
        self._change(lambda: self._behaviour.failing.add(Target(kind, namespace, name)))

    def release(self) -> None:
        """Undo every :meth:`hold` and :meth:`fail`."""
        self._change(self._behaviour.never_ready.clear)
        self._change(self._behaviour.failing.clear)

    def set_node_ready(self, node: str, ready: bool) -> None:
        """Make the nodes of that name ready or not."""
        names = self._behaviour.unready_nodes
        self._change(lambda: names.discard(node) if ready else names.add(node))

    def set_ready_seconds(self, kind: str, seconds: float) -> None:
        """Time that objects of the kind take to become ready from now on, at time scale 1."""
        self._change(lambda: self._behaviour.ready_seconds.update({kind: seconds}))

    def set_time_scale(self, time_scale: float) -> None:
        """Change the factor given to :func:`serve`."""

        def change() -> None:
            self._behaviour.time_scale = time_scale

        self._change(change)

    def set_custom_status(self, kind: str, status: dict[str, Any]) -> None:
        """The status that the controller of a custom kind writes to its objects."""
        self._change(lambda: self._behaviour.custom_status.update({kind: status}))

    def inject(self, fault: HttpFault) -> None:
        """Spoil requests as the fault says."""
        self._call(lambda: self._behaviour.http_faults.append(fault))

    def clear_faults(self) -> None:
        """Forget all faults that were injected."""
        self._call(self._behaviour.http_faults.clear)

    def _change(self, change: Callable[[], object]) -> None:
        def run() -> None:
            change()
            self._hosting.behaviour_changed()

        self._call(run)

    def _call(self, function: Callable[[], _T]) -> _T:
        async def run() -> _T:
            return function()

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(_CALL_SECONDS)

    def _later(self, seconds: float, function: Callable[[], None]) -> None:
        self._loop.call_later(seconds, function)

    async def _listen(self, port: int) -> None:
        app = web.Application(client_max_size=_LARGEST_BODY)
        app.router.add_route("*", "/clusters/{account}/{region}/{name}{path:(/.*)?}", self._handle)
        app.router.add_get("/healthz", self._health)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await self._runner.setup()
        await web.TCPSite(self._runner, self._at.address, port, ssl_context=self._tls).start()
        self.port = self._runner.addresses[0][1]
        self._refresher = asyncio.create_task(self._refresh())

    async def _close(self) -> None:
        if self._runner:
            await self._runner.cleanup()
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    async def _refresh(self) -> None:
        """Clients that only watch must see nodes come and clusters go, too."""
        while True:
            await asyncio.sleep(_REFRESH_SECONDS)
            try:
                self._hosting.refresh_all()
            except Exception:
                logger.exception("the directory of clusters could not be read; trying again")

    async def _health(self, _request: web.Request) -> web.Response:
        return web.Response(text="ok")

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        try:
            return await self._answer(request)
        except ApiError as error:
            return _refusal(error)
        except web.HTTPException as error:
            return _refusal(ApiError(error.status, error.text or error.reason))
        except ConnectionError:
            raise
        except Exception:
            logger.exception("%s %s failed", request.method, request.path_qs)
            return _refusal(ApiError(500, "the simulated API failed; see the log of the local stack"))

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        match = request.match_info
        path = match["path"] or "/"
        fault = self._behaviour.take_http_fault(request.method, f"{path}?{request.query_string}")
        if fault:
            await self._suffer(fault, request)
        hosted = self._hosting.reach((match["account"], match["region"], match["name"]))
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        user = self._hosting.authenticate(hosted, token.strip() if scheme.lower() == "bearer" else "")
        return await respond(hosted.cluster, hosted.sim.version, user, request, path)

    async def _suffer(self, fault: HttpFault, request: web.Request) -> None:
        await asyncio.sleep(fault.delay)
        if fault.drop and request.transport:
            request.transport.abort()
            raise ConnectionResetError("the connection was cut, as the fault demands")
        if fault.status:
            headers = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
            raise ApiError(fault.status, "injected fault", headers=headers)


def _refusal(error: ApiError) -> web.Response:
    return web.json_response(error.status(), status=error.code, headers=error.headers)
