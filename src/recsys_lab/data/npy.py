"""Arrays of any length to disk, part by part."""

from __future__ import annotations

import mmap
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
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
            # Not `tofile`: what it raises on a full disk says nothing of the disk.
            stream.write(np.ascontiguousarray(part, dtype).data)
            written += len(part)

        yield write
    assert written == length, f"{file}: {written} values instead of {length}"


class Touched:
    """Keeps memory-mapped arrays from filling this process's memory.

    Pages that were read count as resident until they are given back; the system's own cache
    keeps them, so reading them again is cheap.

    Args:
        arrays: memory-mapped; others are ignored.
        limit: bytes that may be touched before all are given back.
    """

    PAGE = 1 << 16
    """A read makes about this much resident around it."""

    def __init__(self, arrays: Iterable[NDArray[Any] | None], limit: int = 1 << 27) -> None:
        maps = (_map_below(array) for array in arrays if array is not None)
        self._maps = [found for found in maps if found is not None]
        self._limit = limit
        self._bytes = 0

    def note(self, reads: int, size: int) -> None:
        """Some places of each array were read.

        Args:
            reads: how many.
            size: bytes of all reads of one array together.
        """
        self._bytes += len(self._maps) * max(reads * self.PAGE, size)
        if self._bytes > self._limit:
            for found in self._maps:
                found.madvise(mmap.MADV_DONTNEED)
            self._bytes = 0


def _map_below(array: Any) -> mmap.mmap | None:
    """The map that an array is a view of."""
    while array is not None and not isinstance(array, mmap.mmap):
        array = getattr(array, "base", None)
    return array


def save_npy(file: Path, array: NDArray[Any]) -> None:
    """Write a small array of any shape."""
    with file.open("wb") as stream:
        np.lib.format.write_array(_Stream(stream), array)


class _Stream:
    """A file that is none to numpy, which then writes through it instead of around it."""

    def __init__(self, stream: BinaryIO) -> None:
        self.write = stream.write


def map_npy(file: Path) -> NDArray[Any]:
    """The array, memory-mapped, as a plain view: indexing `np.memmap` itself is slower."""
    array: NDArray[Any] = np.load(file, mmap_mode="r").view(np.ndarray)
    return array
