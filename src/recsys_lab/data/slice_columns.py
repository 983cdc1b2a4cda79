"""What kind of user and target each row of a result is: the keys that results are cut by.

Shapes: V items, n users of a phase, G targets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from recsys_lab.data.splits.cold_start import target_ranges
from recsys_lab.data.splits.ranges import repeated, row_chunks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from recsys_lab.data.prepared import PreparedDataset

LENGTHS = ((1, "1-4"), (5, "5-9"), (10, "10-19"), (20, "20-49"), (50, "50-99"), (100, "100+"))
_HOUR, _DAY = 3600, 86400
POSITIONS = ((1, "first"), (2, "second"), (3, "third to fifth"), (6, "later"))
GAPS = (
    (0, "under an hour"), (_HOUR, "under a day"), (_DAY, "under a week"),
    (7 * _DAY, "under 30 days"), (30 * _DAY, "30 days or more"),
)  # fmt: skip
LATER = (np.iinfo(np.int64).min, "last is later")
BANDS = ("head", "middle", "tail", "cold")
LARGEST_GROUPS = 10
PERIODS = {"day": "%Y-%m-%d", "week": "%G-W%V", "month": "%Y-%m"}
"""How days, weeks (ISO 8601: from Monday, of the year that has their Thursday) and months read."""
LATEST_PERIODS = 60


def slice_keys(data: PreparedDataset, phase: str, period: str | None = None) -> pl.DataFrame:
    """One row for each user and target of a phase, in order of the users.

    Args:
        data: the prepared dataset.
        phase: ``validation`` or ``test``.
        period: of `PERIODS`, to cut by the targets' times; None: not.

    Returns:
        Columns ``user``, ``target`` (indices) and, as ordered categories, ``history_length``
        (events), ``target_popularity`` (`popularity_bands`), ``target_repeated`` (whether it
        stands in the history), ``since_last`` (time between the last event of the history and
        the target; only with timestamps), ``target_week`` or another period (in UTC, the
        `LATEST_PERIODS` latest ones, all before as one; only with timestamps),
        ``session_position`` (of the target in its session; only where sessions are known), and
        ``user_NAME`` for each categorical user column (its `LARGEST_GROUPS` most frequent values
        among these users).
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
    """Place in `BANDS` of every item, (V,).

    Items in order of their training events: the first that make up a third of these are the
    head, those of the next third the middle, the rest the tail; cold ones have no event.
    """
    order = np.argsort(-counts_V, kind="stable")
    before = np.cumsum(counts_V[order]) - counts_V[order]
    bands = np.empty(len(counts_V), dtype=np.int64)
    bands[order] = np.minimum(3 * before // max(1, int(counts_V.sum())), 2)
    bands[counts_V == 0] = BANDS.index("cold")
    return bands


def _events(data: PreparedDataset, rows_n4: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
    """What the log itself says of the targets of some users."""
    places, of_row = target_ranges(rows_n4, data.dropped_targets)
    starts, ends = rows_n4[:, 1], rows_n4[:, 2]
    found: dict[str, NDArray[Any]] = {
        "user": rows_n4[of_row, 0],
        "target": data.items[places],
        "length": (ends - starts)[of_row],
        "repeated": repeated(data.items, rows_n4, places, of_row),
    }
    if data.sessions is not None:
        run = np.searchsorted(data.sessions, places, side="right") - 1
        found["position"] = places - data.sessions[run] + 1
    if data.timestamps is not None:
        found["time"] = data.timestamps[places]
        found["gap"] = found["time"] - data.timestamps[ends - 1][of_row]
    return found


def _binned(name: str, numbers: NDArray[Any], bins: Sequence[tuple[int, str]]) -> pl.Series:
    lows = np.array([low for low, _ in bins])
    codes = np.searchsorted(lows, numbers, side="right") - 1
    return _labelled(name, np.maximum(codes, 0), [label for _, label in bins])


def _labelled(name: str, codes: NDArray[np.int64], labels: Sequence[str]) -> pl.Series:
    return pl.Series(name, np.array(labels, dtype=object)[codes], dtype=pl.Enum(labels))


def _periods(period: str, times_G: NDArray[np.int64]) -> pl.Series:
    """The period of each time, in UTC, in their order."""
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
    """The values of a user column; all but the most frequent ones are one."""
    values = ["(missing)", "(unknown)", *map(str, data.features.values(name))]
    codes = np.asarray(data.features.column(name))[users_G]
    counts = np.bincount(codes, minlength=len(values))
    kept = np.argsort(-counts, kind="stable")[:LARGEST_GROUPS]
    kept = kept[counts[kept] > 0]
    labels = [values[code] for code in kept]
    place = np.full(len(values), len(kept))
    place[kept] = np.arange(len(kept))
    if len(kept) < int((counts > 0).sum()):
        labels.append("(other)")
    return _labelled(f"user_{name.partition('.')[2]}", place[codes], labels)
