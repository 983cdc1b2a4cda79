"""A server that can be away for a while: what stands between it and who asks."""

import contextlib
import socket
import threading


class Proxy:
    """Hands connections on to a server, unless that is to be away."""

    def __init__(self, server: int) -> None:
        self.away = False
        self._server = server
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self.away = True
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client = self._listener.accept()[0]
                if self.away:
                    client.close()
                    continue
                server = socket.create_connection(("127.0.0.1", self._server))
                for ends in ((client, server), (server, client)):
                    threading.Thread(target=self._hand_on, args=ends, daemon=True).start()

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
