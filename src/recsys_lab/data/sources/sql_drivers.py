"""Runs a query on each kind of database and yields its rows in batches."""

from __future__ import annotations

import os
import sqlite3
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing, contextmanager
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar
from urllib.parse import quote

import pyarrow as pa

from recsys_lab.config import UserError, first_line, install_hint
from recsys_lab.config.environment import environment_value
from recsys_lab.data.formats.paths import readable, require_file

SCHEMES = ("duckdb", "sqlite", "postgresql", "mysql")
"""The databases that can be read."""

ROWS_A_BATCH = 100_000

NOT_ALLOWED = "not authorized"
"""SQLite's message for a statement that `open_sqlite` does not allow."""

_SECONDS = 60.0  # to wait while another process writes
_VERSION_AT = 18  # offset of the write version in the header; 2: a write-ahead log
_REFUSED = frozenset([
    sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH,  # VACUUM INTO attaches a new file, too
    sqlite3.SQLITE_PRAGMA, sqlite3.SQLITE_TRANSACTION, sqlite3.SQLITE_SAVEPOINT,
])  # fmt: skip

_DRIVERS = {"postgresql": "postgresql+psycopg", "mysql": "mysql+pymysql"}
_PG_PASSWORD = "PGPASSWORD"
_READ_ONLY = {
    "postgresql": "SET TRANSACTION READ ONLY",
    "mysql": "SET SESSION TRANSACTION READ ONLY",
}

T = TypeVar("T")


class Run(Protocol):
    """Makes a call."""

    def __call__(self, call: Callable[[], T]) -> T:
        """Return what the call returns, or raise what it raises."""
        ...


def batches_of(
    url: str, query: str, user: str | None, password: str | None, option: str
) -> Iterator[pa.RecordBatch]:
    """The rows of a query, in its order; types may differ from batch to batch.

    Args:
        url: of the database, without a password.
        query: one that returns rows.
        user: overrides that of the URL.
        password: or None.
        option: the config option of the query, named in errors.

    Raises:
        UserError: with the database's message if it cannot be reached, refuses the user, or
            refuses the query. The password is removed from messages.
    """
    scheme = url.partition(":")[0].partition("+")[0]
    if scheme in ("duckdb", "sqlite"):
        require_file(url.partition(":///")[2] or url, "data.url")
    if scheme == "duckdb":
        yield from _duckdb(url, query, option)
    elif scheme == "sqlite":
        yield from _sqlite(url, query, option)
    else:
        yield from _sqlalchemy(url, query, user, password, option)


def _duckdb(url: str, query: str, option: str) -> Iterator[pa.RecordBatch]:
    import duckdb

    file = Path(url.partition(":///")[2]).expanduser()
    try:
        connection = duckdb.connect(str(file), read_only=True)
        # Queries read only files beside the database (for its views), and nothing from the web.
        connection.execute("SET allowed_directories = ?", [[str(file.absolute().parent)]])
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
    except duckdb.Error as error:
        raise UserError(f"data.url={url}: cannot be opened: {first_line(error)}") from error
    try:
        _require_select(connection, query, option)
        with stoppable(connection) as run:
            reader = run(lambda: connection.sql(query).to_arrow_reader(ROWS_A_BATCH))
            while (batch := run(partial(next, reader, None))) is not None:
                yield batch
    except duckdb.Error as error:
        raise UserError(f"{option}: {first_line(error)}") from error
    finally:
        connection.close()


def _require_select(connection: Any, query: str, option: str) -> None:
    """Refuse anything but one SELECT: a database opened read-only could still export to files."""
    import duckdb

    kinds = [statement.type for statement in connection.extract_statements(query)]
    tree = connection.execute("SELECT json_serialize_sql(?::VARCHAR)", [query]).fetchall()[0][0]
    # Newer versions allow COPY inside WITH, which counts as a SELECT.
    if kinds != [duckdb.StatementType.SELECT] or '"type":"COPY_QUERY_NODE"' in tree:
        raise _no_select(option)


def _no_select(option: str) -> UserError:
    return UserError(f"{option}: not a query that returns rows; expected one SELECT")


def _sqlite(url: str, query: str, option: str) -> Iterator[pa.RecordBatch]:
    with readable(f"data.url={url}"):
        connection = open_sqlite(url.partition(":///")[2])
    try:
        with closing(connection), stoppable(connection) as run:
            cursor = run(partial(connection.execute, query))
            if cursor.description is None:
                raise _no_select(option)
            names = [column[0] for column in cursor.description]
            while rows := run(partial(cursor.fetchmany, ROWS_A_BATCH)):
                yield _batch(names, rows, option)
    except (sqlite3.Error, sqlite3.Warning) as error:
        if first_line(error) == NOT_ALLOWED:
            raise _no_select(option) from None
        raise UserError(f"{option}: {first_line(error)}") from error


