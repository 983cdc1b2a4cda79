"""A finished run as a served model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from recsys_lab.config import UserError
from recsys_lab.contracts import traits
from recsys_lab.deploy.serve.queries import NO_KNOWN_ITEM, UNKNOWN_USER, Answer, BadQuery, Query
from recsys_lab.deploy.serve.ranked_model import Needs, RankedModel
from recsys_lab.experiment.recommend.ranker import HistoryRanker

if TYPE_CHECKING:
    from recsys_lab.experiment.components import Components


class RunModel(RankedModel):
    """Answers queries with the lists of `recsys_lab.load(RUN).recommend`.

    Args:
        parts: components of a restored run.

    Raises:
        UserError: the model cannot rank outside of the lab's own evaluation.
    """

    def __init__(self, parts: Components) -> None:
        ranker, data = HistoryRanker(parts), parts.data
        stated = traits(parts.model)
        is_number = {
            name.partition(".")[2]: data.features.entry(name)["type"] == "numeric"
            for name in stated.features
            if name.startswith("event.")
        }
        self._reader = ranker.read
        self._users = {str(raw): index for index, raw in enumerate(data.user_ids())}
        items = pl.DataFrame({"item_id": data.raw_ids("item")})
        if (titles := data.item_titles()) is not None:
            items = items.with_columns(title=pl.Series(titles, dtype=pl.String))
        super().__init__(
            ranker.read,
            ranker.ranked,
            ranker.list_length,
            name=type(parts.model).__name__,
            needs=Needs(is_number, stated.reads_times),
            items=items,
            num_users=len(self._users),
        )

    def check(self, query: Query) -> None:
        """See `ServedModel.check`."""
        try:
            self._list_length(query.k)
        except UserError as error:  # more ranks than beams
            raise BadQuery(f"k: {error}") from None
        super().check(query)

    def answer(self, query: Query) -> list[Answer]:
        """See `ServedModel.answer`."""
        return self._answer_users(query) if query.kind == "users" else super().answer(query)

    def warm_up(self, rows: int) -> None:
        """See `ServedModel.warm_up`; with histories of the dataset."""
        users = list(self._users)[:rows]
        self.answer(Query("users", users, k=1, exclude_seen=True))

    def _answer_users(self, query: Query) -> list[Answer]:
        """From their whole histories; an unknown user has an empty one."""
        users = [self._users.get(user) for user in query.rows]
        known = np.array([user for user in users if user is not None], np.int64)
        given = self._reader.of_users(known)
        answers = iter(self._lists(given, query, given.lengths, NO_KNOWN_ITEM))
        stranger: list[Answer] = []
        if len(known) < len(users):
            nothing = self._reader.nothing()
            stranger = self._lists(nothing, query, nothing.lengths, UNKNOWN_USER)
        return [stranger[0] if user is None else next(answers) for user in users]
