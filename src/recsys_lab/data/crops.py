"""Which stretch of a training history is trained on: models read windows, histories are longer."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from recsys_lab.data.shuffle import scattered

Crop = Literal["last", "random", "sliding"]
"""``last``: the latest window of each history; ``random``: a window anywhere in it, drawn anew each
epoch; ``sliding``: windows that make every event but the first a target once an epoch."""


class Crops:
    """The stretches of an epoch, each with a number; none has fewer than two events.

    For models that predict every event from those before it, sliding windows lie end to end from
    the history's end on, so that the last one is that of ``last``. For those with one target, their
    last event, a window slides by one event and gives each target all the events before it that are
    read; in ``last`` and ``random`` every beginning of the window is a stretch.

    Nothing grows with the number of stretches: it may be billions.

    Args:
        starts: place of each history's first event, int64.
        ends: place after its last one; at least two events each.
        window: events of a window, the first target included, at least 2.
        crop: which.
        one_target: whether only a stretch's last event is a target.
        seed: of ``random``.
    """

    def __init__(
        self, starts: NDArray[np.int64], ends: NDArray[np.int64], *, window: int, crop: Crop,
        one_target: bool, seed: int,
    ) -> None:  # fmt: skip
        self._starts, self._ends = starts, ends
        self._window, self._crop, self._seed = window, crop, seed
        self._step = 1 if one_target else window - 1  # targets of a stretch
        targets = ends - starts - 1
        if crop != "sliding":
            targets = np.minimum(targets, window - 1)
        is_single = crop != "sliding" and not one_target
        self._before = None if is_single else np.cumsum(-(-targets // self._step))

    def __len__(self) -> int:
        """Stretches of an epoch."""
        if self._before is None or not len(self._before):
            return len(self._starts)
        return int(self._before[-1])

    def __call__(
        self, numbers: NDArray[np.int64], epoch: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """The history of each number, and where its stretch starts and ends, int64."""
        if self._before is None:
            rows, back = numbers, np.zeros(len(numbers), dtype=np.int64)
        else:
            rows = np.searchsorted(self._before, numbers, side="right")
            # The last stretch of a history ends where it ends.
            back = (self._before[rows] - 1 - numbers) * self._step
        firsts, ends = self._starts[rows], self._ends[rows]
        if self._crop == "sliding":
            ends = ends - back
            return rows, np.maximum(firsts, ends - self._window), ends
        if self._crop == "random":
            spare = np.maximum(0, ends - firsts - self._window)
            firsts = firsts + self._drawn(rows, epoch, spare + 1)
            ends = np.minimum(ends, firsts + self._window)
        return rows, np.maximum(firsts, ends - self._window), ends - back

    def _drawn(
        self, rows: NDArray[np.int64], epoch: int, below: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """A number for each history, the same for all its stretches of an epoch."""
        keys = np.random.default_rng([self._seed, epoch, 1]).integers(0, 2**64, 2, dtype=np.uint64)
        drawn = scattered(scattered(rows.astype(np.uint64) + keys[0]) ^ keys[1])
        return (drawn % below.astype(np.uint64)).astype(np.int64)
