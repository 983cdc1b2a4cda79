"""A lock that goes with its process, on every file system.

``flock`` is used where the file system has it: a killed process cannot leave it behind. Some
network file systems refuse it (ENOLCK, ENOSYS, EOPNOTSUPP). There the lock is a file whose holder
gives a sign of life every `BEAT` seconds. It is taken over after `LEASE` seconds without one, by
the clock of the process that waits, or at once when the holder was a process of this machine.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from filelock import SoftFileLease, Timeout

from recsys_lab.config import UserError

NOT_SUPPORTED = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP)
LEASE, BEAT = 60.0, 5.0
"""Seconds; all processes that share a lock must agree on them."""
_GLANCE = 0.1
"""Seconds that a look at a lock may take."""
_log = logging.getLogger(__name__)


class Held(Exception):
    """Another process holds the lock."""


@contextmanager
def hold(path: Path, *, wait: bool) -> Iterator[None]:
    """Hold a lock file.

    Args:
        path: the lock file; its folder is made when absent.
        wait: until it is free; else `Held` is raised when it is not.

    Raises:
        Held: another process holds it.
        UserError: the lock file is a link.
        OSError: the machine lets nobody lock there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _opened(path) as handle:
        try:
            _flock(handle, wait=wait)
        except BlockingIOError:
            raise Held(str(path)) from None
        except OSError as error:
            if error.errno not in NOT_SUPPORTED:
                raise
        else:
            yield
            return
    with _lease(_lease_of(path), wait=wait):
        yield


def _opened(path: Path) -> IO[str]:
    """A link in a folder of somebody else's is not followed, and no content is cut."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    except OSError as error:
        if error.errno == errno.ELOOP:
            msg = f"{path}: is a symbolic link, but a lock must be a regular file; remove it"
            raise UserError(msg) from None
        raise
    return os.fdopen(descriptor, "r+")


def is_held(path: Path) -> bool | None:
    """Whether a process holds a lock file; None where that cannot be known without taking it.

    Nobody is kept from the lock by the question: who wants it alone asks for `_GLANCE` seconds.
    """
    if _lease_of(path).exists():
        return None
    try:
        with path.open() as handle:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    except OSError:
        return None
    return False


def _flock(handle: IO[str], *, wait: bool) -> None:
    """Raises BlockingIOError where it is held for longer than a look of `is_held` takes."""
    patience = time.monotonic() + _GLANCE
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            return
        except BlockingIOError:
            if time.monotonic() > patience:
                raise
            time.sleep(_GLANCE / 10)


def _lease_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.lease")


@contextmanager
def _lease(path: Path, *, wait: bool) -> Iterator[None]:
    lease = SoftFileLease(
        path,
        lease_duration=LEASE,
        heartbeat_interval=BEAT,
        thread_local=False,
        on_compromise=lambda lost: _log.error("%s: lost to another process: %s", path, lost.reason),
    )
    seen = _last_beat(path)
    while True:
        try:
            lease.acquire(timeout=-1 if wait else 0)
            break
        except Timeout:
            # A holder on another machine lives if it beats once more; else its lease runs out.
            if _last_beat(path) not in (seen, None):
                raise Held(str(path)) from None
            time.sleep(BEAT / 20)
    try:
        yield
    finally:
        lease.release()


def _last_beat(path: Path) -> int | None:
    """When the holder last gave a sign of life, by the file system's clock; None without one."""
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return None
