"""A finished run as a served model.

Shapes: n histories.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from recsys_lab.config import UserError
from recsys_lab.contracts import NO_ITEM, traits
from recsys_lab.deploy.serve.queries import (
    NO_KNOWN_ITEM,
    NOTHING_LEFT,
    UNKNOWN_USER,
    Answer,
    BadQuery,
    Query,
)
from recsys_lab.experiment.recommend.ranker import HistoryRanker

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from recsys_lab.data.given_histories import GivenHistories
    from recsys_lab.experiment.components import Components


class RunModel:
    """Answers queries with the lists of `recsys_lab.load(RUN).recommend`.

    Args:
        parts: components of a restored run.

    Raises:
        UserError: the model cannot rank outside of the lab's own evaluation.
    """

    def __init__(self, parts: Components) -> None:
        self._ranker = HistoryRanker(parts)
        self._name = type(parts.model).__name__
        self._ids: list[int | str] = parts.data.item_ids()
        self._titles = _titles(parts.data.item_titles(), self._ids)
        self._users = {str(raw): index for index, raw in enumerate(parts.data.user_ids())}
        stated = traits(parts.model)
        self._is_number = {
            name.partition(".")[2]: parts.data.features.entry(name)["type"] == "numeric"
            for name in stated.features
            if name.startswith("event.")
        }
        self._reads_times = stated.reads_times

    def check(self, query: Query) -> None:
        """See `ServedModel.check`."""
        try:
            self._ranker.list_length(query.k)
        except UserError as error:  # more ranks than beams
            raise BadQuery(f"k: {error}") from None
        needed = [*self._is_number, *(["timestamp"] if self._reads_times else [])]
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
        missing = [name for name in self._is_number if name not in event]
        if self._reads_times and event["timestamp"] is None:
            missing.append("timestamp")
        if missing:
            raise BadQuery(
                f"{where}: lacks {', '.join(missing)}, which {self._name} reads of every event"
            )
        for name, is_number in self._is_number.items():
            if is_number and isinstance(event[name], str | bool):
                raise BadQuery(f"{where}.{name}: expected a number or null")

    def answer(self, query: Query) -> list[Answer]:
        """See `ServedModel.answer`."""
        if query.kind == "users":
            return self._answer_users(query)
        sent = np.array([len(row) for row in query.rows], np.int64)
        is_list = query.kind == "histories"
        given = self._ranker.read(query.rows) if is_list else self._of_events(query.rows)
        return self._lists(given, query, sent, NO_KNOWN_ITEM)

    def warm_up(self, rows: int) -> None:
        """See `ServedModel.warm_up`; with histories of the dataset."""
        users = list(self._users)[:rows]
        self.answer(Query("users", users, k=1, exclude_seen=True))

    def _answer_users(self, query: Query) -> list[Answer]:
        """From their whole histories; an unknown user has an empty one."""
        users = [self._users.get(user) for user in query.rows]
        known = np.array([user for user in users if user is not None], np.int64)
        given = self._ranker.read.of_users(known)
        answers = iter(self._lists(given, query, given.lengths, NO_KNOWN_ITEM))
        stranger: list[Answer] = []
        if len(known) < len(users):
            nothing = self._ranker.read.nothing()
            stranger = self._lists(nothing, query, nothing.lengths, UNKNOWN_USER)
        return [stranger[0] if user is None else next(answers) for user in users]

    def _of_events(self, histories: Sequence[Sequence[dict[str, Any]]]) -> GivenHistories:
        events = [(row, event) for row, events in enumerate(histories) for event in events]
        columns = {
            "user_id": pl.Series([row for row, _ in events], dtype=pl.Int64),
            "item_id": pl.Series([event["item_id"] for _, event in events], dtype=pl.String),
            **{
                name: _column([event[name] for _, event in events], is_number)
                for name, is_number in self._is_number.items()
            },
        }
        if self._reads_times:
            times = [event["timestamp"] for _, event in events]
            columns["timestamp"] = pl.Series(times, dtype=pl.Int64)
        given = self._ranker.read(pl.DataFrame(columns))
        rows = np.zeros((len(histories), 4), np.int64)
        rows[[bool(history) for history in histories]] = given.rows
        rows[:, 0] = len(self._users)  # the numbers of rows are not ids of users
        return replace(given, keys=_keys(len(histories)), rows=rows)

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
        answers = [
            Answer([], [], [], unknown, no_history) for unknown in (sent - given.lengths).tolist()
        ]
        k = self._ranker.list_length(query.k)
        for part in self._ranker.ranked(given, k, exclude_seen=query.exclude_seen):
            lists = zip(
                part.rows_B.tolist(), part.items_BK.tolist(), part.scores_BK.tolist(), strict=True
            )
            for row, items, scores in lists:
                length = items.index(NO_ITEM) if NO_ITEM in items else len(items)
                answers[row] = Answer(
                    [self._ids[item] for item in items[:length]],
                    scores[:length],
                    [self._titles[item] if self._titles else None for item in items[:length]],
                    answers[row].num_unknown,
                    None if length else NOTHING_LEFT,
                )
        return answers


def _keys(rows: int) -> pl.DataFrame:
    return pl.DataFrame({"history": np.arange(rows)})


def _column(values: list[Any], is_number: bool) -> pl.Series:
    if is_number:
        numbers = [None if value is None else float(value) for value in values]
        return pl.Series(numbers, dtype=pl.Float64)
    return pl.Series([None if v is None else str(v) for v in values], dtype=pl.String)


def _titles(titles: list[str] | None, ids: list[int | str]) -> list[str | None]:
    """Titles without those that only repeat the id, as the dataset has where there is none."""
    if titles is None:
        return []
    return [None if title == str(raw) else title for title, raw in zip(titles, ids, strict=True)]
