"""A TCP proxy before a genuine server, which a test can cut or freeze as a network does."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit, urlunsplit


class Proxy:
    """Forwards connections to the server that a URL names."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        self._target = (parts.hostname, parts.port)
        self.loses: Callable[[int], bool] = lambda _: False
        """Whether the answer to the n-th COMMIT (from 0) is lost: the line breaks when the server has it."""
        self.commits = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        credentials = parts.netloc.rpartition("@")[0]
        netloc = f"{credentials}@{address}" if credentials else address
        self.url = urlunsplit(parts._replace(netloc=netloc))
        """The server's URL through this proxy."""
        self._lock = threading.Lock()
        self._refusing = False
        self.refused = 0
        """How many connections were refused because of `cut`."""
        self.held = 0
        """How many pieces were held back because of `freeze`."""
        self._heals_at: int | None = None
        self._flowing = threading.Event()
        self._flowing.set()
        self._open: set[socket.socket] = set()
        self._threads = [threading.Thread(target=self._accept, name="proxy")]
        self._threads[0].start()

    def cut(self, *, refusing: int | None = None) -> None:
        """Break all connections and every new one: the server is down.

        It comes back when that many new ones were refused, or else when `heal` is called.
        """
        with self._lock:
            self._refusing = True
            self._heals_at = None if refusing is None else self.refused + refusing
            for end in self._open:
                _shut(end)

    def freeze(self) -> None:
        """Pass nothing on and break nothing: packets are dropped."""
        self._flowing.clear()

    def lead_to(self, url: str) -> None:
        """Connect to another server from now on, as a name does that follows the primary."""
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        self._target = (parts.hostname, parts.port)

    def heal(self) -> None:
        """Forward again."""
        with self._lock:
            self._refusing = False
        self._flowing.set()

    def close(self) -> None:
        """Break everything and end the threads."""
        self.cut()
        self._flowing.set()
        _shut(self._listener)
        self._listener.close()
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return  # closed
            with self._lock:
                if self._refusing:
                    self.refused += 1
                    self._refusing = self.refused != self._heals_at
                    client.close()
                    continue
                try:
                    server = socket.create_connection(self._target)
                except OSError:
                    client.close()  # the server is down itself
                    continue
                self._open |= {client, server}
                broken = threading.Event()
                for source, sink, lets in (
                    (client, server, lambda data, broken=broken: self._note(data, broken)),
                    (server, client, lambda _, broken=broken: not broken.is_set()),
                ):
                    thread = threading.Thread(target=self._pump, args=(source, sink, lets), name="proxy")
                    self._threads.append(thread)
                    thread.start()

    def _note(self, data: bytes, broken: threading.Event) -> bool:
        if b"COMMIT" in data:
            with self._lock:
                number, self.commits = self.commits, self.commits + 1
            if self.loses(number):
                broken.set()
        return True

    def _pump(self, source: socket.socket, sink: socket.socket, lets: Callable[[bytes], bool]) -> None:
        with suppress(OSError):
            while (data := source.recv(65536)) and lets(data):
                if not self._flowing.is_set():
                    with self._lock:
                        self.held += 1
                    self._flowing.wait()
                sink.sendall(data)
        with self._lock:
            self._open.discard(source)
            _shut(sink)
            source.close()


def _shut(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)


@contextmanager
def proxy_to(url: str) -> Iterator[Proxy]:
    """Run a proxy meanwhile."""
    proxy = Proxy(url)
    try:
        yield proxy
    finally:
        proxy.close()
