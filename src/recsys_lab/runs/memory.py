"""The most memory that one run took, though a process may do several."""

from __future__ import annotations

import resource
import sys
from contextlib import suppress
from pathlib import Path

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


def peak_memory_mebibytes() -> float:
    """Largest resident memory of this process since `forget_peak_memory`, or ever."""
    try:  # getrusage's may be that of the program which started this one
        line = next(li for li in _STATUS.read_text().splitlines() if li.startswith("VmHWM:"))
        return int(line.split()[1]) / 2**10
    except (OSError, StopIteration, ValueError):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / (2**20 if sys.platform == "darwin" else 2**10)


def forget_peak_memory() -> None:
    """Begin a run: what earlier ones of this process took is not its own.

    Where the system does not allow it (only Linux does), the peak stays that of the process.
    """
    with suppress(OSError):
        _CLEAR.write_text("5")  # proc(5): the peak becomes what is resident now
    torch = sys.modules.get("torch")  # not imported: then there is no peak of a GPU either
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.reset_peak_memory_stats()
