"""PureSVD against the exact SVD of numpy and scikit-learn's TruncatedSVD."""

import numpy as np
import pytest
from sklearn.decomposition import TruncatedSVD

from recsys_lab.config import UserError
from tests.models.classical.logs import make, random_log, scores_of

HISTORIES = [[3, 1, 4, 1, 5], [29], [0, 2, 7, 8]]


def histories_matrix():
    x = np.zeros((3, 30))
    for row, history in enumerate(HISTORIES):
        x[row, history] = 1
    return x


def fitted(log, **changes):
    model = make("pure_svd", 30, **{"num_factors": 5, "history_decay": 1.0, **changes})
    model.fit(log)
    return model


def test_equals_the_exact_svd():
    log = random_log(0, repeats=True)
    *_, right = np.linalg.svd(log.dense())
    expected = histories_matrix() @ right[:5].T @ right[:5]
    model = fitted(log, num_iterations=20)
    np.testing.assert_allclose(scores_of(model, HISTORIES, 30), expected, atol=1e-4)


def test_equals_truncated_svd_of_scikit_learn():
    log = random_log(1)
    svd = TruncatedSVD(5, algorithm="arpack", random_state=0).fit(log.dense())
    expected = svd.inverse_transform(svd.transform(histories_matrix()))
    model = fitted(log, num_iterations=20)
    np.testing.assert_allclose(scores_of(model, HISTORIES, 30), expected, atol=1e-4)


def test_all_factors_give_the_history_back():
    model = fitted(random_log(0), num_factors=30)
    np.testing.assert_allclose(scores_of(model, HISTORIES, 30), histories_matrix(), atol=1e-5)


def test_decay_weighs_recent_events():
    q = fitted(random_log(0)).arrays()["items"]
    got = scores_of(fitted(random_log(0), history_decay=0.5), [[7, 2]], 30)[0]
    np.testing.assert_allclose(got, (q[2] + 0.5 * q[7]) @ q.T, atol=1e-6)


def test_more_factors_than_the_matrix_has_are_refused():
    with pytest.raises(UserError) as error:
        fitted(random_log(0, users=20), num_factors=25)
    assert str(error.value) == (
        "model.num_factors: got 25, expected at most 20, the rank of a matrix of 20 users x 30 "
        "items"
    )
