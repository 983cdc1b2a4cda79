"""An export as a served model."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from recsys_lab.data.given_histories import HistoryReader
from recsys_lab.deploy.export.exported import IndexLists, _Ids
from recsys_lab.deploy.serve.export_model import ExportModel
from recsys_lab.deploy.serve.queries import BadQuery, Query


class Exported:
    """Ranks the catalogue in its order."""

    def __init__(self, *, reads_times=False):
        self.manifest = {"model": "Fake", "reads_times": reads_times, "num_users": 0}
        self.items = pl.DataFrame({"item_id": [3, 1, 2, 0], "title": ["three", None, "two", "0"]})
        self.k = 3
        self.given = None
        self._reader = HistoryReader(
            _Ids(self.items["item_id"], None), "Fake", (), reads_times=reads_times
        )

    def read(self, histories):
        self.given = histories
        return self._reader(histories)

    def list_length(self, k):
        return min(k, len(self.items))

    def index_lists(self, given, k, *, exclude_seen=True):
        for row in np.flatnonzero(given.lengths > 0):
            seen = given.items[given.rows[row, 1] : given.rows[row, 2]] if exclude_seen else []
            kept = [item for item in range(len(self.items)) if item not in seen][:k]
            items = np.array([kept + [-1] * (k - len(kept))])
            yield IndexLists(np.array([row]), items, 1 / np.arange(1.0, k + 1)[None])


class TestExport:
    def test_lists_are_those_of_the_export(self):
        model = ExportModel(Exported())
        model.warm_up(2)
        first, unknown, everything = model.answer(
            Query("histories", [["3", "x"], ["x"], ["0", "1", "2", "3"]], 2, exclude_seen=True)
        )
        assert (first.items, first.titles, first.num_unknown) == ([1, 2], [None, "two"], 1)
        assert (unknown.items, unknown.num_unknown) == ([], 1)
        assert unknown.reason == "the history has no item that the model knows"
        assert everything.reason == "no item is left to recommend"

    def test_events_with_times_have_names_that_are_no_users(self):
        exported = Exported(reads_times=True)
        model = ExportModel(exported)
        model.warm_up(1)
        event = {"item_id": "1", "timestamp": 5}
        lists = model.answer(Query("events", [[], [event]], 1, exclude_seen=True))
        assert [one.items for one in lists] == [[], [3]]
        assert exported.given["user_id"].to_list() == [1]  # a row's number, not a user
        assert model._of_events([[], [event]]).rows[:, 0].tolist() == [0, 0]  # unknown: num_users

    @pytest.mark.parametrize(
        ("times", "query", "words"),
        [
            (False, Query("users", ["u"], 1, True), "an export has no histories of users"),
            (False, Query("histories", [["1"]], 4, True), None),
            (True, Query("histories", [["1"]], 1, True), "Fake reads timestamp of every event"),
            (
                True,
                Query("events", [[{"item_id": "1", "timestamp": None}]], 1, True),
                "events[0][0]: lacks timestamp",
            ),
        ],
    )
    def test_what_it_cannot_answer_is_told(self, times, query, words):
        model = ExportModel(Exported(reads_times=times))
        with pytest.raises(BadQuery) as told:
            model.check(query)
        assert (words or "k: got 4, but the export has lists of 3") in str(told.value)
