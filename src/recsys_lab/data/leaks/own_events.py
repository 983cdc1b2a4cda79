"""Leaks through a user's other events: sessions that are cut in two, later training events.

Shapes: U users, S sessions, G targets, n rows of one phase.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from recsys_lab.data.leaks.finding import PHASES, Kind, Leak, leak
from recsys_lab.data.leaks.world import World
from recsys_lab.data.splits.base import FlatLog, Segments
from recsys_lab.data.splits.cold_start import runs_of_users, target_ranges
from recsys_lab.data.splits.ranges import row_chunks

KINDS: Mapping[str, Kind] = {
    "later_events_in_training": Kind("leak", "are followed by training events of the same user"),
    "sessions_straddle": Kind(
        "property",
        "began in an earlier part, so that the first events of a session are known when its last "
        "ones are predicted",
        "split.unit=session holds out whole sessions",
        of="sessions with {phase} targets",
    ),
}


def find(world: World) -> Iterator[Leak]:
    """All findings of the family, in bounded memory: see `recsys_lab.data.leaks.check`."""
    for phase in PHASES:
        rows = world.rows(phase)
        later = before_trained(world.log, world.segments, phase)
        if later:
            total = int((rows[:, 3] - rows[:, 2]).sum())
            yield leak(KINDS, "later_events_in_training", phase, later, total)
        if world.log.sessions is not None:
            straddle, sessions = straddling_sessions(world.log, world.segments, phase)
            if straddle:
                # A split by position cuts each user's last session; one by time need not.
                severity = "warning" if world.keeps_the_future(phase) else "property"
                straddling = straddle, sessions
                yield leak(KINDS, "sessions_straddle", phase, *straddling, severity=severity)


def straddling_sessions(log: FlatLog, segments: Segments, phase: str) -> tuple[int, int]:
    """Sessions with targets of a phase that began in an earlier part, and all with targets.

    The training part is earlier than ``validation``; training and validation than ``test``.

    Args:
        log: with ``sessions``.
        segments: its split.
        phase: ``validation`` or ``test``.
    """
    assert log.sessions is not None
    earlier = [segments.train] if phase == "validation" else [segments.train, segments.validation]
    _, end_U = runs_of_users(log.offsets, *earlier)
    sessions = _sessions_of(log.sessions, segments.rows(phase), segments.dropped_targets)
    starts = log.sessions[sessions]
    owners = np.searchsorted(log.offsets, starts, side="right") - 1
    return int((starts < end_U[owners]).sum()), len(sessions)


def before_trained(log: FlatLog, segments: Segments, phase: str) -> int:
    """Number of targets of a phase with a later training event of their user."""
    rows = segments.rows(phase)
    _, end_U = runs_of_users(log.offsets, segments.train)
    count = 0
    for part in row_chunks(rows[:, 3] - rows[:, 2]):
        targets, of_row = target_ranges(rows[part], segments.dropped_targets)
        count += int((targets < end_U[rows[part][of_row, 0]] - 1).sum())
    return count


def _sessions_of(
    starts_S: NDArray[np.int64], rows: NDArray[np.int64], dropped: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Numbers of the sessions that hold targets, ascending."""
    sessions = [np.empty(0, dtype=np.int64)]
    for part in row_chunks(rows[:, 3] - rows[:, 2]):
        targets, _ = target_ranges(rows[part], dropped)
        sessions.append(np.unique(np.searchsorted(starts_S, targets, side="right") - 1))
    return np.unique(np.concatenate(sessions))
