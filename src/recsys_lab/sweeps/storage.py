"""Where a study is kept, and the lock under which its trials are claimed."""

from __future__ import annotations

import logging
import warnings
import zlib
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recsys_lab.config import UserError
from recsys_lab.files.locks import hold

if TYPE_CHECKING:
    from collections.abc import Iterator

    from optuna.storages import BaseStorage

SERVERS = ("postgresql", "mysql")
_LONGEST = 600  # seconds that MySQL waits for the lock
_SECONDS = 120  # to wait for a database that somebody else writes to


class StorageAway(UserError):
    """The storage does not answer; perhaps it does a moment later."""


def open_storage(url: str) -> BaseStorage:
    """The storage of studies.

    Args:
        url: a path that ends in ``.journal``, or ``sqlite:///FILE``, ``postgresql://...``,
            ``mysql://...``.

    Raises:
        UserError: it is none of these.
        StorageAway: it cannot be reached.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    kind = kind_of(url)
    if kind == "journal":
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        path = Path(url)
        path.parent.mkdir(parents=True, exist_ok=True)
        lock: Any = _JournalLock(path)
        return JournalStorage(JournalFileBackend(url, lock_obj=lock))
    options: dict[str, Any] = {"pool_pre_ping": True}
    if kind == "sqlite":
        Path(url.partition("///")[2]).parent.mkdir(parents=True, exist_ok=True)
        options["connect_args"] = {"timeout": _SECONDS}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of SQLAlchemy's own future
            return optuna.storages.RDBStorage(with_driver(url), engine_kwargs=options)
    except Exception as error:
        raise _away(url, error) from error


def kind_of(url: str) -> str:
    """``journal``, ``sqlite``, ``postgresql`` or ``mysql``.

    Raises:
        UserError: none of them.
    """
    kind = url.partition(":")[0].partition("+")[0]
    if url.endswith(".journal") and "://" not in url:
        return "journal"
    if kind == "sqlite" and ":///" in url:
        return kind
    if kind in SERVERS and "://" in url:
        return kind
    raise UserError(
        f"sweep.storage: got '{url}'; give PATH.journal, sqlite:///FILE, postgresql://... "
        "or mysql://..."
    )


def _away(url: str, error: Exception) -> StorageAway:
    reason = str(error).strip().partition("\n")[0]
    return StorageAway(
        f"sweep.storage={url}: cannot be opened: {reason}. Is the address right, and does "
        "the server run?"
    )


def with_driver(url: str) -> str:
    """The address with the database drivers that the lab installs."""
    for plain, full in (
        ("postgresql://", "postgresql+psycopg://"),
        ("mysql://", "mysql+pymysql://"),
    ):
        if url.startswith(plain):
            return full + url.removeprefix(plain)
    return url


@contextmanager
def study_lock(url: str, name: str) -> Iterator[None]:
    """Hold a study; the lock goes with the process, however it ends.

    Args:
        url: of the storage.
        name: of the study.

    Raises:
        StorageAway: the server does not answer.
        UserError: somebody else holds the study for too long.
    """
    kind = kind_of(url)
    if kind in SERVERS:
        with _lock_of_server(url, kind, name):
            yield
        return
    file = Path(url if kind == "journal" else url.partition("///")[2])
    with hold(file.with_name(f".{file.name}.claims"), wait=True):
        yield


@contextmanager
def _lock_of_server(url: str, kind: str, name: str) -> Iterator[None]:
    import sqlalchemy

    number = zlib.crc32(f"recsys_lab {name}".encode())
    asks = {
        "postgresql": "SELECT 1 FROM pg_advisory_lock(:n)",
        "mysql": f"SELECT GET_LOCK(:n, {_LONGEST})",
    }
    frees = {"postgresql": "SELECT pg_advisory_unlock(:n)", "mysql": "SELECT RELEASE_LOCK(:n)"}
    value = {"n": number if kind == "postgresql" else f"recsys_lab {number}"}
    try:
        engine = sqlalchemy.create_engine(with_driver(url), poolclass=sqlalchemy.pool.NullPool)
        connection = engine.connect()
        got = connection.execute(sqlalchemy.text(asks[kind]), value).scalar()
    except Exception as error:  # also: a driver that is not installed, no such address
        raise _away(url, error) from error
    if got != 1:  # MySQL's answer after the time, where PostgreSQL waits for ever
        connection.close()
        raise UserError(
            f"sweep.storage={url}: another process has held the study '{name}' for "
            f"{_LONGEST} seconds; end it (SHOW PROCESSLIST names it), then give the command again"
        )
    try:
        yield
    finally:
        with suppress(sqlalchemy.exc.SQLAlchemyError):  # the lock is gone with the connection
            connection.execute(sqlalchemy.text(frees[kind]), value)
            connection.close()


class _JournalLock:
    """A lock that a killed process cannot leave behind, and that mends what it left half-written.

    Optuna's own are files: whoever dies with one blocks all others for half a minute.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._held = ExitStack()

    def acquire(self) -> bool:
        self._held.enter_context(hold(self._path.with_name(f".{self._path.name}.lock"), wait=True))
        _mend(self._path)
        return True

    def release(self) -> None:
        self._held.close()


def _mend(path: Path) -> None:
    """Cut off a last line without an end: its writer died, and readers would stumble over it."""
    with path.open("rb+") as journal:
        size = journal.seek(0, 2)
        if not size:
            return
        journal.seek(-1, 2)
        if journal.read(1) == b"\n":
            return
        journal.seek(0)
        whole = journal.read().rfind(b"\n") + 1
        journal.truncate(whole)
        logging.getLogger(__name__).warning("%s: dropped a half-written line", path)
