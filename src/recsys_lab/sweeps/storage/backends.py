"""Opens the storage of a study, and locks a study while its trials are claimed."""

from __future__ import annotations

import warnings
import zlib
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recsys_lab.config import UserError, first_line, install_hint
from recsys_lab.files.locks import hold
from recsys_lab.sweeps.storage.journal import open_journal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from optuna.storages import BaseStorage

SERVERS = ("postgresql", "mysql")
_LONGEST = 600  # seconds that MySQL waits for the lock
_SECONDS = 120  # to wait for a database that somebody else writes to
_CONNECT_SECONDS = 10  # to wait for a server; a call is made again


class StorageAway(UserError):
    """The storage does not answer; a later call may succeed."""


def open_storage(url: str) -> BaseStorage:
    """The storage of studies.

    Args:
        url: a path that ends in ``.journal``, or ``sqlite:///FILE``, ``postgresql://...``,
            ``mysql://...``.

    Raises:
        UserError: the URL has another form.
        StorageAway: the storage cannot be opened.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    kind = kind_of(url)
    if kind == "journal":
        return open_journal(Path(url))
    options: dict[str, Any] = {"pool_pre_ping": True, "connect_args": _connecting(kind)}
    file = file_of(url)
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of SQLAlchemy's own future
            return optuna.storages.RDBStorage(with_driver(url), engine_kwargs=options)
    except Exception as error:
        raise _away(url, error) from error


def _connecting(kind: str) -> dict[str, Any]:
    """Options of the driver: how long to wait for a file's lock, or for a server's answer."""
    return {"timeout": _SECONDS} if kind == "sqlite" else {"connect_timeout": _CONNECT_SECONDS}


def file_of(url: str) -> Path | None:
    """The file of a storage; None if it is on a server."""
    kind = kind_of(url)
    if kind in SERVERS:
        return None
    return Path(url if kind == "journal" else url.partition("///")[2])


def kind_of(url: str) -> str:
    """``journal``, ``sqlite``, ``postgresql`` or ``mysql``.

    Raises:
        UserError: the URL has another form.
    """
    kind = url.partition(":")[0].partition("+")[0]
    if url.endswith(".journal") and "://" not in url:
        return "journal"
    if kind == "sqlite" and ":///" in url:
        return kind
    if kind in SERVERS and "://" in url:
        return kind
    raise UserError(
        f"sweep.storage: got '{url}'; give PATH.journal, sqlite:///FILE, postgresql://..., "
        "mysql://..., or env:NAME for an environment variable that holds one of these"
    )


def _away(url: str, error: Exception) -> StorageAway:
    return StorageAway(
        f"sweep.storage={url}: cannot be opened: {first_line(error)}. Check the address, and that "
        "the server is running"
    )


def with_driver(url: str) -> str:
    """The URL with the database driver that the lab installs."""
    for plain, full in (
        ("postgresql://", "postgresql+psycopg://"),
        ("mysql://", "mysql+pymysql://"),
    ):
        if url.startswith(plain):
            return full + url.removeprefix(plain)
    return url


@contextmanager
def study_lock(url: str, name: str) -> Iterator[Callable[[], None]]:
    """Lock a study; the lock ends with the process, however that ends.

    Args:
        url: of the storage.
        name: of the study.

    Yields:
        A function to call before a change that only the holder may make: it raises `StorageAway`
        if the server has lost the lock since, e.g. by a restart.

    Raises:
        StorageAway: the server does not answer, or another process holds the lock for too long.
    """
    file = file_of(url)
    if file is None:
        with _lock_of_server(url, kind_of(url), name) as assure:
            yield assure
        return
    with hold(file.with_name(f".{file.name}.claims"), wait=True):
        yield lambda: None


@contextmanager
def _lock_of_server(url: str, kind: str, name: str) -> Iterator[Callable[[], None]]:
    import sqlalchemy

    number = zlib.crc32(f"recsys_lab {name}".encode())
    asks = {
        "postgresql": "SELECT 1 FROM pg_advisory_lock(:n)",
        "mysql": f"SELECT GET_LOCK(:n, {_LONGEST})",
    }
    frees = {"postgresql": "SELECT pg_advisory_unlock(:n)", "mysql": "SELECT RELEASE_LOCK(:n)"}
    value = {"n": number if kind == "postgresql" else f"recsys_lab {number}"}
    try:
        engine = sqlalchemy.create_engine(
            with_driver(url), poolclass=sqlalchemy.pool.NullPool, connect_args=_connecting(kind)
        )
        connection = engine.connect()
        got = connection.execute(sqlalchemy.text(asks[kind]), value).scalar()
    except ImportError as error:
        raise UserError(f"sweep.storage={url} needs {error.name}: {install_hint('sql')}") from error
    except Exception as error:  # also: no such address
        raise _away(url, error) from error
    if got != 1:  # MySQL's answer after the time, where PostgreSQL waits for ever
        connection.close()
        raise StorageAway(
            f"sweep.storage={url}: another process has held the study '{name}' for "
            f"{_LONGEST} seconds; end it (SHOW PROCESSLIST lists it), then run the command again"
        )

    def assure() -> None:
        try:
            connection.execute(sqlalchemy.text("SELECT 1"))
        except sqlalchemy.exc.SQLAlchemyError as error:
            raise _away(url, error) from error

    try:
        yield assure
    finally:
        with suppress(sqlalchemy.exc.SQLAlchemyError):  # a lost connection releases the lock
            connection.execute(sqlalchemy.text(frees[kind]), value)
            connection.close()
