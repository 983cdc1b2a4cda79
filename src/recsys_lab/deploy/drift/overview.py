"""Sizes, times, overlaps and the largest moves: what a reader sees beside the statistics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from recsys_lab.deploy.drift.logs import DAY
from recsys_lab.pages.number_format import duration, format_value

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from recsys_lab.deploy.drift.distributions import Both, Distribution
    from recsys_lab.deploy.drift.matching import Matched

MOST = 12
"""Values of a distribution without order that are listed: those whose share moved most."""

_OVERLAP = 0.1
"""Share of the smaller log above which an overlap is noted."""

FEW = 30
"""Users below which hardly anything stands out from the noise."""

FEWEST = 10
"""Users below which nothing is above a threshold: their logs are not a sample of customers."""


def describe(both: Both, which: int) -> dict[str, Any]:
    """Path, sizes and times of the compared events of OLD (0) or NEW (1)."""
    log, part = both.logs[which], both.parts[which]
    times, lengths = part.times_T, np.bincount(part.users_T)
    same = part.users_T[1:] == part.users_T[:-1]
    gaps = np.empty(0) if times is None else np.abs(np.diff(times))[same]
    return {
        "path": log.path,
        "kind": log.kind,
        "fingerprint": log.fingerprint,
        "users": len(part.users),
        "items": int(np.count_nonzero(np.bincount(part.items_T))),
        "events": len(part.items_T),
        "first": None if times is None else f"{np.datetime64(int(times.min()), 's')}Z",
        "last": None if times is None else f"{np.datetime64(int(times.max()), 's')}Z",
        "median_length": float(np.median(lengths)),
        "median_gap_seconds": float(np.median(gaps)) if len(gaps) else None,
    }


def user_counts(both: Both, matched: Matched) -> dict[str, Any]:
    """Users in both logs and in one of them, among those with compared events."""
    old, new = both.parts[0].users, matched.new[both.parts[1].users]
    shared = len(np.intersect1d(old, new))
    return {
        "both": shared,
        "only_old": len(old) - shared,
        "only_new": len(new) - shared,
        "new_share": (len(new) - shared) / len(new),
        "notes": list(matched.notes),
    }


def moved(one: Distribution, in_new_U: NDArray[np.bool_]) -> list[dict[str, Any]]:
    """Shares of OLD and NEW: of all bins of a number, else of the values that moved most."""
    old_S, new_S = one.tallies().of(in_new_U)
    p_S, q_S = old_S / max(old_S.sum(), 1), new_S / max(new_S.sum(), 1)
    rows = np.arange(len(p_S))
    if one.ordered:
        rows = rows[(old_S + new_S > 0)]
    else:
        rows = np.argsort(-np.abs(q_S - p_S), kind="stable")[:MOST]
        rows = rows[(old_S + new_S)[rows] > 0]
    return [
        {"value": one.label(int(row)), "old": float(p_S[row]), "new": float(q_S[row])}
        for row in rows
    ]


def notes_of(both: Both, users: Matched, days: float | None, *, identical: bool) -> list[str]:
    """What limits the comparison, one sentence each."""
    old, new = both.logs
    notes = [*old.notes, *new.notes, *both.matched.notes]
    for name, size in zip(("OLD", "NEW"), both.sizes, strict=True):
        if size < FEW:
            what = "hardly any shift stands out from the noise"
            if size < FEWEST:
                what = f"too few to judge, so no shift is above a threshold ({FEWEST} users needed)"
            notes.append(f"{name} has few users ({size}): {what}")
    if new.settings is None and _short(old.settings) != "no filters":
        notes.append(
            "NEW is a file without the filters of OLD, such as a minimum number of events "
            f"({_short(old.settings)}): lengths of histories may differ for that reason alone"
        )
    elif new.settings is not None and _short(old.settings) != _short(new.settings):
        notes.append(
            f"OLD and NEW were filtered differently ({_short(old.settings)}; "
            f"{_short(new.settings)}), which shifts what is compared"
        )
    spans = [
        (part.times_T.min(), part.times_T.max()) for part in both.parts if part.times_T is not None
    ]
    if len(spans) == 2 and not identical:
        notes += _of_time(spans, days)
    elif not identical:
        notes += _of_events(both, users)
    return notes


def _of_events(both: Both, users: Matched) -> list[str]:
    """The overlap of logs without times, by the pairs of a user and an item in both."""
    numbers = (np.arange(len(both.logs[0].user_ids)), users.new)
    old, new = (
        np.unique(number[part.users[part.users_T]] * both.matched.size + items_T)
        for number, part, items_T in zip(numbers, both.parts, both.items, strict=True)
    )
    shared, fewer = len(np.intersect1d(old, new, assume_unique=True)), min(len(old), len(new))
    if shared <= _OVERLAP * fewer:
        return []
    return [
        f"OLD and NEW share {shared:,} pairs of a user and an item ({shared / fewer:.0%} of those "
        "of the smaller log): events that are in both logs hide shifts; without times, it is not "
        "known whether these are"
    ]


def _of_time(spans: list[tuple[Any, Any]], days: float | None) -> list[str]:
    notes = []
    lengths = [int(last - first) for first, last in spans]
    shorter = max(min(lengths), 1)
    if max(lengths) > 1.5 * shorter and max(lengths) > DAY:
        advice = (
            ""
            if days is not None
            else (f"; days={max(1, round(shorter / DAY))} compares the last days of each")
        )
        notes.append(
            f"OLD covers {duration(lengths[0])}, NEW {duration(lengths[1])}: lengths of histories "
            f"and times between events depend on that{advice}"
        )
    shared = float(min(spans[0][1], spans[1][1]) - max(spans[0][0], spans[1][0]))
    if shared > _OVERLAP * shorter:
        notes.append(
            f"the periods of OLD and NEW share {duration(shared)}: events that are in both logs "
            "hide shifts"
        )
    return notes


def _short(settings: Any) -> str:
    """The filters that are set, such as ``min_user_events=5``."""
    texts = [
        f"{key}={format_value(value)}"
        for key, value in (settings or {}).items()
        if value not in (None, [], "", False, True)
    ]
    return ", ".join(texts) or "no filters"
