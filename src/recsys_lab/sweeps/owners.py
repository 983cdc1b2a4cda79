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


def myself() -> dict[str, Any]:
    """This process: its machine, its number there and when it began."""
    return {"machine": _machine(), "pid": os.getpid(), "began": _began(os.getpid())}


def is_alive(attributes: Mapping[str, Any], now: float | None = None) -> bool:
    """Whether the owner of a running trial still works on it.

    Args:
        attributes: the trial's user attributes.
        now: seconds since the epoch.
    """
    owner = attributes.get(OWNER)
    if owner is None:  # it died between taking the trial and signing it
        return False
    if owner["machine"] == _machine():
        began = _began(owner["pid"])
        return began is not None and bool(began == owner["began"])
    last = float(attributes.get(BEAT, 0.0))
    return (time.time() if now is None else now) - last < DEAD_AFTER


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
