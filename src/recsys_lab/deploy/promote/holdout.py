"""The holdout: the test part of the candidate's data, as raw histories and targets.

Shapes: B lists of a batch, n lists of the test part, V items of the candidate's catalogue.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from recsys_lab.config import UserError, build
from recsys_lab.contracts import FIRST_KNOWN, LIST
from recsys_lab.data.batches import EvaluationBatches
from recsys_lab.data.splits.ranges import flat_index
from recsys_lab.evaluation.metrics.names import ACCURACY
from recsys_lab.evaluation.metrics.registry import make_beyond, named
from recsys_lab.evaluation.results import Results

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from recsys_lab.contracts import EvaluationBatch, Exclude
    from recsys_lab.data.prepared import PreparedDataset
    from recsys_lab.experiment.components import Components

_KEY = ("user_id", "item_id", "timestamp")


class Holdout:
    """The test users of a candidate, for any model that reads raw ids.

    Args:
        parts: components of the candidate: its data and protocol.

    Attributes:
        data: the prepared dataset.
        protocol: candidates, excluded pairs and metrics, for both models.
        item_ids: raw id of every item as text, (V,).
    """

    def __init__(self, parts: Components) -> None:
        self.data, self.protocol = parts.data, parts.protocol
        self._catalogue = parts.catalogue
        self._rows_n4 = np.asarray(self.data.segments("test"))
        self._users = pl.Series("user_id", self.data.user_ids()).cast(pl.String)
        self.item_ids = pl.Series("item_id", self.data.item_ids()).cast(pl.String)

    def __len__(self) -> int:
        """Number of lists n."""
        return len(self._rows_n4)

    def batches(self, size: int) -> Iterator[tuple[slice, EvaluationBatch, Exclude | None]]:
        """Rows of the test part, their targets and seen items, and the pairs to exclude."""
        options, protocol = self.protocol.config, self.protocol
        batches = EvaluationBatches(
            self.data,
            "test",
            batch_size=size,
            window=1,  # models read `events` instead
            exclude_seen=options.exclude_seen or protocol.reads_history,
            target_times=protocol.reads_times,
            target_values=protocol.values,
        )
        for number, batch in enumerate(batches):
            yield slice(number * size, (number + 1) * size), batch, protocol.exclude(batch)

    def events(self, rows: slice, columns: Sequence[str]) -> pl.DataFrame:
        """The histories of some lists, with raw ids, for `HistoryReader`.

        Args:
            rows: of the test part.
            columns: event columns to add, each ``event.NAME``.

        Returns:
            A row for each event: ``user_id``, `LIST` (index of the list), ``item_id``,
            ``timestamp`` (if the log has times) and the columns; in order.

        Raises:
            UserError: the data have no such column.
        """
        rows_b4 = self._rows_n4[rows]
        starts, ends = rows_b4[:, 1], rows_b4[:, 2]
        places = flat_index(starts, ends)
        numbers = np.repeat(np.arange(rows.start, rows.start + len(rows_b4)), ends - starts)
        frame = self._raw(places, np.repeat(rows_b4[:, 0], ends - starts))
        features = [self._values(name, places) for name in columns]
        return frame.with_columns(pl.Series(LIST, numbers), *features)

    def results(self, metric_k: int) -> Results:
        """Empty results: the metrics of the first k ranks, and coverage.

        Metrics of whole lists are left out, because the models have different catalogues.

        Args:
            metric_k: the k of the coverage.
        """
        options = self.protocol.config
        metrics = [info.chosen for info in named(ACCURACY, options.metrics, [1]) if info.k]
        return Results(
            metrics,
            options.ks,
            self.protocol.max_k,
            make_beyond(["coverage"], [metric_k], self._catalogue),
            self.data.num_items,
            over_lists=self.protocol.over_lists,
        )

    def targets_in(self, other: PreparedDataset) -> pl.DataFrame:
        """Targets of the holdout that another dataset has for training or validation.

        Events are equal if user, item and time are; without times, if user and item are. An event
        that the holdout's histories have as often is not one of the targets.

        Returns:
            The equal events with raw ids, one row each.
        """
        mine, others = self.data, _events_of(other, ("train", "validation"))
        keys = [key for key in _KEY if key in others.columns]
        targets = mine.target_ranges("test")
        users_T = np.repeat(np.arange(mine.num_users), np.diff(mine.offsets))
        is_target_T = np.zeros(len(users_T), dtype=bool)
        is_target_T[targets] = True
        wanted = self._raw(targets, users_T[targets])
        keys = [key for key in keys if key in wanted.columns]
        pairs = others.join(wanted.select(keys).unique(), on=keys, how="semi")
        before = np.flatnonzero(~is_target_T & np.isin(users_T, np.unique(users_T[targets])))
        known = self._raw(before, users_T[before]).group_by(keys).len("known")
        counted = pairs.group_by(keys).len("found").join(known, on=keys, how="left")
        return counted.filter(pl.col("found") > pl.col("known").fill_null(0)).select(keys)

    def _raw(self, places: Any, users: Any) -> pl.DataFrame:
        columns = [
            self._users.gather(users),
            self.item_ids.gather(np.asarray(self.data.items[places])),
        ]
        if self.data.timestamps is not None:
            columns.append(pl.Series("timestamp", np.asarray(self.data.timestamps[places])))
        return pl.DataFrame(columns)

    def _values(self, name: str, places: Any) -> pl.Series:
        """An event column as in the log: numbers, or texts of the known values."""
        store, column = self.data.features, name.partition(".")[2]
        kind = store.entry(name)["type"]
        if kind not in ("categorical", "numeric"):
            raise UserError(f"{name}: got a column of type {kind}, expected categorical or numeric")
        codes = np.asarray(store.column(name)[places])
        if kind == "numeric":
            return pl.Series(column, codes)
        values = [None, "(unknown)", *map(str, store.values(name))]
        assert FIRST_KNOWN == 2, "the codes before the known values"
        return pl.Series(column, values, dtype=pl.String).gather(codes)


def _events_of(data: PreparedDataset, phases: Sequence[str]) -> pl.DataFrame:
    """The events of the training rows, and the targets of the others, with raw ids."""
    users_T = np.repeat(np.arange(data.num_users), np.diff(data.offsets))
    kept_T = np.zeros(len(users_T), dtype=bool)
    for phase in phases:
        rows = np.asarray(data.segments(phase))
        kept_T[flat_index(rows[:, -2], rows[:, -1])] = True
    places = np.flatnonzero(kept_T)
    frame = pl.DataFrame(
        [
            pl.Series("user_id", data.user_ids()).cast(pl.String).gather(users_T[places]),
            pl.Series("item_id", data.item_ids()).cast(pl.String).gather(data.items[places]),
        ]
    )
    if data.timestamps is None:
        return frame
    return frame.with_columns(timestamp=pl.Series(np.asarray(data.timestamps[places])))


def popularity_of(parts: Components) -> Any:
    """Popularity in the candidate's training events: what a first champion must reach."""
    target = "recsys_lab.models.classical.popularity.Popularity"
    config = {"_target_": target, "window_days": None, "category_feature": None}
    model = build(config, num_items=parts.data.num_items)
    model.fit(parts.data)
    return model
