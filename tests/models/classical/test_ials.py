"""iALS: the library's training, and the fold-in against the library and dense numpy."""

import dataclasses

import numpy as np
import pytest
from implicit.cpu.als import AlternatingLeastSquares
from threadpoolctl import threadpool_limits

from recsys_lab.models.classical.base import history_matrix, training_matrix
from tests.models.classical.logs import batch_of, make, random_log

PLAIN = {"num_factors": 6, "regularization": 0.5, "alpha": 4.0, "history_decay": 1.0}
HISTORIES = [[3, 1, 4, 1, 5], [29], [0, 2, 7, 8, 11, 19, 20, 21, 22], []]


def fitted(log, **changes):
    model = make("ials", log.num_items, **{**PLAIN, **changes})
    model.fit(log)
    return model


@pytest.fixture(scope="module")
def reference():
    """The library with the settings and the seed of `fitted`."""
    seed = make("ials", 30, **PLAIN)._seed
    with threadpool_limits(1, "blas"):
        model = AlternatingLeastSquares(
            factors=6, regularization=0.5, alpha=4.0, iterations=15, random_state=seed
        )
        log = random_log(0, repeats=True)
        model.fit(training_matrix(log, counts=True), show_progress=False)
    return model


def test_item_factors_are_those_of_the_library(reference):
    model = fitted(random_log(0, repeats=True))
    np.testing.assert_array_equal(model.arrays()["items"], reference.item_factors)


def test_fold_in_equals_recalculate_user(reference):
    model = fitted(random_log(0, repeats=True))
    batch = batch_of(HISTORIES, [0, 900, 901, 902])
    history = history_matrix(batch, 30, counts=True)
    expected = reference.recalculate_user(np.arange(4), history)
    got = model.user_factors(batch)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)
    assert not got[3].any()


@pytest.mark.parametrize("decay", [1.0, 0.5])
def test_fold_in_minimises_the_weighted_squares(decay):
    """Against numpy's least squares over all items, weight by weight."""
    model = fitted(random_log(0), history_decay=decay)
    items = model.arrays()["items"].astype(np.float64)
    confidence, preference = np.ones(30), np.zeros(30)
    for age, item in enumerate(reversed([3, 9, 14])):
        confidence[item], preference[item] = 4.0 * decay**age, 1
    root = np.sqrt(confidence)
    left = np.concatenate([root[:, None] * items, np.sqrt(0.5) * np.eye(6)])
    right = np.concatenate([root * preference, np.zeros(6)])
    expected = np.linalg.lstsq(left, right, rcond=None)[0]
    got = model.user_factors(batch_of([[3, 9, 14]]))[0]
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


def test_trained_users_are_near_their_fold_in(reference):
    """At convergence the library's own user factors solve the same equations."""
    log = random_log(0, repeats=True)
    histories = [log.items[a:b].tolist() for _, a, b in log.segments("train")]
    folded = fitted(log).user_factors(batch_of(histories))
    ours, theirs = (u @ reference.item_factors.T for u in (folded, reference.user_factors))
    assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.99


def test_scores_are_products_of_factors():
    model = fitted(random_log(0))
    batch = batch_of(HISTORIES)
    lists = model.recommend(batch, 30, None)
    expected = model.user_factors(batch) @ model.arrays()["items"].T
    got = np.take_along_axis(expected, lists.items_BK.numpy(), 1)
    np.testing.assert_allclose(lists.scores_BK, got, rtol=1e-5, atol=1e-6)


def test_another_seed_starts_elsewhere():
    model = fitted(random_log(0), num_iterations=1)
    torch_seeded_later = type(model)(dataclasses.replace(model.config), num_items=30)
    torch_seeded_later.fit(random_log(0))
    assert not np.allclose(model.arrays()["items"], torch_seeded_later.arrays()["items"])
