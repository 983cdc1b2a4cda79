"""The hit rate of a run, by week, on events after its data ended.

Each later event of a sampled user is predicted from everything the user did before it: the events
of the run's dataset, then the later ones of NEW (successive prediction). The model is not trained
again. A target that the run's catalogue lacks is a miss. Events whose user has no known item before
them cannot be predicted, and are counted apart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from recsys_lab.config import UserError
from recsys_lab.contracts import LIST, traits
from recsys_lab.data.splits.ranges import flat_index
from recsys_lab.deploy.drift.logs import DAY
from recsys_lab.evaluation.intervals import mean_interval
from recsys_lab.experiment.recommend.ranker import HistoryRanker
from recsys_lab.experiment.restore import restore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from recsys_lab.config.commands import Verify
    from recsys_lab.data.prepared import PreparedDataset
    from recsys_lab.deploy.drift.logs import EventLog
    from recsys_lab.runs.record import RunRecord

_EVENTS_AT_ONCE = 200_000
"""Events of the histories of one call of the ranker."""

_MONDAY = 3 * DAY
"""The epoch began on a Thursday."""


class NotMeasured(Exception):
    """The hit rate cannot be computed; the message is the reason."""


def weekly_hit_rate(
    record: RunRecord, new: EventLog, *, k: int, users: int, seed: int, verify: Verify
) -> dict[str, Any]:
    """Measure it.

    Args:
        record: of a finished run with a model.
        new: the log with later events.
        k: list length.
        users: number of users with later events that are drawn.
        seed: of the draw.
        verify: how the run's dataset is checked.

    Returns:
        ``weeks`` (start, events, users, hit_rate: mean over users, low and high of its 95%
        interval), the same of all weeks together as ``all``, ``reference`` (the run's test hit
        rate at k, if recorded), and counts.

    Raises:
        NotMeasured: there are no times, no later events, or the model needs more than histories.
        UserError: the run cannot be restored.
    """
    if new.times_T is None:
        raise NotMeasured("NEW has no timestamps, so its later events are unknown")
    parts = restore(record, verify)
    data = parts.data
    if data.timestamps is None:
        raise NotMeasured(f"the dataset of {record.folder} has no timestamps")
    columns = [name for name in traits(parts.model).features if name.startswith("event.")]
    if columns:
        raise NotMeasured(f"the model reads columns of events ({', '.join(columns)})")
    try:
        ranker = HistoryRanker(parts)
    except UserError as error:
        raise NotMeasured(str(error)) from error
    end = int(data.timestamps.max())
    events, sampled, eligible = _timelines(data, new, end, users, seed)
    exclude_seen = bool(parts.protocol.config.exclude_seen)
    targets = _predicted(ranker, events, k, exclude_seen=exclude_seen)
    known = pl.Series(map(str, data.item_ids()))
    weekly = targets.with_columns(
        week=(pl.col("timestamp") + _MONDAY) // (7 * DAY),
        unknown=~pl.col("item_id").is_in(known.implode()),
    )
    ranked = weekly.filter(pl.col("ranked"))
    if not len(ranked):
        raise NotMeasured("no later event has a known item of its user before it")
    reference = (record.values.get("test") or {}).get(f"hr@{k}")
    return {
        "run": str(record.folder),
        "model": record.values["name"],
        "k": k,
        "data_end": _moment(end),
        "seed": seed,
        "users": sampled,
        "users_with_later_events": eligible,
        "events": len(targets),
        "without_history": len(targets) - len(ranked),
        "on_unknown_items": int(ranked["unknown"].sum()),
        "repeats_left_out": int(ranked["repeat"].sum()) if exclude_seen else 0,
        "reference": None if reference is None else float(reference),
        "all": _rate(ranked),
        "weeks": [
            {"start": _moment(int(week) * 7 * DAY - _MONDAY)[:10], **_rate(rows)}
            for (week,), rows in sorted(ranked.group_by("week"), key=lambda pair: pair[0])
        ],
    }


def fall(measured: dict[str, Any]) -> tuple[float, float] | None:
    """How far the hit rate fell below the run's test, as a share of it: measured, and at least.

    The second is that of the upper end of the 95% interval. None without a reference or interval.
    """
    reference, every = measured["reference"], measured["all"]
    if not reference or every["high"] is None:
        return None
    return 1 - every["hit_rate"] / reference, 1 - every["high"] / reference


def _moment(seconds: int) -> str:
    return f"{np.datetime64(seconds, 's')}Z"


def _rate(rows: pl.DataFrame) -> dict[str, Any]:
    users = rows.group_by("user_id").agg(pl.col("hit").mean()).sort("user_id")
    values = users["hit"].to_numpy()
    interval = mean_interval(values, 1.0)
    low, high = interval or (None, None)
    return {
        "events": len(rows),
        "users": len(values),
        "hit_rate": float(values.mean()),
        "low": None if low is None else max(0.0, low),
        "high": None if high is None else min(1.0, high),
    }


def _timelines(
    data: PreparedDataset, new: EventLog, end: int, users: int, seed: int
) -> tuple[pl.DataFrame, int, int]:
    """The events of sampled users, oldest first: those of the dataset, then the later ones."""
    assert new.times_T is not None
    assert data.timestamps is not None
    rows = np.flatnonzero(new.times_T > end)
    if not len(rows):
        raise NotMeasured(f"NEW has no events after {_moment(end)}, when the data of the run ended")
    ids = new.user_ids.cast(pl.String)
    eligible = np.unique(new.users_T[rows])
    names = ids.gather(eligible).sort()  # a sample that does not depend on the order of the file
    if len(names) > users:
        names = names.gather(np.sort(np.random.default_rng(seed).choice(len(names), users, False)))
    later = pl.DataFrame(
        {
            "user_id": ids.gather(new.users_T[rows]),
            "item_id": new.item_ids.cast(pl.String).gather(new.items_T[rows]),
            "timestamp": new.times_T[rows],
        }
    ).filter(pl.col("user_id").is_in(names.implode()))
    of_run = pl.Series(map(str, data.user_ids()))
    index = pl.DataFrame({"user_id": of_run}).with_row_index("user")
    index = index.filter(pl.col("user_id").is_in(names.implode()))
    chosen = index["user"].cast(pl.Int64).to_numpy()
    starts, ends = data.offsets[chosen], data.offsets[chosen + 1]
    flat = flat_index(starts, ends)
    before = pl.DataFrame(
        {
            "user_id": of_run.gather(np.repeat(chosen, ends - starts)),
            "item_id": pl.Series(map(str, data.item_ids())).gather(data.items[flat]),
            "timestamp": data.timestamps[flat],
        }
    )
    events = pl.concat([before.with_columns(later=False), later.with_columns(later=True)])
    events = events.sort("user_id", maintain_order=True)
    repeat = ~pl.struct("user_id", "item_id").is_first_distinct()
    return events.with_columns(repeat=repeat), len(names), len(eligible)


def _predicted(
    ranker: HistoryRanker, events: pl.DataFrame, k: int, *, exclude_seen: bool
) -> pl.DataFrame:
    """The later events with ``hit`` and ``ranked``: whether the model made a list."""
    first = events.with_row_index("at").select(pl.col("at").min().over("user_id"))["at"]
    starts = first.cast(pl.Int64).to_numpy()
    at = np.flatnonzero(events["later"].to_numpy())
    found = []
    for low, high in _chunks(at - starts[at]):
        ends = at[low:high]
        lengths = ends - starts[ends]
        rows = flat_index(starts[ends], ends)
        histories = events[rows].select("user_id", "item_id", "timestamp")
        histories = histories.with_columns(pl.Series(LIST, np.repeat(ends, lengths)))
        lists = ranker.recommend(histories, k, exclude_seen=exclude_seen).lists
        found.append(lists.select(LIST, pl.col("item_id").cast(pl.String)))
    lists = pl.concat(found)
    targets = events[at].with_columns(pl.Series(LIST, at))
    hits = targets.join(lists, on=[LIST, "item_id"], how="semi")[LIST]
    return targets.with_columns(
        hit=pl.col(LIST).is_in(hits.implode()).cast(pl.Float64),
        ranked=pl.col(LIST).is_in(lists[LIST].unique().implode()),
    )


def _chunks(lengths_n: np.ndarray) -> Iterator[tuple[int, int]]:
    """Ranges of lists whose histories have at most `_EVENTS_AT_ONCE` events together, or one."""
    up_to, low = np.cumsum(lengths_n), 0
    while low < len(lengths_n):
        before = int(up_to[low - 1]) if low else 0
        high = int(np.searchsorted(up_to, before + _EVENTS_AT_ONCE, side="right"))
        yield low, max(low + 1, high)
        low = max(low + 1, high)
