"""Which events are trained on, and which must be found.

Shapes: U users, T events laid end to end by user, n rows of one phase.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Segments:
    """One split as rows of places in the flat arrays, all int64.

    Attributes:
        train: (user, start, end), (n, 3): every user.
        validation: (user, history start, history end, target end), (n, 4): targets are the
            events ``history end .. target end``.
        test: likewise.
    """

    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]


class LeaveOneOut:
    """A user's last event is the test target, the one before the validation target.

    The history at test time includes the validation target; at validation it does not. Users
    with fewer than `min_events` events are trained on wholly and have no targets.

    Args:
        config: no options.
    """

    min_events = 3

    @dataclass(frozen=True)
    class Config:
        """`LeaveOneOut` has no options."""

    def __init__(self, config: Config) -> None:
        self.config = config

    def settings(self) -> dict[str, object]:
        """What is recorded in the manifest and the protocol fingerprint."""
        return {"name": "leave_one_out", "validation": "second last", "test": "last"}

    def segments(self, offsets: NDArray[np.int64]) -> Segments:
        """Split the events.

        Args:
            offsets: user u owns events ``offsets[u] .. offsets[u + 1]``, (U + 1,).
        """
        starts, ends = offsets[:-1], offsets[1:]
        users = np.arange(len(starts), dtype=np.int64)
        enough = ends - starts >= self.min_events
        user, start, end = users[enough], starts[enough], ends[enough]
        return Segments(
            train=np.stack([users, starts, np.where(enough, ends - 2, ends)], axis=1),
            validation=np.stack([user, start, end - 2, end - 1], axis=1),
            test=np.stack([user, start, end - 1, end], axis=1),
        )


def repeated_target_share(items_T: NDArray[np.int32], segments: NDArray[np.int64]) -> float:
    """Share of targets that are already in the history.

    Such targets can never be hit when seen items are filtered.

    Args:
        items_T: item of every event.
        segments: (user, history start, history end, target end), (n, 4).
    """
    total = int((segments[:, 3] - segments[:, 2]).sum())
    segments = segments[segments[:, 2] > segments[:, 1]]  # an empty history repeats nothing
    if not len(segments):
        return 0.0
    _, starts, ends, target_ends = segments.T
    lengths = ends - starts
    before = np.cumsum(lengths) - lengths
    history = items_T[np.repeat(starts - before, lengths) + np.arange(int(lengths.sum()))]
    repeated = 0
    for step in range(int((target_ends - ends).max())):  # one pass for leave-one-out
        has = ends + step < target_ends
        target = items_T[np.minimum(ends + step, len(items_T) - 1)]
        hit = np.logical_or.reduceat(history == np.repeat(target, lengths), before)
        repeated += int((hit & has).sum())
    return repeated / total
