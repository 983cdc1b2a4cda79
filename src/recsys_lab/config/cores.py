"""The processor cores of this process."""

from __future__ import annotations

import os


def usable_cores() -> int:
    """Number of cores that this process may use; fewer in a container or a job."""
    if hasattr(os, "sched_getaffinity"):  # Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
