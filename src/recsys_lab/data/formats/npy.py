"""Reading and writing ``.npy`` files that may be larger than memory."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from recsys_lab.data.preparation.manifest import PREPARE_AGAIN
from recsys_lab.data.splits.ranges import flat_index
from recsys_lab.files.reading import reading


@contextmanager
def npy_writer(
    file: Path, dtype: DTypeLike, length: int
) -> Iterator[Callable[[NDArray[Any]], None]]:
    """Write a one-dimensional ``.npy`` file of ``length`` values, part by part.

    With a memory map, every written page would count as memory of this process.
    """
    written = 0
    with file.open("wb") as stream:
        header = np.lib.format.header_data_from_array_1_0(np.empty(0, dtype))
        np.lib.format.write_array_header_1_0(stream, {**header, "shape": (length,)})

        def write(part: NDArray[Any]) -> None:
            nonlocal written
            # Not `tofile`: on a full disk its error does not mention the disk.
            stream.write(np.ascontiguousarray(part, dtype).data)
            written += len(part)

        yield write
    assert written == length, f"{file}: {written} values instead of {length}"


class RunReader:
    """Reads runs of consecutive values from an array on disk.

    Pages of a memory map that were read count as memory of this process, up to 2 MiB around each
    index, so random reads of a long log would soon make all of it resident. Long arrays are
    therefore read from their file; with the system's cache that is about as fast.

    Args:
        array: memory-mapped by `map_npy`, or in memory.
        limit: bytes up to which an array is indexed directly.
    """

    def __init__(self, array: NDArray[Any], limit: int = 1 << 26) -> None:
        self._array = array
        self._file: int | None = None
        mapped = _memmap_below(array)
        if mapped is not None and array.nbytes > limit:
            self._file = os.open(str(mapped.filename), os.O_RDONLY)
            self._begin = int(mapped.offset)
            weakref.finalize(self, os.close, self._file)
            memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
            if array.nbytes < memory // 4 and hasattr(os, "posix_fadvise"):
                # Load it into the system's cache at once; the first epoch would do so piecemeal.
                os.posix_fadvise(self._file, 0, 0, os.POSIX_FADV_WILLNEED)

    def __call__(self, starts: NDArray[np.int64], ends: NDArray[np.int64]) -> NDArray[Any]:
        """The values of all runs ``start .. end``, concatenated."""
        if self._file is None:
            return self._array[flat_index(starts, ends)]
        size = self._array.itemsize
        values = np.empty(int((ends - starts).sum()), self._array.dtype)
        target, offset = values.view(np.uint8).data, 0
        for start, end in zip((starts * size).tolist(), (ends * size).tolist(), strict=True):
            stop = offset + end - start
            os.preadv(self._file, [target[offset:stop]], self._begin + start)
            offset = stop
        return values


def _memmap_below(array: Any) -> np.memmap[Any, Any] | None:
    """The memory map that an array is a view of."""
    while array is not None and not isinstance(array, np.memmap):
        array = getattr(array, "base", None)
    return array


def map_npy(file: Path) -> NDArray[Any]:
    """Memory-map an array, as a plain view because indexing `np.memmap` itself is slower."""
    with reading(file, PREPARE_AGAIN):
        array: NDArray[Any] = np.load(file, mmap_mode="r").view(np.ndarray)
    return array
