"""Write arrays to disk, with errors that show a full disk."""

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
    """A stream that numpy writes to with ``write`` instead of `numpy.ndarray.tofile`.

    The error of ``tofile`` on a full disk does not mention the disk.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self.write = stream.write
