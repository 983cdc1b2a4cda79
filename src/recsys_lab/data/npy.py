"""Arrays of any length to disk, part by part."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import DTypeLike, NDArray


@contextmanager
def npy_writer(
    file: Path, dtype: DTypeLike, length: int
) -> Iterator[Callable[[NDArray[Any]], None]]:
    """Write a one-dimensional ``.npy`` file, ``length`` values in all.

    A memory map would count every written page as this process's memory.
    """
    written = 0
    with file.open("wb") as stream:
        header = np.lib.format.header_data_from_array_1_0(np.empty(0, dtype))
        np.lib.format.write_array_header_1_0(stream, {**header, "shape": (length,)})

        def write(part: NDArray[Any]) -> None:
            nonlocal written
            np.ascontiguousarray(part, dtype).tofile(stream)
            written += len(part)

        yield write
    assert written == length, f"{file}: {written} values instead of {length}"


def map_npy(file: Path) -> NDArray[Any]:
    """The array, memory-mapped, as a plain view: indexing `np.memmap` itself is slower."""
    array: NDArray[Any] = np.load(file, mmap_mode="r").view(np.ndarray)
    return array
