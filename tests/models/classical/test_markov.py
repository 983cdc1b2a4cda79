"""Markov: counts by hand and by a plain loop; probabilities."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys_lab.config import UserError
from recsys_lab.models.classical.base import from_rows
from tests.models.classical.logs import Log, make, random_log, scores_of

FIRST_ORDER = {"window": 1, "smoothing": 0.0, "max_length": 1}


def fitted(log, **changes):
    model = make("markov", log.num_items, **changes)
    model.fit(log)
    return model


def pairs(model, num_items):
    return from_rows(model.arrays(), "pairs", (num_items, num_items)).toarray()


def test_first_order_by_hand():
    log = Log([[0, 1, 0, 1, 2], [0, 2, 2]], 4)
    model = fitted(log, **FIRST_ORDER)
    assert pairs(model, 4).tolist() == [[0, 2, 1, 0], [1, 0, 1, 0], [0, 0, 1, 0], [0] * 4]
    scores = scores_of(model, [[0], [1], [2]], 4)
    np.testing.assert_allclose(scores[0, [1, 2]], [2 / 3, 1 / 3], rtol=1e-6)
    np.testing.assert_allclose(scores[1, [0, 2]], [1 / 2, 1 / 2], rtol=1e-6)
    # After 2 came only 2; then the others by popularity: 0 and 2 had 3 events, 1 two, 3 none.
    np.testing.assert_allclose(scores[2], [-0.25, -0.5, 1, -1], rtol=1e-6)


def test_distance_decays():
    got = pairs(fitted(Log([[0, 1, 2, 3]], 4), window=2, decay=0.5), 4)
    assert got.tolist() == [[0, 1, 0.5, 0], [0, 0, 1, 0.5], [0, 0, 0, 1], [0, 0, 0, 0]]


def test_pairs_do_not_cross_users():
    assert pairs(fitted(Log([[0], [1], [2, 3]], 4), window=3), 4).sum() == 1


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 15), st.floats(0.1, 1))
def test_counts_equal_a_plain_loop(seed, window, decay):
    log = random_log(seed, users=8, items=10, held_out=1, repeats=True)
    expected = np.zeros((10, 10))
    for _, start, end in log.segments("train"):
        for a in range(start, end):
            for b in range(a + 1, min(end, a + window + 1)):
                expected[log.items[a], log.items[b]] += decay ** (b - a - 1)
    if window == 1:
        decay = 1.0  # nothing to decay
    got = pairs(fitted(log, window=window, decay=decay), 10)
    np.testing.assert_allclose(got, expected, rtol=1e-5)


@pytest.mark.parametrize(("option", "span"), [("decay", "window"), ("history_decay", "max_length")])
def test_a_decay_over_one_event_is_refused(option, span):
    with pytest.raises(UserError, match=rf"{option}: got 0\.5 with model\.{span}=1"):
        make("markov", 4, **{option: 0.5, span: 1})
    make("markov", 4, **{option: 0.5, span: 2})


def test_smoothing_mixes_popularity_in():
    log = random_log(1, repeats=True)
    model = fitted(log, window=3, smoothing=7.0, history_decay=0.5, max_length=20)
    c = pairs(model, 30)
    p = log.training_item_counts() / log.training_item_counts().sum()
    after = {i: (c[i] + 7 * p) / (c[i].sum() + 7) for i in (4, 9)}
    assert after[4].sum() == pytest.approx(1)
    got = scores_of(model, [[4, 9, 4]], 30)[0]
    expected = after[4] + 0.5 * after[9] + 0.25 * after[4]
    seen = expected > 0
    np.testing.assert_allclose(got[seen], expected[seen], rtol=1e-5)


def test_an_item_that_nothing_followed_says_nothing():
    log = Log([[0, 1], [2, 1], [2, 0]], 4)
    scores = scores_of(fitted(log, **FIRST_ORDER), [[3], [1]], 4)
    np.testing.assert_allclose(scores, [[-1 / 3, -1 / 3, -1 / 3, -1]] * 2, rtol=1e-6)
