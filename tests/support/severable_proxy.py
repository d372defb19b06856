"""TCP proxy between a browser and the endpoint, whose connections can be cut and restored."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.cluster import free_port


class SeverableProxy:
    """Forwards bytes between a port of its own and another port of this machine."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._port = free_port()
        self._listener: socket.socket | None = None
        self._connections: set[socket.socket] = set()
        self.url = f"http://127.0.0.1:{self._port}"

    @classmethod
    @contextmanager
    def started(cls, target: int) -> Iterator["SeverableProxy"]:
        proxy = cls(target)
        proxy.restore()
        try:
            yield proxy
        finally:
            proxy.cut()

    def restore(self) -> None:
        """Accept connections from now on."""
        self._listener = socket.create_server(("127.0.0.1", self._port))
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def cut(self) -> None:
        """Refuse new connections and close those that are open."""
        listener, self._listener = self._listener, None
        for connection in [*([listener] if listener else []), *self._connections]:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        self._connections.clear()

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = listener.accept()
                far = socket.create_connection(("127.0.0.1", self._target))
                self._connections |= {near, far}
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=_forward, args=(source, sink), daemon=True).start()


def _forward(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while content := source.recv(1 << 16):
            sink.sendall(content)
        sink.shutdown(socket.SHUT_WR)