def _sqlalchemy(
    url: str, query: str, user: str | None, password: str | None, option: str
) -> Iterator[pa.RecordBatch]:
    try:
        import sqlalchemy
    except ImportError as error:
        raise UserError(f"data=sql needs sqlalchemy: {install_hint('sql')}") from error
    scheme, _, rest = url.partition("://")
    scheme = scheme.partition("+")[0]
    with _explained(url, password):
        try:
            address = sqlalchemy.make_url(f"{_DRIVERS.get(scheme, scheme)}://{rest}")
        except ValueError as error:  # the port is not a number
            raise UserError(
                f"data.url={url}: not a valid URL ({first_line(error)}); expected e.g. "
                f"{scheme}://host:5432/database"
            ) from error
        if user is not None:
            address = address.set(username=user)
        if password is None and scheme == "postgresql" and _PG_PASSWORD in os.environ:
            # The driver would send it to whichever host the config names.
            password = environment_value(_PG_PASSWORD, f"data.password_env={_PG_PASSWORD}")
        if password is not None:
            address = address.set(password=password)
        try:
            engine = sqlalchemy.create_engine(address)
        except ImportError as error:
            raise UserError(
                f"data.url={url}: the driver {error.name} is not installed: {install_hint('sql')}"
            ) from error
        connection = engine.connect()
    try:
        with _explained(option, password):
            connection.execute(sqlalchemy.text(_READ_ONLY[scheme]))
            # Without parameters, a % in the query is not a placeholder.
            streaming = connection.execution_options(stream_results=True, no_parameters=True)
            result = streaming.exec_driver_sql(query)
            if not result.returns_rows:
                raise _no_select(option)
            names = list(result.keys())
            while rows := result.fetchmany(ROWS_A_BATCH):
                yield _batch(names, rows, option)
    finally:
        connection.close()
        engine.dispose()


@contextmanager
def _explained(where: str, password: str | None) -> Iterator[None]:
    """Turn a database's error into a `UserError` without the password."""
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except SQLAlchemyError as error:
        message = first_line(getattr(error, "orig", None) or error)
        if password:
            message = message.replace(password, "***")
        where = where if where.startswith("data.") else f"data.url={where}"
        # From None: the driver's error may hold the whole connection string.
        raise UserError(f"{where}: {message}") from None


def _batch(names: list[str], rows: Sequence[Any], option: str) -> pa.RecordBatch:
    columns = zip(*rows, strict=True)
    arrays = [_array(name, values, option) for name, values in zip(names, columns, strict=True)]
    return pa.record_batch(arrays, names=names)


def _array(name: str, values: Sequence[Any], option: str) -> pa.Array:
    kinds = {type(value) for value in values if value is not None}
    if Decimal in kinds:
        values = [float(value) if isinstance(value, Decimal) else value for value in values]
    elif uuid.UUID in kinds or (len(kinds) > 1 and str in kinds):
        values = [None if value is None else str(value) for value in values]
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
        raise UserError(
            f"{option}: column '{name}' cannot be read ({first_line(error)}); CAST it in the query"
        ) from error


@contextmanager
def stoppable(connection: Any) -> Iterator[Run]:
    """Make calls in another thread while this one waits, so that Ctrl-C can interrupt a query.

    Python handles signals between two instructions of its main thread, and a database inside the
    process runs no Python instruction during a query.

    Args:
        connection: has ``interrupt()``, which ends its query from another thread.
    """
    with ThreadPoolExecutor(1, "query") as pool:

        def run(call: Callable[[], T]) -> T:
            future = pool.submit(call)
            try:
                return future.result()
            except BaseException:
                if not future.done():
                    connection.interrupt()
                    wait([future])
                raise

        yield run


def open_sqlite(file: str) -> sqlite3.Connection:
    """Open a connection that can only read rows; several threads may use it in turn.

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
    """The mode that opens a file without leaving files beside it.

    Reading a database with a write-ahead log creates two files beside it, which only a connection
    with write access removes when it closes; existing ones belong to another process.
    """
    with path.open("rb") as stream:
        has_log = stream.read(_VERSION_AT + 1)[-1:] == b"\x02"
    if not has_log or path.with_name(f"{path.name}-wal").exists():
        return "mode=ro"
    writable = os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)
    # On a read-only medium nobody writes, and no file can be created.
    return "mode=rw" if writable else "immutable=1"


def _allowed(action: int, *_: object) -> int:
    return sqlite3.SQLITE_DENY if action in _REFUSED else sqlite3.SQLITE_OK
