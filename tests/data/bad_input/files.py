"""Databases and places that refuse: no answer, wrong password, bad SQL, no permission, no space."""

from __future__ import annotations

import os
import resource
import socket
import sqlite3
import struct
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import polars as pl

from recsys_lab.data.preparation.contents import Preparation
from recsys_lab.data.preparation.row_filters import Filters
from recsys_lab.data.prepare import prepare
from recsys_lab.data.sources.sql import SQL
from recsys_lab.data.sources.table import Table
from recsys_lab.data.splits.leave_one_out import LeaveOneOut
from tests.data.bad_input.downloads import Published
from tests.data.bad_input.inputs import GOOD, HEAD
from tests.data.conftest import Given, as_nobody, build, engines

QUERY = "SELECT * FROM log"


def query(text: str = QUERY, url: str | None = None, **options: Any) -> Callable[[Path], Any]:
    """Run a query, over an SQLite file where no other database is named."""

    def use(folder: Path) -> Any:
        file = folder / "shop.db"
        with closing(sqlite3.connect(file)) as connection:
            connection.execute(f"CREATE TABLE log ({HEAD})")
            connection.execute("INSERT INTO log VALUES (1, 2, 3)")
            connection.commit()
        reader = build(SQL, "data", "sql", url=url or f"sqlite:///{file}", query=text, **options)
        return reader.source_key()

    return use


@contextmanager
def suspicious_server() -> Iterator[int]:
    """Speaks PostgreSQL just so far that it can refuse the password; its port."""
    said = b'SFATAL\0C28P01\0Mpassword authentication failed for user "shop"\0\0'
    refusal = b"E" + struct.pack("!i", len(said) + 4) + said

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:  # closed: the test is over
                return
            with connection:
                while message := connection.recv(4096):
                    if message[:1] == b"p":  # the password
                        connection.sendall(refusal)
                        break
                    is_start = struct.unpack("!i", message[4:8])[0] == 3 << 16
                    wanted = b"R" + struct.pack("!ii", 8, 3)
                    connection.sendall(wanted if is_start else b"N")  # neither TLS nor GSSAPI

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


def wrong_password(folder: Path) -> Any:
    os.environ["SHOP_PASSWORD"] = "wr0ng"
    try:
        with suspicious_server() as port:
            url = f"postgresql://shop@127.0.0.1:{port}/shop"
            return query(url=url, password_env="SHOP_PASSWORD")(folder)
    finally:
        del os.environ["SHOP_PASSWORD"]


def prepared(reader: Any, root: Path) -> Any:
    filters = build(Filters, "filter", "default")
    split = build(LeaveOneOut, "split", "leave_one_out")
    return prepare(reader, Preparation(filters, split, engines("polars")), root, "log")


def unreadable(folder: Path) -> Any:
    log = folder / "file"
    log.write_text(GOOD)
    log.chmod(0)
    with as_nobody():
        return build(Table, "data", "table", path=str(log), separator=",").source_key()


def unwritable(folder: Path) -> Any:
    root = folder / "prepared"
    root.mkdir()
    root.chmod(0o555)
    with as_nobody():
        return prepared(Given(interactions=pl.read_csv(GOOD.encode())), root)


def full(folder: Path) -> Any:
    """A limit on the size of files stands for a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    frame = pl.DataFrame({"user_id": range(9000), "item_id": 1, "timestamp": 1})
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        return prepared(Given(interactions=frame), folder / "prepared")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


DATABASES = [
    Published("a database that does not answer", query(url="postgresql://127.0.0.1:9/shop"),
        r"data.url=postgresql://127.0.0.1:9/shop: .*refused"),
    Published("a wrong password", wrong_password,
        r'data.url=postgresql://.*password authentication failed for user "shop"'),
    Published("a password in the URL", query(url="postgresql://me:secret@host/shop"),
        "data.url: contains a password"),
    Published("a query with a mistake", query("SELCT * FROM log"), "data.query: .*SELCT"),
    Published("a table that is not there", query("SELECT * FROM logs"), "data.query: .*logs"),
    Published("a query that changes the data", query("DELETE FROM log"), "data.query: "),
    Published("a query without rows", query(QUERY + " WHERE user_id = 7"),
        "data.query: returned no rows"),
    Published("rows in no order", query(timestamp_column=None),
        "rows of a database have no order of their own"),
    Published("a database file that is not there", query(url="sqlite:///none.db"), "no such file"),
]  # fmt: skip

PLACES = [
    Published("a log that may not be read", unreadable, "no permission to read it"),
    Published("a folder that may not be written", unwritable,
        r"prepared_dir=.*\(Permission denied\)"),
    Published("a disk that is full", full, "prepared_dir=.*: no space left while preparing"),
]  # fmt: skip
