"""Product quantisation beside faiss's."""

import numpy as np
import pytest

from recsys_lab.config import UserError
from tests.semantic_ids.made import SMALL, items, quantiser


def correlated(num_items=1500, width=16):
    """Vectors whose variance is in a few directions, across the parts."""
    rng = np.random.default_rng(0)
    mix = rng.normal(size=(width, width)) * np.exp(-np.arange(width) / 4)[:, None]
    return (rng.normal(size=(num_items, width)) @ mix).astype(np.float32)


def error(vectors, rotations):
    options = {**SMALL, "levels": 4, "codes": 32, "rotations": rotations}
    codes = quantiser("product_quantisation", **options).quantise(items(vectors))
    assert codes.num_codes == (32,) * 4
    return codes.notes["unexplained_variance"]


def test_within_two_percent_of_faiss():
    faiss = pytest.importorskip("faiss")
    faiss.omp_set_num_threads(1)
    x = correlated()
    variance = ((x - x.mean(0)) ** 2).sum(1).mean()

    def reference(rows):
        pq = faiss.ProductQuantizer(16, 4, 5)
        pq.train(rows)
        return ((rows - pq.decode(pq.compute_codes(rows))) ** 2).sum(1).mean() / variance

    plain = reference(x)
    assert error(x, 0) <= 1.02 * plain
    rotation = faiss.OPQMatrix(16, 4)
    rotation.pq = faiss.ProductQuantizer(16, 4, 5)
    rotation.train(x)
    optimised = reference(rotation.apply(x))
    assert optimised < 0.9 * plain
    assert error(x, 50) <= 1.02 * optimised


def test_parts_of_unequal_width_and_too_many():
    x = correlated(num_items=200, width=7)
    options = {**SMALL, "levels": 3, "codes": 4, "rotations": 2}
    codes = quantiser("product_quantisation", **options).quantise(items(x))
    assert codes.codes_VL.shape == (200, 3)
    with pytest.raises(UserError, match=r"semantic_ids\.levels: got 8, expected at most 7"):
        quantiser("product_quantisation", **{**options, "levels": 8}).quantise(items(x))
