"""What a served run and a served export have in common: histories in, answers out.

Shapes: n histories, B histories of a part, K list length.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import polars as pl

from recsys_lab.deploy.serve.queries import (
    NO_KNOWN_ITEM,
    NOTHING_LEFT,
    Answer,
    BadQuery,
    Query,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from recsys_lab.data.given_histories import GivenHistories
    from recsys_lab.data.history_lists import Histories

_NO_ITEM = -1


class IndexLists(Protocol):
    """Lists of some histories, as indices: of a run or of an export."""

    @property
    def rows_B(self) -> NDArray[np.int64]:
        """Index of each history among those given."""
        ...

    @property
    def items_BK(self) -> NDArray[np.int64]:
        """Best first, padded with -1."""
        ...

    @property
    def scores_BK(self) -> NDArray[np.float32]:
        """Of the items."""
        ...


@dataclass(frozen=True)
class Needs:
    """What a model reads of every event besides the item.

    Attributes:
        is_number: the columns, and whether each has numbers.
        times: whether it reads timestamps.
    """

    is_number: Mapping[str, bool]
    times: bool

    @property
    def names(self) -> list[str]:
        """Of all that it reads."""
        return [*self.is_number, *(["timestamp"] if self.times else [])]


class RankedModel:
    """Answers queries for histories and events.

    Args:
        read: encodes histories.
        rank: lists for encoded histories, given their length and ``exclude_seen``; without those
            that the model cannot rank for.
        list_length: the number of ranks for a ``k``; a `UserError` if it is too large.
        name: of the model, for errors.
        needs: what it reads of events.
        items: the catalogue: ``item_id`` and, where known, ``title``.
        num_users: index that stands for users whom the model does not know.
    """

    def __init__(
        self,
        read: Callable[[Histories], GivenHistories],
        rank: Callable[..., Iterable[IndexLists]],
        list_length: Callable[[int], int],
        *,
        name: str,
        needs: Needs,
        items: pl.DataFrame,
        num_users: int,
    ) -> None:
        self._read, self._rank, self._list_length = read, rank, list_length
        self._name, self._needs, self._num_users = name, needs, num_users
        self._ids: list[int | str] = items["item_id"].to_list()
        # Without those that only repeat the id, as a dataset has where there is none.
        self._titles = [None] * len(items)
        if "title" in items.columns:
            title, raw = items["title"].cast(pl.String), items["item_id"].cast(pl.String)
            self._titles = pl.select(pl.when(title != raw).then(title)).to_series().to_list()

    def check(self, query: Query) -> None:
        """See `ServedModel.check`."""
        needed = self._needs.names
        if query.kind == "histories" and needed:
            raise BadQuery(
                f"histories: {self._name} reads {', '.join(needed)} of every event; send events "
                f"with item_id, {', '.join(needed)} instead"
            )
        if query.kind == "events" and needed:
            for row, events in enumerate(query.rows):
                for number, event in enumerate(events):
                    self._check_event(event, f"events[{row}][{number}]")

    def _check_event(self, event: dict[str, Any], where: str) -> None:
        missing = [name for name in self._needs.is_number if name not in event]
        if self._needs.times and event["timestamp"] is None:
            missing.append("timestamp")
        if missing:
            raise BadQuery(
                f"{where}: lacks {', '.join(missing)}, which {self._name} reads of every event"
            )
        for name, is_number in self._needs.is_number.items():
            if is_number and isinstance(event[name], str | bool):
                raise BadQuery(f"{where}.{name}: expected a number or null")

    def answer(self, query: Query) -> list[Answer]:
        """See `ServedModel.answer`."""
        sent = np.array([len(row) for row in query.rows], np.int64)
        is_list = query.kind == "histories"
        given = self._read(query.rows) if is_list else self._of_events(query.rows)
        return self._lists(given, query, sent, NO_KNOWN_ITEM)

    def _of_events(self, histories: Sequence[Sequence[dict[str, Any]]]) -> GivenHistories:
        events = [(row, event) for row, events in enumerate(histories) for event in events]
        columns = {
            "user_id": pl.Series([row for row, _ in events], dtype=pl.Int64),
            "item_id": pl.Series([event["item_id"] for _, event in events], dtype=pl.String),
            **{
                name: _column([event[name] for _, event in events], is_number)
                for name, is_number in self._needs.is_number.items()
            },
        }
        if self._needs.times:
            times = [event["timestamp"] for _, event in events]
            columns["timestamp"] = pl.Series(times, dtype=pl.Int64)
        given = self._read(pl.DataFrame(columns))
        rows = np.zeros((len(histories), 4), np.int64)
        rows[[bool(history) for history in histories]] = given.rows
        rows[:, 0] = self._num_users  # the numbers of rows are not ids of users
        return replace(given, keys=pl.DataFrame({"history": np.arange(len(rows))}), rows=rows)

    def _lists(
        self, given: GivenHistories, query: Query, sent: NDArray[np.int64], no_history: str
    ) -> list[Answer]:
        """One answer for each history.

        Args:
            given: n histories.
            query: list length and whether seen items are left out.
            sent: events of each history, also of unknown items, (n,).
            no_history: the reason where the model cannot rank.
        """
        unknown = (sent - given.lengths).tolist()
        answers: list[Answer | None] = [None] * len(unknown)
        k, ids, titles = self._list_length(query.k), self._ids, self._titles
        for part in self._rank(given, k, exclude_seen=query.exclude_seen):
            lists = zip(
                part.rows_B.tolist(), part.items_BK.tolist(), part.scores_BK.tolist(), strict=True
            )
            for row, items, scores in lists:
                if items and items[-1] == _NO_ITEM:
                    items = items[: items.index(_NO_ITEM)]
                answers[row] = Answer(
                    [ids[item] for item in items],
                    scores[: len(items)],
                    [titles[item] for item in items],
                    unknown[row],
                    None if items else NOTHING_LEFT,
                )
        return [
            answer or Answer([], [], [], unknown[row], no_history)
            for row, answer in enumerate(answers)
        ]


def _column(values: list[Any], is_number: bool) -> pl.Series:
    if is_number:
        numbers = [None if value is None else float(value) for value in values]
        return pl.Series(numbers, dtype=pl.Float64)
    return pl.Series([None if v is None else str(v) for v in values], dtype=pl.String)
