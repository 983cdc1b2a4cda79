"""File locks that end with their process, on every file system.

``flock`` is used if the file system supports it: it ends with the process. Some network file
systems do not (ENOLCK, ENOSYS, EOPNOTSUPP). There, the lock is a file that its holder touches every
`BEAT` seconds. It expires after `LEASE` seconds without a touch, by the clock of the waiting
process, or at once if the holder was a process of this machine.
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
"""Seconds; equal for all processes that share a lock."""
_GLANCE = 0.1
"""Longest time in seconds that `is_held` holds a lock."""
_log = logging.getLogger(__name__)


class Held(Exception):
    """Another process holds the lock."""


@contextmanager
def hold(path: Path, *, wait: bool) -> Iterator[None]:
    """Hold a lock file.

    Args:
        path: the lock file; its folder is created if missing.
        wait: whether to wait until it is free, instead of raising `Held`.

    Raises:
        Held: another process holds it.
        UserError: the lock file is a link.
        OSError: the file cannot be locked.
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
    """Open a lock file without following a link, and without truncating it."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise UserError(
                f"{path}: is a symbolic link, but a lock must be a regular file; remove it"
            ) from None
        raise
    return os.fdopen(descriptor, "r+")


def is_held(path: Path) -> bool | None:
    """Whether a process holds a lock file; None if that cannot be known without locking it.

    Does not keep others from the lock: `hold` retries for `_GLANCE` seconds.
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
    """Lock a file; raises BlockingIOError if it is held for longer than `is_held` does."""
    deadline = time.monotonic() + _GLANCE
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            return
        except BlockingIOError:
            if time.monotonic() > deadline:
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
            # A holder on another machine is alive if it touches the file; else its lease expires.
            if _last_beat(path) not in (seen, None):
                raise Held(str(path)) from None
            time.sleep(BEAT / 20)
    try:
        yield
    finally:
        lease.release()


def _last_beat(path: Path) -> int | None:
    """When the holder last touched the file, by the file system's clock; None without a file."""
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return None
