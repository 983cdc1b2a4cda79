"""Leaks through positions and times: targets in training or history, or predictable from it.

All kinds are counted in one pass over the targets. Shapes: U users, V items, n rows of one phase, G
targets.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys_lab.data.leaks.finding import FEW, PHASES, Kind, Leak, leak
from recsys_lab.data.leaks.world import World
from recsys_lab.data.splits.base import Segments
from recsys_lab.data.splits.cold_start import first_rows, target_ranges
from recsys_lab.data.splits.ranges import inside, merged, repeated, row_chunks

MANY, SOME = 0.5, 0.1
"""Shares of targets that repeat the last event, in excess of chance: a leak (the log hardly records
choices), and a warning if the repeats are within `QUICK` seconds. Double clicks and a view logged
beside its purchase exceed them; users who hear a song again do not. `MANY` is also the share of
targets in the basket of the last event above which baskets should be held out instead of events."""

QUICK = 60
"""Seconds; two closer events are hardly two decisions."""

_QUICK_REPEATS = "quick repeats"  # counted in the same pass

OVERLAP = "This split is wrong: its rows overlap"
KINDS: Mapping[str, Kind] = {
    "target_in_training": Kind("leak", "are training events as well", OVERLAP),
    "target_in_history": Kind("leak", "are in a history that is read before them", OVERLAP),
    "future_in_training": Kind(
        "property",
        "are not later than all training events: the model has seen events of others at or after "
        "their time (true of every split by position; split=global_temporal avoids it)",
        by_time=True,
    ),
    "repeated_targets": Kind(
        "note",
        "are repeat purchases (items of the user's history): unreachable if seen items are "
        "excluded, easy otherwise",
    ),
    "repeats_last_event": Kind(
        "note",
        "are the item of the last event of their history",
        "filter.drop_consecutive_repeats=true keeps the first event of each run; if views precede "
        "purchases, filter.event_types=[PURCHASE] keeps the purchases",
    ),
    "tied_times": Kind(
        "note",
        "have the time of the last event of their history: their order is taken from the file",
        by_time=True,
    ),
    "same_basket": Kind(
        "property",
        "are in the basket (the receipt, or the events of one time) of the last event of their "
        "history: the test asks for the rest of a basket, not for the next purchase",
        "split.unit=basket predicts the whole next basket",
        told=True,
    ),
    "cold_targets": Kind("note", "are items without a training event (option: split.cold_items)"),
    "users_in_two_roles": Kind(
        "note",
        "have training events as well, as usual if each history is split",
        of="{phase} users",
    ),
    "popularity_predicts": Kind("note", ""),
}


def find(world: World) -> Iterator[Leak]:
    """All findings of the family: see `recsys_lab.data.leaks.check`.

    Memory is bounded: targets and histories are read in parts, except that one user's history
    is read at once.
    """
    segments = world.segments
    validation = segments.validation
    # A user's later rows may read the targets of earlier ones: only the first row counts.
    read, test = first_rows(validation), first_rows(segments.test)
    hidden = {
        "validation": merged(read[:, 1], read[:, 2]),
        # Validation chooses the model: its histories and targets are known before the test.
        "test": merged(
            np.concatenate([test[:, 1], validation[:, 1]]),
            np.concatenate([test[:, 2], validation[:, 3]]),
        ),
    }
    recent_V = world.recent_counts_V
    top = np.argsort(-recent_V, kind="stable")[: world.top_k]
    popular_V = np.zeros(world.log.num_items, dtype=bool)
    popular_V[top] = recent_V[top] > 0
    message = f"are among the {world.top_k} most popular items at the end of training"
    for phase in PHASES:
        rows = world.rows(phase)
        counts, total, chance = _count_targets(world, rows, hidden[phase], popular_V)
        if phase == "validation":
            del counts["popularity_predicts"]
        if counts.get("same_basket", 0) < max(FEW, MANY * total):
            counts.pop("same_basket", None)
        elif world.log.baskets is None:  # the same targets, for the same reason
            del counts["tied_times"]
        changes: dict[str, dict[str, Any]] = {
            "popularity_predicts": {"message": message},
            "repeats_last_event": _weigh_repeats(
                counts["repeats_last_event"], counts.pop(_QUICK_REPEATS, 0), total, chance
            ),
        }
        for kind, count in counts.items():
            if count:
                yield leak(KINDS, kind, phase, count, total, **changes.get(kind, {}))
        yield from _roles(world, phase)


def _weigh_repeats(count: int, quick: int, total: int, chance: float) -> dict[str, Any]:
    severity = "note"
    if count >= FEW and count / total - chance >= MANY:
        severity = "leak"
    elif quick >= FEW and quick / total - chance >= SOME:
        severity = "warning"
    message = KINDS["repeats_last_event"].message
    if quick:
        message += (
            f", {quick:,} of them within {QUICK} s, like double clicks or views before purchases"
        )
    return {"severity": severity, "message": message}


def _roles(world: World, phase: str) -> Iterator[Leak]:
    """Findings on users of a phase who are also in another part."""
    held_out = world.held_out_phases
    count = _users_in_two_roles(world.segments, phase, held_out)
    if not count:
        return
    changes = {}
    if phase in held_out:
        message = "have events in another part as well, although this split holds them out"
        changes = {"severity": "leak", "message": message, "cure": OVERLAP}
    users = len(np.unique(world.rows(phase)[:, 0]))
    yield leak(KINDS, "users_in_two_roles", phase, count, users, **changes)


def _count_targets(
    world: World,
    rows_n4: NDArray[np.int64],
    hidden: tuple[NDArray[np.int64], NDArray[np.int64]],
    popular_V: NDArray[np.bool_],
) -> tuple[dict[str, int], int, float]:
    """Targets of a phase by kind of leak, all targets, and the share that repeats by chance.

    Chance: the share of repeats if each target followed the history of a random row.
    """
    log, dropped = world.log, world.segments.dropped_targets
    counts = dict.fromkeys(KINDS, 0)
    last_V, target_V = np.zeros((2, log.num_items))
    total = 0
    times = log.timestamps
    for part in row_chunks(rows_n4[:, 3] - rows_n4[:, 1]):
        rows = rows_n4[part]
        targets, of_row = target_ranges(rows, dropped)
        items = log.items[targets]
        hits = {
            "target_in_training": inside(world.trained, targets),
            "target_in_history": inside(hidden, targets),
            "repeated_targets": repeated(log.items, rows, targets, of_row),
            "cold_targets": world.train_counts_V[items] == 0,
            "popularity_predicts": popular_V[items],
        }
        last = np.maximum(rows[:, 2] - 1, 0)[of_row]
        has_history = (rows[:, 2] > rows[:, 1])[of_row]
        hits["repeats_last_event"] = has_history & (log.items[last] == items)
        last_V += np.bincount(log.items[last[has_history]], minlength=len(last_V))
        target_V += np.bincount(items[has_history], minlength=len(last_V))
        if times is not None:
            when = times[targets]
            hits["tied_times"] = has_history & (times[last] == when)
            hits["same_basket"] = hits["tied_times"]
            hits[_QUICK_REPEATS] = hits["repeats_last_event"] & (when - times[last] <= QUICK)
            if world.last_time is not None:
                hits["future_in_training"] = when <= world.last_time
        if log.baskets is not None:
            basket, before = (np.searchsorted(log.baskets, at, "right") for at in (targets, last))
            hits["same_basket"] = has_history & (basket == before)
        total += len(targets)
        for kind, hit in hits.items():
            counts[kind] = counts.get(kind, 0) + int(hit.sum())
    return counts, total, float(last_V @ target_V) / max(1, total) ** 2


def _users_in_two_roles(segments: Segments, phase: str, held_out: Collection[str]) -> int:
    """Number of users of a phase in training or (if both are held out) in the other phase."""
    rows = {"validation": segments.validation, "test": segments.test}
    others = [segments.train[:, 0]]
    if phase in held_out:
        others += [part[:, 0] for name, part in rows.items() if name in held_out and name != phase]
    users = np.concatenate(others)
    known = np.zeros(int(max(users.max(initial=-1), rows[phase][:, 0].max(initial=-1))) + 1, bool)
    known[users] = True
    return int(known[np.unique(rows[phase][:, 0])].sum())
