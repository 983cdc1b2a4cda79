"""In which order an epoch shows its histories: a seeded permutation, listed or computed.

A list of a billion numbers takes 8 GB. A permutation can also be computed place by place: a
Feistel network permutes the numbers below a power of two, and walking along its cycle until a
number is small enough makes it one of any length (Black and Rogaway, 2002, "Ciphers with arbitrary
finite domains").
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

LISTED = 1 << 24
"""Numbers up to which the order is a list: 128 MiB."""

BLOCK = 1 << 16
"""Places computed in one go; a batch alone would spend its time in calls."""

ROUNDS = 8
"""Even, so that the halves end as wide as they begin."""


class Shuffle(Protocol):
    """Numbers by their place in the epoch."""

    def __getitem__(self, places: slice, /) -> NDArray[np.int64]:
        """The numbers at consecutive places."""
        ...


def shuffle_of(length: int, seed: Sequence[int]) -> Shuffle:
    """A permutation of the numbers below ``length``, drawn from the seed alone."""
    if length <= LISTED:
        return np.random.default_rng(seed).permutation(length)
    return Computed(length, seed)


class Computed:
    """A permutation that needs no list.

    Args:
        length: how many numbers, at least 1.
        seed: of the permutation.
    """

    def __init__(self, length: int, seed: Sequence[int]) -> None:
        bits = max(2, (length - 1).bit_length())
        self._length = np.uint64(length)
        self._widths = [np.uint64(bits - bits // 2), np.uint64(bits // 2)]  # of the two halves
        self._keys = np.random.default_rng(seed).integers(0, 2**64, ROUNDS, dtype=np.uint64)
        self._first, self._block = 0, np.empty(0, dtype=np.int64)

    def __getitem__(self, places: slice, /) -> NDArray[np.int64]:
        """The numbers at the places ``start .. stop``; beyond the end there are none."""
        start, stop, _ = places.indices(int(self._length))
        if start < self._first or stop > self._first + len(self._block):
            last = min(max(stop, start + BLOCK), int(self._length))
            self._first, self._block = start, self._numbers(start, last)
        return self._block[start - self._first : stop - self._first]

    def _numbers(self, start: int, stop: int) -> NDArray[np.int64]:
        numbers = self._mixed(np.arange(start, stop, dtype=np.uint64))
        # A cycle that begins below the length comes back there, so this ends.
        while len(beyond := np.flatnonzero(numbers >= self._length)):
            numbers[beyond] = self._mixed(numbers[beyond])
        return numbers.astype(np.int64)

    def _mixed(self, numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """A permutation of the numbers below the power of two."""
        width, other = self._widths
        low = self._widths[1]
        one = np.uint64(1)
        left, right = numbers >> low, numbers & ((one << low) - one)
        for key in self._keys:
            left, right = right, left ^ (scattered(right + key) & ((one << width) - one))
            width, other = other, width
        return (left << low) | right


def scattered(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The last step of SplitMix64 (Steele et al., 2014): every bit depends on all."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
