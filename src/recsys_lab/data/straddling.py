"""What the linter knows of a user's own events around their targets.

Shapes: U users, S sessions, G targets, n rows of one phase.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from recsys_lab.data.splits.finish import runs_of_users, target_places
from recsys_lab.data.splits.places import row_chunks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from recsys_lab.data.splits.base import FlatLog, Segments


def straddling_sessions(log: FlatLog, segments: Segments, phase: str) -> tuple[int, int]:
    """Sessions with targets of a phase that began in an earlier part, and all with targets.

    Earlier than ``validation`` is what is trained on; than ``test``, what validation reads and asks
    for as well.

    Args:
        log: with ``sessions``.
        segments: its split.
        phase: ``validation`` or ``test``.
    """
    assert log.sessions is not None
    earlier = [segments.train] if phase == "validation" else [segments.train, segments.validation]
    _, end_U = runs_of_users(log.offsets, *earlier)
    sessions = _sessions_of(log.sessions, _rows(segments, phase), segments.dropped_targets)
    starts = log.sessions[sessions]
    owners = np.searchsorted(log.offsets, starts, side="right") - 1
    return int((starts < end_U[owners]).sum()), len(sessions)


def before_trained(log: FlatLog, segments: Segments, phase: str) -> int:
    """Targets of a phase with a later event of their user that is trained on."""
    rows = _rows(segments, phase)
    _, end_U = runs_of_users(log.offsets, segments.train)
    found = 0
    for part in row_chunks(rows[:, 3] - rows[:, 2]):
        places, of_row = target_places(rows[part], segments.dropped_targets)
        found += int((places < end_U[rows[part][of_row, 0]] - 1).sum())
    return found


def _rows(segments: Segments, phase: str) -> NDArray[np.int64]:
    return segments.validation if phase == "validation" else segments.test


def _sessions_of(
    starts_S: NDArray[np.int64], rows: NDArray[np.int64], dropped: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Numbers of the sessions that hold targets, ascending."""
    found = [np.empty(0, dtype=np.int64)]
    for part in row_chunks(rows[:, 3] - rows[:, 2]):
        places, _ = target_places(rows[part], dropped)
        found.append(np.unique(np.searchsorted(starts_S, places, side="right") - 1))
    return np.unique(np.concatenate(found))
