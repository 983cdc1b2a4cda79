"""Seeded permutations: the order of the histories in an epoch.

An array of a billion numbers takes 8 GB. A long permutation is instead computed index by index: a
Feistel network permutes the numbers below a power of two, and following its cycle until a number
is small enough permutes any range (Black and Rogaway, 2002, "Ciphers with arbitrary finite
domains").
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

LISTED = 1 << 24
"""Longest permutation that is stored as an array (128 MiB)."""

BLOCK = 1 << 16
"""Numbers computed at once: single batches would spend their time in calls."""

ROUNDS = 8
"""Rounds of the Feistel network; even, so that the two halves keep their widths."""


class Shuffle(Protocol):
    """A permutation that is read in slices."""

    def __getitem__(self, indices: slice, /) -> NDArray[np.int64]:
        """The numbers at consecutive indices."""
        ...


def shuffle_of(length: int, seed: Sequence[int]) -> Shuffle:
    """A permutation of the numbers below ``length``, drawn from the seed alone."""
    if length <= LISTED:
        return np.random.default_rng(seed).permutation(length)
    return Computed(length, seed)


class Computed:
    """A permutation that is computed as it is read.

    Args:
        length: number of elements, at least 1.
        seed: of the permutation.
    """

    def __init__(self, length: int, seed: Sequence[int]) -> None:
        bits = max(2, (length - 1).bit_length())
        self._length = np.uint64(length)
        self._widths = [np.uint64(bits - bits // 2), np.uint64(bits // 2)]  # of the two halves
        self._keys = np.random.default_rng(seed).integers(0, 2**64, ROUNDS, dtype=np.uint64)
        self._first, self._block = 0, np.empty(0, dtype=np.int64)

    def __getitem__(self, indices: slice, /) -> NDArray[np.int64]:
        """The numbers at the indices ``start .. stop``, clipped to the length."""
        start, stop, _ = indices.indices(int(self._length))
        if start < self._first or stop > self._first + len(self._block):
            last = min(max(stop, start + BLOCK), int(self._length))
            self._first, self._block = start, self._numbers(start, last)
        return self._block[start - self._first : stop - self._first]

    def _numbers(self, start: int, stop: int) -> NDArray[np.int64]:
        numbers = self._mixed(np.arange(start, stop, dtype=np.uint64))
        # A cycle that starts below the length returns there, so this terminates.
        while len(beyond := np.flatnonzero(numbers >= self._length)):
            numbers[beyond] = self._mixed(numbers[beyond])
        return numbers.astype(np.int64)

    def _mixed(self, numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """The Feistel network: a permutation of the numbers below the power of two."""
        width, other = self._widths
        low = self._widths[1]
        one = np.uint64(1)
        left, right = numbers >> low, numbers & ((one << low) - one)
        for key in self._keys:
            left, right = right, left ^ (scattered(right + key) & ((one << width) - one))
            width, other = other, width
        return (left << low) | right


def scattered(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finalizer of SplitMix64 (Steele et al., 2014): every output bit depends on all bits."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
