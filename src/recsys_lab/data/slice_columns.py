"""Columns that slice results by kind of user and target.

Shapes: V items, n users of a phase, G targets.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys_lab.data.prepared import PreparedDataset
from recsys_lab.data.splits.cold_start import target_ranges
from recsys_lab.data.splits.ranges import repeated, row_chunks

LENGTHS = ((1, "1-4"), (5, "5-9"), (10, "10-19"), (20, "20-49"), (50, "50-99"), (100, "100+"))
_HOUR, _DAY = 3600, 86400
POSITIONS = ((1, "first"), (2, "second"), (3, "third to fifth"), (6, "later"))
GAPS = (
    (0, "under an hour"),
    (_HOUR, "under a day"),
    (_DAY, "under a week"),
    (7 * _DAY, "under 30 days"),
    (30 * _DAY, "30 days or more"),
)
LATER = (np.iinfo(np.int64).min, "last is later")
BANDS = ("head", "middle", "tail", "cold")
LARGEST_GROUPS = 10
PERIODS = {"day": "%Y-%m-%d", "week": "%G-W%V", "month": "%Y-%m"}
"""Formats of days, weeks (ISO 8601: from Monday, in the year of their Thursday) and months."""
LATEST_PERIODS = 60


def slice_keys(data: PreparedDataset, phase: str, period: str | None = None) -> pl.DataFrame:
    """One row for each pair of user and target of a phase, in order of the users.

    Args:
        data: the prepared dataset.
        phase: ``validation`` or ``test``.
        period: key of `PERIODS`, to slice by the targets' times; or None.

    Returns:
        Columns ``user``, ``target`` (indices) and, as ordered categories, ``history_length``
        (events), ``target_popularity`` (`popularity_bands`), ``target_repeated`` (whether it is
        in the history), ``since_last`` (time between the last event of the history and the
        target; needs timestamps), ``target_week`` or another period (in UTC, the latest
        `LATEST_PERIODS`, all earlier ones as one; needs timestamps), ``session_position`` (of the
        target in its session; needs sessions), and ``user_NAME`` for each categorical user column
        (its `LARGEST_GROUPS` most frequent values among these users).
    """
    segments = np.asarray(data.segments(phase))
    parts = [_events(data, segments[part]) for part in row_chunks(segments[:, 2] - segments[:, 1])]
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    user_G, target_G = columns["user"], columns["target"]
    bands_V = popularity_bands(data.training_item_counts())
    frame = pl.DataFrame({"user": user_G, "target": target_G}).with_columns(
        _binned("history_length", columns["length"], LENGTHS),
        _labelled("target_popularity", bands_V[target_G], BANDS),
        _labelled("target_repeated", (~columns["repeated"]).astype(np.int64), ("yes", "no")),
    )
    if "gap" in columns:
        is_later = columns["gap"].min(initial=0) < 0  # in published splits that are random
        gaps = (LATER, *GAPS) if is_later else GAPS
        frame = frame.with_columns(_binned("since_last", columns["gap"], gaps))
        if period is not None:
            frame = frame.with_columns(_periods(period, columns["time"]))
    if "position" in columns:
        frame = frame.with_columns(_binned("session_position", columns["position"], POSITIONS))
    groups = [name for name in data.features.names() if name.startswith("user.")]
    for name in groups:
        if data.features.entry(name)["type"] == "categorical":
            frame = frame.with_columns(_groups(data, name, user_G))
    return frame.sort("user", maintain_order=True)


def popularity_bands(counts_V: NDArray[np.int64]) -> NDArray[np.int64]:
    """Index into `BANDS` of every item, (V,).

    Items are sorted by their number of training events: those with the first third of all events
    are the head, the next third the middle, the rest the tail; cold items have no event.
    """
    order = np.argsort(-counts_V, kind="stable")
    before = np.cumsum(counts_V[order]) - counts_V[order]
    bands = np.empty(len(counts_V), dtype=np.int64)
    bands[order] = np.minimum(3 * before // max(1, int(counts_V.sum())), 2)
    bands[counts_V == 0] = BANDS.index("cold")
    return bands


def _events(data: PreparedDataset, rows_n4: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
    """Numbers that the log has about the targets of some users, each (G,)."""
    targets, of_row = target_ranges(rows_n4, data.dropped_targets)
    starts, ends = rows_n4[:, 1], rows_n4[:, 2]
    columns: dict[str, NDArray[Any]] = {
        "user": rows_n4[of_row, 0],
        "target": data.items[targets],
        "length": (ends - starts)[of_row],
        "repeated": repeated(data.items, rows_n4, targets, of_row),
    }
    if data.sessions is not None:
        session = np.searchsorted(data.sessions, targets, side="right") - 1
        columns["position"] = targets - data.sessions[session] + 1
    if data.timestamps is not None:
        columns["time"] = data.timestamps[targets]
        columns["gap"] = columns["time"] - data.timestamps[ends - 1][of_row]
    return columns


def _binned(name: str, numbers: NDArray[Any], bins: Sequence[tuple[int, str]]) -> pl.Series:
    lows = np.array([low for low, _ in bins])
    codes = np.searchsorted(lows, numbers, side="right") - 1
    return _labelled(name, np.maximum(codes, 0), [label for _, label in bins])


def _labelled(name: str, codes: NDArray[np.int64], labels: Sequence[str]) -> pl.Series:
    return pl.Series(name, np.array(labels, dtype=object)[codes], dtype=pl.Enum(labels))


def _periods(period: str, times_G: NDArray[np.int64]) -> pl.Series:
    """The UTC period of each time, as chronologically ordered categories."""
    moments = pl.from_epoch(pl.Series(times_G), time_unit="s")
    texts = moments.dt.strftime(PERIODS[period])
    first = pl.DataFrame({"text": texts, "moment": moments}).group_by("text").min()
    labels = first.sort("moment")["text"].to_list()
    if len(labels) > LATEST_PERIODS:
        kept = labels[-LATEST_PERIODS:]
        before = f"before {kept[0]}"
        texts = texts.replace_strict(dict(zip(kept, kept, strict=True)), default=before)
        labels = [before, *kept]
    return texts.cast(pl.Enum(labels)).alias(f"target_{period}")


def _groups(data: PreparedDataset, name: str, users_G: NDArray[np.int64]) -> pl.Series:
    """The values of a user column; all but the most frequent ones become ``(other)``."""
    values = ["(missing)", "(unknown)", *map(str, data.features.values(name))]
    codes = np.asarray(data.features.column(name))[users_G]
    counts = np.bincount(codes, minlength=len(values))
    kept = np.argsort(-counts, kind="stable")[:LARGEST_GROUPS]
    kept = kept[counts[kept] > 0]
    labels = [values[code] for code in kept]
    rank = np.full(len(values), len(kept))
    rank[kept] = np.arange(len(kept))
    if len(kept) < int((counts > 0).sum()):
        labels.append("(other)")
    return _labelled(f"user_{name.partition('.')[2]}", rank[codes], labels)
