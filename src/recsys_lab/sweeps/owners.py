"""Who works on a trial, and whether they still live."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from optuna.trial import Trial

OWNER, BEAT = "owner", "beat"
BEAT_SECONDS = 20.0
DEAD_AFTER = 120.0
"""Seconds without a sign of life after which a process on another machine counts as dead."""
_NO_CLOCK_IS_THAT_WRONG = 3600.0
_seen: dict[tuple[Any, ...], tuple[float, float]] = {}
"""Owner on another machine -> its last sign of life, and when this process first saw that."""


def myself() -> dict[str, Any]:
    """This process: its machine, its number there and when it began."""
    return {"machine": _machine(), "pid": os.getpid(), "began": _began(os.getpid())}


def is_alive(attributes: Mapping[str, Any], now: float | None = None) -> bool:
    """Whether the owner of a running trial still works on it.

    The clocks of two machines are not compared: a process on another one is dead when this
    process has seen no new sign of life for `DEAD_AFTER` by its own clock.

    Args:
        attributes: the trial's user attributes.
        now: seconds since the epoch.
    """
    owner = attributes.get(OWNER)
    if owner is None:  # released, or it died between taking the trial and signing it
        return False
    if owner["machine"] == _machine():
        began = _began(owner["pid"])
        return began is not None and bool(began == owner["began"])
    now = time.time() if now is None else now
    beat = float(attributes.get(BEAT, 0.0))
    if now - beat > _NO_CLOCK_IS_THAT_WRONG:
        return False
    key = (owner["machine"], owner["pid"], owner["began"])
    if key not in _seen or _seen[key][0] != beat:
        _seen[key] = beat, now
    return now - _seen[key][1] < DEAD_AFTER


@contextmanager
def beating(trial: Trial) -> Iterator[None]:
    """Give a sign of life every `BEAT_SECONDS`, for processes on other machines."""
    done = threading.Event()

    def beat() -> None:
        while not done.wait(BEAT_SECONDS):
            with suppress(Exception):  # a storage that is away for a moment has the next one
                trial.set_user_attr(BEAT, time.time())

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def process_began() -> float:
    """When this process began, in seconds since the epoch: before its imports."""
    ticks, up = _began(os.getpid()), Path("/proc/uptime")
    if ticks is None or not up.exists():
        return time.time()
    age = float(up.read_text().split()[0]) - int(ticks) / os.sysconf("SC_CLK_TCK")
    return time.time() - max(0.0, age)


def _machine() -> str:
    """Where a process number means one process: name, boot and, as in containers, namespace."""
    boot, space = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")
    if not boot.exists():
        return socket.gethostname()
    return f"{socket.gethostname()} {boot.read_text().strip()} {space.readlink()}"


def _began(pid: int) -> str | None:
    """When a process of this machine began, in ticks of its own clock; None where it is dead."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields[19]
