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
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from filelock import SoftFileLease, Timeout

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOT_SUPPORTED = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP)
LEASE, BEAT = 60.0, 5.0
"""Seconds; all processes that share a lock must agree on them."""
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
        OSError: the machine lets nobody lock there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise Held(str(path)) from None
        except OSError as error:
            if error.errno not in NOT_SUPPORTED:
                raise
        else:
            yield
            return
    with _lease(path.with_name(f"{path.name}.lease"), wait=wait):
        yield


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
