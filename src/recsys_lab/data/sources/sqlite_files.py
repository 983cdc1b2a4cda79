"""SQLite files that are only read: nothing is written into them or beside them."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from urllib.parse import quote

NOT_ALLOWED = "not authorized"
"""What SQLite says of a statement that `open_sqlite` does not allow."""

_SECONDS = 60.0  # to wait for somebody who writes
_VERSION_AT = 18  # in the header, of what is needed to write; 2: a write-ahead log
_REFUSED = frozenset([
    sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH,  # VACUUM INTO attaches a new file, too
    sqlite3.SQLITE_PRAGMA, sqlite3.SQLITE_TRANSACTION, sqlite3.SQLITE_SAVEPOINT,
])  # fmt: skip


def open_sqlite(file: str) -> sqlite3.Connection:
    """A connection that can read rows and do nothing else, for threads that take turns.

    Args:
        file: an existing database; ``~`` is expanded.
    """
    path = Path(file).expanduser().absolute()
    address = f"file:{quote(str(path))}?{_mode(path)}"
    connection = sqlite3.connect(address, uri=True, timeout=_SECONDS, check_same_thread=False)
    connection.execute("PRAGMA query_only = ON")
    connection.set_authorizer(_allowed)
    return connection


def _mode(path: Path) -> str:
    """How to open a file without leaving a trace.

    A reader of a write-ahead log makes two files beside the database. A connection that could
    write takes them away at its end; where they are there already, they are somebody else's.
    """
    with path.open("rb") as stream:
        has_log = stream.read(_VERSION_AT + 1)[-1:] == b"\x02"
    if not has_log or path.with_name(f"{path.name}-wal").exists():
        return "mode=ro"
    writable = os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)
    # On a medium that is only read nobody writes, and no file can be made.
    return "mode=rw" if writable else "immutable=1"


def _allowed(action: int, *_: object) -> int:
    return sqlite3.SQLITE_DENY if action in _REFUSED else sqlite3.SQLITE_OK
