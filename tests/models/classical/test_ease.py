"""EASE by hand, against dense numpy, and its limits."""

import numpy as np
import pytest

from recsys_lab.config import UserError
from recsys_lab.models.classical import ease
from tests.models.classical.logs import Log, make, random_log, scores_of


def fitted(log, **changes):
    plain = {"regularization": 5.0, "precision": "float64", "history_decay": 1.0}
    model = make("ease", log.num_items, **{**plain, **changes})
    model.fit(log)
    return model


def test_two_items_by_hand():
    # X'X = [[3, 2], [2, 2]], lambda 1: each item is a ridge regression on the other,
    # B_01 = 2 / (3 + 1) (item 1 from item 0), B_10 = 2 / (2 + 1).
    weights = fitted(Log([[0, 1], [0], [1, 0]], 2), regularization=1.0).arrays()["weights"]
    np.testing.assert_allclose(weights, [[0, 1 / 2], [2 / 3, 0]], rtol=1e-6)


@pytest.mark.parametrize(("precision", "rtol"), [("float64", 1e-5), ("float32", 1e-3)])
@pytest.mark.parametrize("block", [7, 1024])
def test_equals_dense_numpy(precision, rtol, block, monkeypatch):
    monkeypatch.setattr(ease, "_BLOCK", block)
    log = random_log(2, repeats=True)
    x = log.dense()
    p = np.linalg.inv(x.T @ x + 5 * np.eye(30))
    expected = p / -np.diag(p)
    np.fill_diagonal(expected, 0)
    model = fitted(log, precision=precision)
    np.testing.assert_allclose(model.arrays()["weights"], expected, rtol=rtol, atol=1e-5)
    history = np.zeros(30)
    history[[3, 8, 1]] = 1
    np.testing.assert_allclose(
        scores_of(model, [[3, 8, 3, 1]], 30)[0], history @ expected, rtol=rtol, atol=1e-5
    )


def test_solves_the_constrained_least_squares():
    """At the optimum the gradient of the objective is 0 off the diagonal (equation 4)."""
    log = random_log(3)
    x, b = log.dense(), fitted(log).arrays()["weights"].astype(np.float64)
    gradient = x.T @ (x @ b - x) + 5 * b
    np.fill_diagonal(gradient, 0)
    np.testing.assert_allclose(gradient, 0, atol=1e-4)
    assert not b.diagonal().any()


def test_decay_weighs_recent_events():
    model = fitted(random_log(3), history_decay=0.5)
    b = model.arrays()["weights"]
    np.testing.assert_allclose(
        scores_of(model, [[7, 2]], 30)[0], b[2] + 0.5 * b[7], rtol=1e-5, atol=1e-7
    )


def test_the_inverse_takes_no_second_matrix():
    matrix = np.diag(np.arange(1.0, 9.0)) + 0.1
    expected = np.linalg.inv(matrix)
    inverse = ease._inverse_in_place(matrix)
    assert np.shares_memory(inverse, matrix)
    np.testing.assert_allclose(inverse, expected, rtol=1e-12)


def test_too_many_items_are_refused_before_any_work():
    with pytest.raises(UserError) as error:
        make("ease", 50_000)
    assert str(error.value) == (
        "model=ease needs 27.9 GiB for dense matrices of 50,000 x 50,000 items; "
        "model.memory_gibibytes allows 8. Raise it if the machine has the memory, filter out rare "
        "items (filter.min_item_count), or use model=item_knn or model=ials"
    )
    assert make("ease", 20_000).window is None
    assert make("ease", 50_000, memory_gibibytes=28.0).window is None


def test_rounding_that_makes_it_indefinite_is_told():
    same = Log([[0, 1, 2]] * 3, 3)  # X'X has rank 1
    with pytest.raises(UserError, match=r"cannot be inverted in float32; set model\.precision"):
        fitted(same, regularization=1e-12, precision="float32")
