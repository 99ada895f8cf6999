"""Headers that every answer has: browsers and proxies keep none, and guess no other type."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

NOSNIFF = (b"x-content-type-options", b"nosniff")
EVERY = ((b"cache-control", b"no-store"), NOSNIFF)


class SecurityHeaders:
    """ASGI middleware. No answer permits pages of other sites anything: there is no CORS."""

    def __init__(self, app: ASGIApp, cacheable: str) -> None:
        """Take the path of a folder with files of the program, which may be kept."""
        self._app = app
        self._cacheable = f"{cacheable}/"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and add to its answer's headers."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        may_be_kept = scope["path"].startswith(self._cacheable)

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                kept = may_be_kept and message["status"] < 400
                message["headers"] = [*message["headers"], *((NOSNIFF,) if kept else EVERY)]
            await send(message)

        await self._app(scope, receive, with_headers)
