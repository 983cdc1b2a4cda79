"""Popularity of all time, of the last days, and by the category of the last item."""

import numpy as np
import pytest

from recsys_lab.config import UserError
from tests.models.classical.logs import Log, batch_of, make

DAY = 86_400


class Columns:
    """Item features as codes."""

    def __init__(self, kind, **columns):
        self.kind = kind
        self.columns = {f"item.{name}": np.asarray(values) for name, values in columns.items()}

    def entry(self, name):
        if name not in self.columns:
            raise UserError(f"this dataset has no feature '{name}'")
        return {"type": self.kind}

    def column(self, name):
        return self.columns[name]


def lists(model, histories, k):
    return model.recommend(batch_of(histories), k, None).items_BK.tolist()


def test_all_time_counts_events():
    model = make("popularity", 4)
    model.fit(Log([[0, 2, 2, 1], [2, 1, 1, 1], [1, 3]], 4))
    ranked = model.recommend(batch_of([[0], [3]]), 3, None)
    assert ranked.items_BK[:, :2].tolist() == [[1, 2], [1, 2]]
    assert ranked.scores_BK[0].tolist() == [5, 3, 1]


def test_the_last_days_of_training_count():
    # Training ends at 10.0 days; with 2 days the event at exactly 8.0 days is out.
    times = [0, 1, 2, 8, 9, 8 * DAY, 8 * DAY + 1, 10 * DAY, 30 * DAY]
    log = Log([[0, 0, 0, 0, 0, 2, 1, 1, 3]], 4, held_out=1, times=times)
    log.timestamps[:5] = 0
    model = make("popularity", 4, window_days=2.0)
    model.fit(log)
    assert model.arrays()["counts"].tolist() == [0, 2, 0, 0]
    model = make("popularity", 4, window_days=2.5)
    model.fit(log)
    assert model.arrays()["counts"].tolist() == [0, 2, 1, 0]
    model = make("popularity", 4, window_days=None)
    model.fit(log)
    assert model.arrays()["counts"].tolist() == [5, 2, 1, 0]


def test_items_of_the_last_category_come_first():
    counts = [[0] * 6 + [1] * 5 + [2] * 4 + [3] * 3 + [4] * 2 + [5]]
    log = Log(counts, 6, features=Columns("categorical", category=[7, 3, 7, 3, 0, 1]))
    model = make("popularity", 6, category_feature="category")
    model.fit(log)
    assert lists(model, [[5, 0]], 6) == [[0, 2, 1, 3, 4, 5]]
    assert lists(model, [[0, 3]], 6) == [[1, 3, 0, 2, 4, 5]]
    # An item of unknown category, or no last item at all: one list for everybody.
    assert lists(model, [[0, 4], []], 6) == [[0, 1, 2, 3, 4, 5]] * 2
    again = make("popularity", 6, category_feature="category")
    again.load_arrays(model.arrays(), log)
    assert lists(again, [[5, 0]], 6) == [[0, 2, 1, 3, 4, 5]]


def test_recent_popularity_needs_timestamps():
    with pytest.raises(UserError) as error:
        make("popularity", 2, window_days=7.0).fit(Log([[0, 1]], 2))
    assert str(error.value) == (
        "model.window_days: got 7, but the data have no timestamps to count recent events by; set "
        "model.window_days=null"
    )


def test_a_category_that_cannot_be_read_is_refused():
    model = make("popularity", 2, category_feature="category")
    with pytest.raises(UserError, match=r"this dataset has no feature 'item.category'"):
        model.fit(Log([[0, 1]], 2, features=Columns("categorical", brand=[0, 1])))
    with pytest.raises(UserError) as error:
        model.fit(Log([[0, 1]], 2, features=Columns("numeric", category=[0.5, 1.5])))
    assert str(error.value) == (
        "model.category_feature: got 'category', a numeric feature, expected a categorical item "
        "feature; name one, or set model.category_feature=null"
    )
