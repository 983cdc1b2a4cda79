"""Does the split let the answer be seen? Checks of a prepared dataset.

Shapes: U users, V items, T events laid end to end by user, n rows of one phase, G targets.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from recsys_lab.config import UserError
from recsys_lab.data.files import did_you_mean
from recsys_lab.data.splits.finish import first_rows, target_places
from recsys_lab.data.splits.places import (
    count_items,
    first_from,
    inside,
    merged,
    repeated,
    row_chunks,
    time_at_share,
)
from recsys_lab.data.straddling import before_trained, straddling_sessions

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from numpy.typing import NDArray

    from recsys_lab.data.splits.base import FlatLog, Segments

Severity = Literal["note", "leak"]

_SAID: dict[str, tuple[Severity, str]] = {
    "target_in_training": ("leak", "are trained on themselves"),
    "target_in_history": ("leak", "are read before they are to be found"),
    "future_in_training": (
        "leak",
        "are not later than everything trained on: the model has seen what others did at or "
        "after their time (part of every split by position; split=global_temporal avoids it)",
    ),
    "repeated_targets": (
        "note",
        "are items that stand in their user's history already: out of reach where seen items "
        "are excluded, easy where not",
    ),
    "tied_times": (
        "note",
        "have the time of the last event of their history: which of the two came first is the "
        "file's order alone",
    ),
    "cold_targets": ("note", "are items without a training event (option: split.cold_items)"),
    "users_in_two_roles": ("note", "are trained on as well, as is usual where users are split"),
    "later_events_in_training": (
        "leak",
        "are followed by events of their user that are trained on",
    ),
    "sessions_straddle": (
        "note",
        "began in an earlier part, so that the first half of a visit is known where its second is "
        "to be found (option: split.unit=session)",
    ),
    "popularity_predicts": ("note", ""),
}

KINDS = tuple(_SAID)
"""What `check_leaks` looks for."""

KINDS_BY_TIME = ("future_in_training", "tied_times")
"""Kinds that cannot be found in a log without timestamps."""


@dataclass(frozen=True)
class Leak:
    """One finding.

    Attributes:
        kind: one of `KINDS`.
        phase: ``validation`` or ``test``.
        count: targets (``users_in_two_roles``: users, ``sessions_straddle``: sessions) concerned,
            at least 1.
        total: targets (users, sessions with targets) of the phase.
        share: ``count / total``.
        severity: ``leak`` where a result may be better than it should be; else ``note``.
        explanation: one sentence for people.
    """

    kind: str
    phase: str
    count: int
    total: int
    share: float
    severity: Severity
    explanation: str

    def to_json(self) -> dict[str, Any]:
        """All fields, ready for JSON."""
        return asdict(self)


def check_leaks(
    log: FlatLog,
    segments: Segments,
    *,
    top_k: int = 10,
    last_window: float = 0.1,
    held_out_phases: Collection[str] = (),
) -> list[Leak]:
    """All findings, by phase, in the order of `KINDS`; nothing found gives an empty list.

    Memory is bounded: targets and histories are read in parts, except that one user's history
    is read at once.

    Args:
        log: the events.
        segments: the split.
        top_k: items that a list of the most popular ones holds.
        last_window: share of the training events, the latest, by which popularity is counted;
            without timestamps it is counted by all of them.
        held_out_phases: phases whose users the split promises to hold out of the other parts;
            there a user in two roles is a leak, elsewhere a note.
    """
    training = _Training(log, segments.train, top_k, last_window)
    validation, test = segments.validation, segments.test
    # A user's later rows may read what the earlier ones had to find: what the first reads counts.
    read = first_rows(validation), first_rows(test)
    hidden = {
        "validation": merged(read[0][:, 1], read[0][:, 2]),
        # Validation chooses the model: what it reads or looks for is known before the test.
        "test": merged(
            np.concatenate([read[1][:, 1], validation[:, 1]]),
            np.concatenate([read[1][:, 2], validation[:, 3]]),
        ),
    }
    dropped = segments.dropped_targets
    found = []
    for phase, rows in (("validation", validation), ("test", test)):
        counts, total = _count_targets(log, rows, dropped, training, hidden[phase])
        if phase == "validation":
            del counts["popularity_predicts"]
        roles = _users_in_two_roles(segments, phase, held_out_phases)
        counts["later_events_in_training"] = before_trained(log, segments, phase)
        known = log.sessions is not None
        straddle, sessions = straddling_sessions(log, segments, phase) if known else (0, 0)
        for kind in KINDS:
            if kind == "users_in_two_roles" and roles:
                users = len(np.unique(rows[:, 0]))
                found.append(_leak(kind, phase, roles, users, held_out=held_out_phases))
            elif kind == "sessions_straddle" and straddle:
                found.append(_leak(kind, phase, straddle, sessions))
            elif counts.get(kind):
                found.append(_leak(kind, phase, counts[kind], total, top_k=top_k))
    return found


def check_kinds(kinds: Sequence[str]) -> None:
    """Check the option ``fail_on_leaks``.

    Raises:
        UserError: for a kind that does not exist.
    """
    allowed = (*KINDS, "all")
    wrong = [
        f"fail_on_leaks: there is no leak {kind!r}.{did_you_mean(kind, allowed)}"
        for kind in kinds
        if kind not in allowed
    ]
    if wrong:
        raise UserError("\n".join([*wrong, f"Allowed: {', '.join(allowed)} (every real leak)"]))


def fatal(leaks: Sequence[Leak], kinds: Sequence[str]) -> None:
    """Refuse a dataset that leaks in a way the user does not want.

    Args:
        leaks: what `check_leaks` found.
        kinds: those that are fatal; ``all`` stands for every finding of severity ``leak``.

    Raises:
        UserError: listing them, or for a kind that does not exist.
    """
    check_kinds(kinds)
    fatal_ones = [
        leak for leak in leaks if leak.kind in kinds or ("all" in kinds and leak.severity == "leak")
    ]
    if fatal_ones:
        lines = [f"  {leak.kind} ({leak.phase}): {leak.explanation}" for leak in fatal_ones]
        raise UserError(
            "\n".join(
                [
                    f"fail_on_leaks={','.join(kinds)}: the split leaks.",
                    *lines,
                    "Choose another split, or take these kinds out of fail_on_leaks",
                ]
            )
        )


class _Training:
    """What the training part knows."""

    def __init__(
        self, log: FlatLog, train: NDArray[np.int64], top_k: int, last_window: float
    ) -> None:
        train = train[train[:, 2] > train[:, 1]]
        starts, ends = train[:, 1], train[:, 2]
        self.intervals = merged(starts, ends)
        counts = count_items(log.items, starts, ends, log.num_items)
        self.items_V = counts > 0
        self.last_time: int | None = None
        if log.timestamps is not None and len(train):
            self.last_time = int(log.timestamps[ends - 1].max())
            since = time_at_share(log.timestamps, starts, ends, 1 - last_window)
            recent = first_from(log.timestamps, starts, ends, since)
            counts = count_items(log.items, recent, ends, log.num_items)
        top = np.argsort(-counts, kind="stable")[:top_k]
        self.popular_V = np.zeros(log.num_items, dtype=bool)
        self.popular_V[top] = counts[top] > 0


def _count_targets(
    log: FlatLog,
    rows_n4: NDArray[np.int64],
    dropped: NDArray[np.int64],
    training: _Training,
    hidden: tuple[NDArray[np.int64], NDArray[np.int64]],
) -> tuple[dict[str, int], int]:
    """Targets of one phase by the kind of leak, and all targets."""
    counts = dict.fromkeys(KINDS, 0)
    total = 0
    times = log.timestamps
    for part in row_chunks(rows_n4[:, 3] - rows_n4[:, 1]):
        rows = rows_n4[part]
        places, of_row = target_places(rows, dropped)
        items = log.items[places]
        hits = {
            "target_in_training": inside(training.intervals, places),
            "target_in_history": inside(hidden, places),
            "repeated_targets": repeated(log.items, rows, places, of_row),
            "cold_targets": ~training.items_V[items],
            "popularity_predicts": training.popular_V[items],
        }
        if times is not None:
            when = times[places]
            last = np.maximum(rows[:, 2] - 1, 0)[of_row]
            has_history = (rows[:, 2] > rows[:, 1])[of_row]
            hits["tied_times"] = has_history & (times[last] == when)
            if training.last_time is not None:
                hits["future_in_training"] = when <= training.last_time
        total += len(places)
        for kind, hit in hits.items():
            counts[kind] += int(hit.sum())
    return counts, total


def _users_in_two_roles(segments: Segments, phase: str, held_out: Collection[str]) -> int:
    """Users of a phase that are trained on, or (where both are held out) in the other phase."""
    rows = {"validation": segments.validation, "test": segments.test}
    others = [segments.train[:, 0]]
    if phase in held_out:
        others += [part[:, 0] for name, part in rows.items() if name in held_out and name != phase]
    users = np.concatenate(others)
    known = np.zeros(int(max(users.max(initial=-1), rows[phase][:, 0].max(initial=-1))) + 1, bool)
    known[users] = True
    return int(known[np.unique(rows[phase][:, 0])].sum())


def _leak(
    kind: str,
    phase: str,
    count: int,
    total: int,
    *,
    top_k: int = 0,
    held_out: Collection[str] = (),
) -> Leak:
    severity, said = _SAID[kind]
    of = {"users_in_two_roles": "users", "sessions_straddle": "sessions"}.get(kind, "targets")
    if kind == "users_in_two_roles" and phase in held_out:
        severity, said = "leak", "have another part as well, though this split holds them out"
    if kind == "popularity_predicts":
        said = f"are among the {top_k} items that were most popular at the end of training"
    share = count / total
    sentence = f"{count:,} of {total:,} {phase} {of} ({share:.1%}) {said}"
    return Leak(kind, phase, count, total, share, severity, sentence)
