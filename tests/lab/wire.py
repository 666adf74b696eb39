"""A wire to a server on this machine that can be made slow, and can fall silent."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from typing import Self

CHUNK = 64 << 10
PAUSE = 0.1


class Wire:
    """Listens on a port of its own, and passes on what comes, and the answers.

    What is sent to the server has a `rate`, in bytes for each second; 0 is no limit. While it is
    `silent`, connections are taken and kept, and not a byte goes through.
    """

    def __init__(self, port: int) -> None:
        self._to = port
        self.rate = 0
        self.silent = False
        self._listens = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listens.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._listens.close()

    def _accept(self) -> None:
        with suppress(OSError):  # it was closed
            while True:
                near, _ = self._listens.accept()
                threading.Thread(target=self._connect, args=(near,), daemon=True).start()

    def _connect(self, near: socket.socket) -> None:
        with suppress(OSError), near, socket.create_connection(("127.0.0.1", self._to)) as far:
            back = threading.Thread(
                target=self._pass_on, args=(far, near), kwargs={"sent": False}, daemon=True
            )
            back.start()
            self._pass_on(near, far, sent=True)
            back.join()

    def _pass_on(self, source: socket.socket, sink: socket.socket, *, sent: bool) -> None:
        with suppress(OSError):
            while data := source.recv(CHUNK):
                while self.silent:
                    time.sleep(PAUSE)
                if sent and self.rate:
                    time.sleep(len(data) / self.rate)
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
