"""ItemKNN by hand, against dense numpy and against the library implicit."""

import numpy as np
import pytest
from implicit.nearest_neighbours import BM25Recommender, CosineRecommender, TFIDFRecommender

from recsys_lab.models.classical import item_knn
from recsys_lab.models.classical.base import from_rows, training_matrix
from tests.models.classical.logs import Log, make, random_log, scores_of

# Items 0 and 1 share two users of 2 and 3, items 1 and 2 share one of 3 and 2.
TOY = Log([[0, 1], [1, 0], [1, 2], [2, 3]], 4)


def similarity(model, num_items):
    return from_rows(model.arrays(), "similarity", (num_items, num_items)).toarray()


def fitted(log, **changes):
    plain = {"shrinkage": 0.0, "num_neighbors": 100, "history_decay": 1.0}
    model = make("item_knn", log.num_items, **{**plain, **changes})
    model.fit(log)
    return model


def test_cosine_by_hand():
    expected = np.zeros((4, 4))
    expected[0, 1] = expected[1, 0] = 2 / np.sqrt(2 * 3)
    expected[1, 2] = expected[2, 1] = 1 / np.sqrt(3 * 2)
    expected[2, 3] = expected[3, 2] = 1 / np.sqrt(2 * 1)
    np.testing.assert_allclose(similarity(fitted(TOY, similarity="cosine"), 4), expected, rtol=1e-6)


def test_jaccard_and_shrinkage_by_hand():
    got = similarity(fitted(TOY, similarity="jaccard"), 4)
    assert got[0, 1] == got[1, 0] == pytest.approx(2 / 3)
    assert got[1, 2] == pytest.approx(1 / 4)
    shrunk = similarity(fitted(TOY, similarity="jaccard", shrinkage=3.0), 4)
    assert shrunk[0, 1] == pytest.approx(2 / 3 * 2 / 5)
    assert shrunk[1, 2] == pytest.approx(1 / 4 * 1 / 4)
    assert not got.diagonal().any()


def test_repeats_do_not_change_cosine():
    once, often = Log([[0, 1], [1, 2]], 3), Log([[0, 1, 1, 0], [1, 2, 2]], 3)
    np.testing.assert_array_equal(
        similarity(fitted(once, similarity="cosine"), 3),
        similarity(fitted(often, similarity="cosine"), 3),
    )


@pytest.mark.filterwarnings("ignore:Method expects CSR input")  # the library warns of itself
@pytest.mark.parametrize(
    ("kind", "theirs"),
    [
        ("cosine", lambda: CosineRecommender(K=30)),
        ("tf_idf", lambda: TFIDFRecommender(K=30)),
        ("bm25", lambda: BM25Recommender(K=30, K1=1.2, B=0.75)),
    ],
)
def test_equals_implicit(kind, theirs):
    log = random_log(4, repeats=kind != "cosine")
    reference = theirs()
    reference.fit(training_matrix(log, counts=kind != "cosine"), show_progress=False)
    expected = reference.similarity.toarray()
    np.fill_diagonal(expected, 0)  # the library keeps an item as its own neighbour
    np.testing.assert_allclose(similarity(fitted(log, similarity=kind), 30), expected, atol=1e-6)


def test_jaccard_equals_dense_numpy(monkeypatch):
    monkeypatch.setattr(item_knn, "_BLOCK", 7)  # 30 items: the last block is smaller
    log = random_log(5)
    x = log.dense()
    both = x.T @ x
    users = x.sum(0)
    expected = both / np.maximum(users[:, None] + users - both, 1) * both / (both + 4)
    np.fill_diagonal(expected, 0)
    got = similarity(fitted(log, similarity="jaccard", shrinkage=4.0), 30)
    np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_each_item_keeps_its_most_similar():
    log = random_log(6)
    full = similarity(fitted(log, similarity="tf_idf"), 30)
    few = similarity(fitted(log, similarity="tf_idf", num_neighbors=3), 30)
    for item in range(30):
        kept = np.flatnonzero(few[item])
        assert len(kept) == min(3, np.count_nonzero(full[item]))
        np.testing.assert_array_equal(few[item, kept], full[item, kept])
        rest = np.delete(full[item], kept)
        assert rest.max() <= few[item, kept].min(initial=np.inf)


def test_score_adds_the_similarities_with_decay():
    log = random_log(7)
    model = fitted(log, similarity="cosine", history_decay=0.5)
    s = similarity(model, 30)
    scores = scores_of(model, [[4, 9, 4, 2]], 30)[0]
    expected = s[2] + 0.5 * s[4] + 0.25 * s[9]  # 4 counts once, by its later place
    positive = expected > 0
    np.testing.assert_allclose(scores[positive], expected[positive], rtol=1e-5)
    assert (scores[~positive] < 0).all()


def test_items_without_a_neighbour_follow_by_popularity():
    model = fitted(Log([[0, 1], [2, 3], [3, 4], [3]], 5), similarity="cosine")
    scores = scores_of(model, [[0]], 5)[0]
    assert np.argsort(-scores)[:2].tolist() == [1, 3]
    np.testing.assert_allclose(scores[[0, 2, 3, 4]], [-0.75, -0.75, -0.25, -0.75])
