"""Arrays to disk, so that a full disk is known as one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray


def save_npy(file: Path, array: NDArray[Any]) -> None:
    """Write a small array of any shape as ``.npy``, whatever the file's suffix."""
    with file.open("wb") as stream:
        np.lib.format.write_array(_Stream(stream), array)


def save_npz(file: Path, arrays: Mapping[str, Any]) -> None:
    """Write arrays by name as ``.npz``, whatever the file's suffix."""
    with file.open("wb") as stream:
        np.savez(stream, **arrays)


class _Stream:
    """A file that is none to numpy, which then writes through it instead of around it.

    What `numpy.ndarray.tofile` raises on a full disk says nothing of the disk.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self.write = stream.write
