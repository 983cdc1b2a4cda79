"""The address that a server listens at."""

from __future__ import annotations

import socket

from recsys_lab.config import UserError
from recsys_lab.files.faults import reason

LOOPBACK = ("127.0.0.1", "::1", "localhost")
"""Addresses that only this machine reaches."""


def bind(host: str, port: int) -> socket.socket:
    """A socket with the address, which does not listen yet.

    Raises:
        UserError: the address is not valid, or in use.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.socket(family, kind, protocol)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(address)
        except OSError:
            bound.close()
            raise
    except (OSError, UnicodeError) as error:
        raise UserError(
            f"host={host} port={port}: cannot be served there ({reason(error)}); choose another "
            "port, or an address of this machine"
        ) from None
    return bound
