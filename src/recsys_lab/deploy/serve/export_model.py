"""An exported folder as a served model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import polars as pl

from recsys_lab.deploy.serve.queries import NO_KNOWN_ITEM, NOTHING_LEFT, Answer, BadQuery, Query

if TYPE_CHECKING:
    from recsys_lab.data.history_lists import Histories


class Exported(Protocol):
    """The part of `recsys_lab.deploy.export.exported.ExportedModel` that is used here."""

    manifest: dict[str, Any]
    """Has ``model``, its name, and ``reads_times``."""
    items: pl.DataFrame
    """The catalogue: ``item_id``, and ``title`` where known."""
    k: int
    """The longest list."""

    def recommend(
        self, histories: Histories, k: int = 10, *, exclude_seen: bool = True
    ) -> pl.DataFrame:
        """Best first: ``history`` or ``user_id``, ``rank``, ``item_id``, ``score``."""
        ...


class ExportModel:
    """Answers queries with the lists of an export.

    Args:
        exported: the export.
    """

    def __init__(self, exported: Exported) -> None:
        self._exported, self._name = exported, exported.manifest["model"]
        self._reads_times = bool(exported.manifest["reads_times"])
        items = exported.items
        self._known = frozenset(items["item_id"].cast(pl.String))
        self._titles: dict[Any, str] = {}
        if "title" in items.columns:
            titles = items.drop_nulls("title").select("item_id", pl.col("title").cast(pl.String))
            self._titles = dict(titles.iter_rows())

    def check(self, query: Query) -> None:
        """See `ServedModel.check`."""
        if query.kind == "users":
            raise BadQuery(
                "users: an export has no histories of users; send histories, or serve the run"
            )
        if query.k > self._exported.k < len(self._known):
            raise BadQuery(f"k: got {query.k}, but the export has lists of {self._exported.k}")
        if not self._reads_times:
            return
        if query.kind == "histories":
            raise BadQuery(
                f"histories: {self._name} reads timestamp of every event; send events with "
                "item_id, timestamp instead"
            )
        for row, events in enumerate(query.rows):
            for number, event in enumerate(events):
                if event["timestamp"] is None:
                    raise BadQuery(
                        f"events[{row}][{number}]: lacks timestamp, which {self._name} reads of "
                        "every event"
                    )

    def answer(self, query: Query) -> list[Answer]:
        """See `ServedModel.answer`."""
        ids: list[list[str]] = query.rows  # type: ignore[assignment]  # of this kind
        if query.kind == "events":
            ids = [[event["item_id"] for event in events] for events in query.rows]
        given = _frame(query.rows) if self._reads_times else ids
        lists = self._exported.recommend(given, query.k, exclude_seen=query.exclude_seen)
        if self._reads_times:
            names = pl.col("user_id").str.strip_prefix("\0").cast(pl.Int64)
            lists = lists.with_columns(history=names)
        items: list[list[Any]] = [[] for _ in ids]
        scores: list[list[float]] = [[] for _ in ids]
        for row, item, score in lists.select("history", "item_id", "score").iter_rows():
            items[row].append(item)
            scores[row].append(score)
        return [
            self._answer(history, *ranked)
            for history, *ranked in zip(ids, items, scores, strict=True)
        ]

    def warm_up(self, rows: int) -> None:
        """See `ServedModel.warm_up`; with histories of one item."""
        event = {"item_id": str(self._exported.items["item_id"][0]), "timestamp": 0}
        self.answer(Query("events", [[event]] * rows, k=1, exclude_seen=True))

    def _answer(self, history: Sequence[str], items: list[Any], scores: list[float]) -> Answer:
        num_unknown = sum(item not in self._known for item in history)
        reason = None
        if not items:
            reason = NO_KNOWN_ITEM if num_unknown == len(history) else NOTHING_LEFT
        titles = [self._titles.get(item) for item in items]
        return Answer(items, scores, titles, num_unknown, reason)


def _frame(histories: Sequence[Sequence[dict[str, Any]]]) -> pl.DataFrame:
    """Events with times; the names of the histories are not ids of users, which may be numbers."""
    rows = [
        (f"\0{row}", event["item_id"], event["timestamp"])
        for row, events in enumerate(histories)
        for event in events
    ]
    schema = {"user_id": pl.String, "item_id": pl.String, "timestamp": pl.Int64}
    return pl.DataFrame(rows, schema, orient="row")
