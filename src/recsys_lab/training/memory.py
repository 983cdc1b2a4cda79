"""Memory of a long training process."""

from __future__ import annotations

import ctypes


def return_freed_memory() -> None:
    """Return freed memory to the system; no effect if the C library does not support it.

    Batches differ in their number of events, which fragments glibc's heap: SASRec on MovieLens-1M
    grew from 0.7 to 5.2 GiB over 71 epochs, all of it free. A call per epoch costs a few page
    faults and keeps a process at the size of its largest epoch.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
