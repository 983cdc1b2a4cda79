"""Windows of training histories that are longer than a model reads."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from recsys_lab.data.shuffle import scattered

Crop = Literal["last", "random", "sliding"]
"""``last``: the latest window of each history; ``random``: a window at a random position, drawn
each epoch; ``sliding``: windows that make every event but the first a target once per epoch."""


class Crops:
    """The numbered crops of an epoch, of two or more events each.

    For models that predict every event from those before it, sliding windows tile the history
    from its end backwards, so the last one equals that of ``last``. For models with one target
    (the last event), a window slides by one event, so that each target has all preceding events
    within the window; with ``last`` and ``random`` every prefix of the window is a crop.

    Memory does not grow with the number of crops, which may be billions.

    Args:
        starts: index of each history's first event, int64.
        ends: index after its last event; at least two events each.
        window: events per window, including the first target, at least 2.
        crop: how windows are chosen.
        one_target: whether only the last event of a crop is a target.
        seed: for ``random``.
    """

    def __init__(
        self,
        starts: NDArray[np.int64],
        ends: NDArray[np.int64],
        *,
        window: int,
        crop: Crop,
        one_target: bool,
        seed: int,
    ) -> None:
        self._starts, self._ends = starts, ends
        self._window, self._crop, self._seed = window, crop, seed
        self._step = 1 if one_target else window - 1  # targets per crop
        targets = ends - starts - 1
        if crop != "sliding":
            targets = np.minimum(targets, window - 1)
        is_single = crop != "sliding" and not one_target
        self._before = None if is_single else np.cumsum(-(-targets // self._step))

    def __len__(self) -> int:
        """Number of crops per epoch."""
        if self._before is None or not len(self._before):
            return len(self._starts)
        return int(self._before[-1])

    def __call__(
        self, numbers: NDArray[np.int64], epoch: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """History index, start and end of the crops with some numbers, int64."""
        if self._before is None:
            rows, back = numbers, np.zeros(len(numbers), dtype=np.int64)
        else:
            rows = np.searchsorted(self._before, numbers, side="right")
            # The last crop of a history ends where the history ends.
            back = (self._before[rows] - 1 - numbers) * self._step
        firsts, ends = self._starts[rows], self._ends[rows]
        if self._crop == "sliding":
            ends = ends - back
            return rows, np.maximum(firsts, ends - self._window), ends
        if self._crop == "random":
            spare = np.maximum(0, ends - firsts - self._window)
            firsts = firsts + self._draw(rows, epoch, spare + 1)
            ends = np.minimum(ends, firsts + self._window)
        return rows, np.maximum(firsts, ends - self._window), ends - back

    def _draw(
        self, rows: NDArray[np.int64], epoch: int, below: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """A random number for each history, equal for all its crops in an epoch."""
        keys = np.random.default_rng([self._seed, epoch, 1]).integers(0, 2**64, 2, dtype=np.uint64)
        drawn = scattered(scattered(rows.astype(np.uint64) + keys[0]) ^ keys[1])
        return (drawn % below.astype(np.uint64)).astype(np.int64)
