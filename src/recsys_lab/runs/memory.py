"""The peak memory of a run, also in a process of several runs."""

from __future__ import annotations

import resource
import sys
from contextlib import suppress
from pathlib import Path

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


def peak_memory_mebibytes() -> float:
    """Largest resident memory of this process since `forget_peak_memory`, or ever."""
    try:  # getrusage may report the peak of the parent process
        line = next(li for li in _STATUS.read_text().splitlines() if li.startswith("VmHWM:"))
        return int(line.split()[1]) / 2**10
    except (OSError, StopIteration, ValueError):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / (2**20 if sys.platform == "darwin" else 2**10)


def forget_peak_memory() -> None:
    """Reset the peak at the start of a run; only Linux supports this."""
    with suppress(OSError):
        _CLEAR.write_text("5")  # proc(5): resets VmHWM to the current resident size
    torch = sys.modules.get("torch")  # if it is not imported, no GPU was used
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.reset_peak_memory_stats()
