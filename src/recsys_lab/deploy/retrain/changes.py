"""What changed between the dataset of a run and a newer one.

Users, items and events are matched by raw id, written as text: codes differ between datasets, and
ids that were all numbers are texts once a newer file has a letter in one.

Shapes: T events, U users, V items.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from recsys_lab.pages.number_format import number, percent
from recsys_lab.pages.table import Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from recsys_lab.data.prepared import PreparedDataset

_DAY = 86_400


def data_changes(old: PreparedDataset, new: PreparedDataset) -> dict[str, Any]:
    """Counts of users, items, events and days in both datasets, as JSON values.

    Events are equal if user, item and time (where both logs have one) are; of equal events within
    a log, as many are shared as both logs have.

    Args:
        old: the dataset of the run.
        new: the newer dataset.

    Returns:
        ``users`` and ``items``: numbers ``old``, ``new``, ``shared``, ``gained``, ``lost``;
        ``events``: ``old``, ``new``, ``shared``, and, with times, ``later``: those of the new log
        after the newest of the old one; ``days``: first and last time of both logs, days covered,
        and ``overlap``, the days that both cover; None without times; ``older``: whether the new
        log ends before the old one.
    """
    users = _matched(old.user_ids(), new.user_ids())
    items = _matched(old.item_ids(), new.item_ids())
    timed = old.timestamps is not None and new.timestamps is not None
    events = {
        "old": old.num_interactions,
        "new": new.num_interactions,
        "shared": _shared_events(old, new, users, items, timed=timed),
    }
    changes: dict[str, Any] = {
        "users": _counts(users, old.num_users),
        "items": _counts(items, old.num_items),
        "events": events,
        "days": None,
        "older": False,
    }
    if timed:
        assert old.timestamps is not None
        assert new.timestamps is not None
        before = int(old.timestamps.min()), int(old.timestamps.max())
        after = int(new.timestamps.min()), int(new.timestamps.max())
        events["later"] = int((new.timestamps > before[1]).sum())
        both = min(before[1], after[1]) - max(before[0], after[0])
        changes["days"] = {
            "old": _period(*before),
            "new": _period(*after),
            "overlap": _days(max(both, 0)),
        }
        changes["older"] = after[1] < before[1]
    return changes


def _matched(old: Sequence[Any], new: Sequence[Any]) -> NDArray[np.int64]:
    """Index among the old ids of each new one; -1 for an id that is not there."""
    index = {str(raw): place for place, raw in enumerate(old)}
    return np.array([index.get(str(raw), -1) for raw in new], dtype=np.int64)


def _counts(matched: NDArray[np.int64], old: int) -> dict[str, int]:
    shared = int((matched >= 0).sum())
    return {
        "old": old,
        "new": len(matched),
        "shared": shared,
        "gained": len(matched) - shared,
        "lost": old - shared,
    }


def _shared_events(
    old: PreparedDataset,
    new: PreparedDataset,
    users: NDArray[np.int64],
    items: NDArray[np.int64],
    *,
    timed: bool,
) -> int:
    """Number of events in both logs."""
    ours, theirs = _events(new, timed=timed), _events(old, timed=timed)
    ours = ours.with_columns(
        pl.Series("user", users[ours["user"].to_numpy()]),
        pl.Series("item", items[ours["item"].to_numpy()]),
    ).filter((pl.col("user") >= 0) & (pl.col("item") >= 0))
    keys = ours.columns
    counted = (frame.group_by(keys).len() for frame in (ours, theirs))
    both = next(counted).join(next(counted), on=keys, suffix="_old")
    return int(both.select(pl.min_horizontal("len", "len_old").sum()).item())


def _events(data: PreparedDataset, *, timed: bool) -> pl.DataFrame:
    columns = {
        "user": np.repeat(np.arange(data.num_users), np.diff(data.offsets)),
        "item": np.asarray(data.items, dtype=np.int64),
    }
    if timed:
        columns["time"] = np.asarray(data.timestamps)
    return pl.DataFrame(columns)


def _days(seconds: int) -> float:
    return round(seconds / _DAY, 2)


def _period(first: int, last: int) -> dict[str, Any]:
    return {
        "first": datetime.fromtimestamp(first, UTC).isoformat(),
        "last": datetime.fromtimestamp(last, UTC).isoformat(),
        "covered": _days(last - first),
    }


def changes_table(changes: dict[str, Any], run: str) -> Table:
    """The changes for the terminal."""
    rows: list[Sequence[str]] = []
    for side in ("users", "items"):
        counts = changes[side]
        lost = f"{number(counts['gained'])} new, {number(counts['lost'])} lost"
        rows.append((side, number(counts["old"]), number(counts["new"]), lost))
    events = changes["events"]
    share = percent(events["shared"] / max(1, events["new"]))
    later = f", {number(events['later'])} later than all of RUN" if "later" in events else ""
    rows.append(
        ("events", number(events["old"]), number(events["new"]), f"{share} of them in both{later}")
    )
    if days := changes["days"]:
        old, new = days["old"], days["new"]
        overlap = f"{days['overlap']:g} days in both"
        rows += [
            ("first event", old["first"][:10], new["first"][:10], ""),
            ("last event", old["last"][:10], new["last"][:10], ""),
            ("days covered", f"{old['covered']:g}", f"{new['covered']:g}", overlap),
        ]
    heads = ("", "RUN", "newer data", "change")
    return Table(f"data compared with {run}", heads, rows, right=(1, 2), whole=(0,))
