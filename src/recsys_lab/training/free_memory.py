"""Free memory of the device or the machine."""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path

import torch

from recsys_lab.training.memory import return_freed_memory


def free_memory(device: str) -> int:
    """Bytes that this process can still allocate, after returning its own unused memory.

    Args:
        device: ``"cuda"`` or ``"cpu"``.
    """
    gc.collect()
    if device == "cuda":
        torch.cuda.empty_cache()
        return int(torch.cuda.mem_get_info()[0])
    return_freed_memory()
    return min(_free_of_machine(Path("/proc/meminfo")), _free_of_group(Path("/sys/fs/cgroup")))


def _free_of_machine(meminfo: Path) -> int:
    """Available memory and swap."""
    try:
        lines = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
        return sum(int(lines[name].split()[0]) << 10 for name in ("MemAvailable", "SwapFree"))
    except (OSError, KeyError):  # not Linux: the total memory
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _free_of_group(folder: Path) -> int:
    """Memory below the container's limit; file caches count as free."""
    try:
        limit = int((folder / "memory.max").read_text())
        rows = (line.split() for line in (folder / "memory.stat").read_text().splitlines())
        return max(0, limit - next(int(row[1]) for row in rows if row[0] == "anon"))
    except (OSError, ValueError, StopIteration):  # "max", or no such file
        return sys.maxsize
