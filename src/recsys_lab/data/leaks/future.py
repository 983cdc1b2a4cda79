"""Leaks through candidates and filters that depend on events after the targets.

If the split also trains on events after its targets, both are a property of the split.

Shapes: T events, U users, V items, G targets.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from recsys_lab.data.leaks.finding import PHASES, Kind, Leak, Severity, leak
from recsys_lab.data.leaks.world import World
from recsys_lab.data.splits.cold_start import target_ranges
from recsys_lab.data.splits.ranges import first_times, row_chunks

SOME, MANY = 0.01, 0.1
"""Shares of candidates released after the target that give a note, and a warning; any shop gets a
few new items."""

KINDS: Mapping[str, Kind] = {
    "unreleased_candidates": Kind(
        "warning",
        "are items whose first event is after the target; evaluation.candidates=all ranks them, "
        "too",
        "evaluation.candidates=released ranks only items released by the target's time, "
        "evaluation.candidates=known only items with training events",
        of="{phase} candidates",
        by_time=True,
        of_candidates=True,
    ),
    "filters_read_the_future": Kind(
        "warning", "", "filter.counts=training counts training events only", by_time=True
    ),
}


def find(world: World) -> Iterator[Leak]:
    """All findings of the family: see `recsys_lab.data.leaks.check`."""
    if world.log.timestamps is not None:
        yield from _candidates(world)
        yield from _filters(world)


def _candidates(world: World) -> Iterator[Leak]:
    """Findings on pairs of a target and an item whose first event is after it."""
    log = world.log
    assert log.timestamps is not None
    first_V = np.sort(first_times(log.items, log.timestamps, log.num_items))
    first_V = first_V[: np.searchsorted(first_V, np.iinfo(np.int64).max)]  # items with an event
    for phase in PHASES:
        rows, count, total = world.rows(phase), 0, 0
        for part in row_chunks(rows[:, 3] - rows[:, 2]):
            targets, _ = target_ranges(rows[part], world.segments.dropped_targets)
            released_G = np.searchsorted(first_V, log.timestamps[targets], side="right")
            count += int((len(first_V) - released_G).sum())
            total += len(first_V) * len(targets)
        if total and count >= SOME * total:
            severity = _severity(world, phase) if count >= MANY * total else "note"
            yield leak(KINDS, "unreleased_candidates", phase, count, total, severity=severity)


def _filters(world: World) -> Iterator[Leak]:
    """Findings on items and users that the filters kept or cut by events of validation and test."""
    if world.filters is None or world.filters.config.counts == "training":
        return
    config, log = world.filters.config, world.log
    lengths = world.train[:, 2] - world.train[:, 1]
    cases = (
        (
            "items",
            int((world.train_counts_V < config.min_item_count).sum()),
            log.num_items,
            f"have fewer than filter.min_item_count={config.min_item_count} training events",
        ),
        (
            "users",
            int((lengths < config.min_user_count).sum()),
            len(lengths),
            f"have fewer than filter.min_user_count={config.min_user_count} training events",
        ),
        (
            "users",
            int((np.diff(log.offsets) == config.max_history).sum()) if config.max_history else 0,
            len(log.offsets) - 1,
            f"were cut to their last filter.max_history={config.max_history} events, targets "
            "included",
        ),
    )
    for of, count, total, message in cases:
        if count:
            changes = {
                "of": of,
                "message": f"{message}: filter.counts=whole also counts validation and test events",
                "severity": _severity(world, "test"),
            }
            yield leak(KINDS, "filters_read_the_future", "test", count, total, **changes)


def _severity(world: World, phase: str) -> Severity:
    return "warning" if world.keeps_the_future(phase) else "property"
