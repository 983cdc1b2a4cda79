"""Which process runs a trial, and whether it is alive."""

from __future__ import annotations

import itertools
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recsys_lab.sweeps.launchers.base import PARENT
from recsys_lab.sweeps.storage.attributes import BEAT, OWNER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from optuna.trial import Trial

BEAT_SECONDS = 20.0
DEAD_AFTER = 120.0
"""Seconds without a sign of life after which a process on another machine counts as dead."""
_beats = itertools.count(1)
_seen: dict[tuple[Any, ...], tuple[Any, float, float]] = {}
"""Owner on another machine -> its last sign of life, its seconds of silence while this process
watched, and the time of the last look."""


def process_identity(worker: str | None = None) -> dict[str, Any]:
    """This process: its machine, its process id and start time, and its parent.

    Args:
        worker: its name in the sweep, by which the parent finds its trial after a crash.
    """
    parent = os.getppid()
    is_supervised = os.environ.get(PARENT) == str(parent)
    return {
        "machine": _machine(),
        "pid": os.getpid(),
        "began": _began(os.getpid()),
        "worker": worker,
        "parent": {"pid": parent, "began": _began(parent)} if is_supervised else None,
    }


def sign_of_life() -> int:
    """A number that this process has not used before; it needs no clock."""
    return next(_beats)


def is_alive(attributes: Mapping[str, Any], now: float | None = None) -> bool:
    """Whether the owner of a running trial is alive, or the parent that watches the owner.

    A parent records how its worker died and frees the trial, so its trials are left to it.

    No clock of another machine is read. A process on another machine counts as dead when it gave
    no new sign of life in `DEAD_AFTER` seconds of this process's clock. Between two looks at most
    `BEAT_SECONDS` count: the storage may have been unreachable for all processes.

    Args:
        attributes: the trial's user attributes.
        now: this process's `time.monotonic`.
    """
    owner = attributes.get(OWNER)
    if owner is None:  # released, or it died before it stored itself as the owner
        return False
    if owner["machine"] == _machine():
        return _is_running(owner) or _is_running(owner.get("parent"))
    now = time.monotonic() if now is None else now
    beat = attributes.get(BEAT)
    key = (owner["machine"], owner["pid"], owner["began"])
    before, silent, looked = _seen.get(key, (None, 0.0, now))
    silent = silent + min(now - looked, BEAT_SECONDS) if beat == before else 0.0
    _seen[key] = beat, silent, now
    return silent < DEAD_AFTER


@contextmanager
def repeated(seconds: float, act: Callable[[], None]) -> Iterator[None]:
    """Call a function every so many seconds in the background, until the body ends."""
    done = threading.Event()

    def work() -> None:
        while not done.wait(seconds):
            act()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def heartbeat(trial: Trial) -> AbstractContextManager[None]:
    """Give a sign of life every `BEAT_SECONDS`, for processes on other machines."""

    def beat() -> None:
        with suppress(Exception):  # if the storage does not answer, the next beat counts
            trial.set_user_attr(BEAT, sign_of_life())

    return repeated(BEAT_SECONDS, beat)


def process_began() -> float:
    """Start time of this process, before its imports, in seconds since the epoch."""
    ticks, up = _began(os.getpid()), Path("/proc/uptime")
    if ticks is None or not up.exists():
        return time.time()
    age = float(up.read_text().split()[0]) - int(ticks) / os.sysconf("SC_CLK_TCK")
    return time.time() - max(0.0, age)


def _is_running(process: Mapping[str, Any] | None) -> bool:
    """Whether a process of this machine still runs; its process id may belong to another now."""
    if process is None:
        return False
    began = _began(process["pid"])
    return began is not None and bool(began == process["began"])


def _machine() -> str:
    """Within which a process id is unique: host name, boot and namespace (of a container)."""
    boot, space = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")
    if not boot.exists():
        return socket.gethostname()
    return f"{socket.gethostname()} {boot.read_text().strip()} {space.readlink()}"


def _began(pid: int) -> str | None:
    """Start time of a process of this machine, in clock ticks since boot; None if it is dead."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields[19]
