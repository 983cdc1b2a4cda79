"""k-means and residual k-means."""

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from recsys_lab.semantic_ids.base import Codes
from recsys_lab.semantic_ids.kmeans import k_means, nearest, revived
from tests.semantic_ids.made import SMALL, items, planted_tree, quantiser


def fitted(vectors, **options):
    return quantiser("residual_kmeans", **{**SMALL, **options}).quantise(vectors)


@pytest.mark.parametrize("seed", range(5))
def test_a_planted_tree_is_recovered(seed):
    at, vectors = planted_tree(seed=seed)
    codes = fitted(items(vectors), seed=seed)
    assert codes.num_codes == (8, 8, 8)
    assert adjusted_rand_score(at[:, 0], codes.codes_VL[:, 0]) >= 0.95
    assert codes.notes["unexplained_variance"] == sorted(codes.notes["unexplained_variance"])[::-1]
    again = fitted(items(vectors), seed=seed)
    assert np.array_equal(codes.codes_VL, again.codes_VL)


def test_as_good_as_scikit_learn():
    x = np.random.default_rng(0).normal(size=(600, 6)).astype(np.float32)
    reference = KMeans(20, n_init=3, random_state=0).fit(x).inertia_
    found = k_means(torch.from_numpy(x), 20, torch.Generator().manual_seed(0))
    assert float(nearest(torch.from_numpy(x), found)[1].sum()) <= 1.03 * reference


def test_each_level_quantises_what_the_one_before_leaves():
    vectors = np.array([[0, 0], [0, 2], [10, 0], [10, 2]], dtype=np.float32)
    codes = fitted(items(vectors), levels=2, codes=2).codes_VL
    assert codes[0, 0] == codes[1, 0] != codes[2, 0] == codes[3, 0]
    assert codes[0, 1] == codes[2, 1] != codes[1, 1] == codes[3, 1]  # the same offset, y


def test_fitted_on_items_of_training_alone():
    _, vectors = planted_tree(num_items=300)
    is_known = np.arange(300) < 200
    codes = fitted(items(vectors, is_known))
    others = vectors.copy()
    others[250:] += 100
    changed = fitted(items(others, is_known))
    assert np.array_equal(codes.codes_VL[:250], changed.codes_VL[:250])
    alone = fitted(items(vectors[is_known]))
    assert np.array_equal(codes.codes_VL[is_known], alone.codes_VL)


def test_a_new_item_gets_the_codes_of_an_equal_one():
    _, vectors = planted_tree(num_items=100)
    vectors[99] = vectors[3]
    codes = fitted(items(vectors, np.arange(100) < 99)).codes_VL
    assert codes[99].tolist() == codes[3].tolist()


def test_a_catalogue_of_three_items_has_levels_of_three_codes_at_most(caplog):
    codes = fitted(items(np.eye(3)), codes=256)
    assert codes.num_codes == (3, 1, 1)
    assert sorted(codes.codes_VL.tolist()) == [[0, 0, 0], [1, 0, 0], [2, 0, 0]]
    assert "semantic_ids.codes: got 256, but there are fewer distinct vectors" in caplog.text
    assert "the levels have 3, 1, 1 codes" in caplog.text


def test_equal_vectors_make_one_code():
    vectors = np.repeat(np.random.default_rng(0).normal(size=(5, 7)), 40, axis=0)
    codes = fitted(items(vectors), codes=16)
    assert codes.num_codes == (5, 1, 1)
    assert (codes.codes_VL.reshape(5, 40, 3) == codes.codes_VL[::40, None]).all()


def test_empty_clusters_get_the_farthest_vectors():
    clusters = torch.tensor([0, 0, 0, 2, 2])
    distances = torch.tensor([0.0, 3.0, 1.0, 9.0, 2.0])
    # 9 goes to cluster 1, and leaves cluster 2 with one vector, which stays; then 3.
    assert revived(clusters, distances, 4).tolist() == [0, 3, 0, 1, 2]


def test_new_items_get_the_nearest_codes_and_known_ones_keep_theirs():
    _, vectors_VE = planted_tree()
    made = quantiser("residual_kmeans", **SMALL)
    whole = made.quantise(items(vectors_VE))
    new_V = np.arange(len(vectors_VE)) % 10 == 3
    kept = Codes(np.where(new_V[:, None], -1, whole.codes_VL), whole.num_codes)
    extended = made.extend(items(vectors_VE + 7), kept)  # all vectors may move together
    assert (extended.codes_VL[~new_V] == whole.codes_VL[~new_V]).all()
    assert (extended.codes_VL[new_V] == whole.codes_VL[new_V]).all(1).mean() > 0.9
    assert extended.num_codes == whole.num_codes
