"""A server that can be away: what stands between it and who asks."""

import contextlib
import socket
import threading


class Proxy:
    """Hands connections on to a server, unless that is to be away.

    Attributes:
        away: whether who asks is turned away.
        turned_away: how many were.
        patience: after so many it is back; None for never.
    """

    def __init__(self, server: int) -> None:
        self.away = False
        self.turned_away = 0
        self.patience: int | None = None
        self._server = server
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def leave(self) -> None:
        """Be away from now on: no connection is left when this returns."""
        self.away, self.turned_away, self.patience = True, 0, None
        for thread in self._threads:
            thread.join()

    def close(self) -> None:
        self.away = True
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client = self._listener.accept()[0]
                if self.away:
                    client.close()
                    self.turned_away += 1
                    self.away = self.turned_away != self.patience
                    continue
                server = socket.create_connection(("127.0.0.1", self._server))
                for ends in ((client, server), (server, client)):
                    thread = threading.Thread(target=self._hand_on, args=ends, daemon=True)
                    self._threads.append(thread)
                    thread.start()

    def _hand_on(self, source: socket.socket, target: socket.socket) -> None:
        source.settimeout(0.2)
        with contextlib.suppress(OSError), source, target:
            while not self.away:
                with contextlib.suppress(TimeoutError):
                    data = source.recv(65536)
                    if not data:
                        break
                    target.sendall(data)
            # Both threads hold both ends: without this the other side would not hear of it.
            for end in (source, target):
                end.shutdown(socket.SHUT_RDWR)
