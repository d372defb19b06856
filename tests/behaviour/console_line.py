"""The way between a browser and the endpoint, which can be cut and mended."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.cluster import free_port


class Line:
    """Passes bytes on from its own port to another one on this machine."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._port = free_port()
        self._door: socket.socket | None = None
        self._open: set[socket.socket] = set()
        self.url = f"http://127.0.0.1:{self._port}"

    @classmethod
    @contextmanager
    def laid(cls, port: int) -> Iterator["Line"]:
        line = cls(port)
        line.mend()
        try:
            yield line
        finally:
            line.cut()

    def mend(self) -> None:
        """Take connections from now on."""
        self._door = socket.create_server(("127.0.0.1", self._port))
        threading.Thread(target=self._take, args=(self._door,), daemon=True).start()

    def cut(self) -> None:
        """Nobody gets through, and who was through is cut off."""
        door, self._door = self._door, None
        for each in [*([door] if door else []), *self._open]:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        self._open.clear()

    def _take(self, door: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = door.accept()
                far = socket.create_connection(("127.0.0.1", self._to))
                self._open |= {near, far}
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=_pass_on, args=(source, sink), daemon=True).start()


def _pass_on(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while content := source.recv(1 << 16):
            sink.sendall(content)
        sink.shutdown(socket.SHUT_WR)
