"""Intervals and slices against hand-computed numbers and the statistics of SciPy."""

import math

import numpy as np
import polars as pl
import pytest
from scipy import stats

from recsys_lab.evaluation.metrics import make_metrics
from recsys_lab.evaluation.slices import hits_from_ranks, interval, intervals, slice_table


def rows() -> pl.DataFrame:
    """User 1 has targets 10 (rank 1) and 11 (not found), user 4 has 12 (rank 2)."""
    return pl.DataFrame(
        {
            "user": [1, 1, 4],
            "target": [10, 11, 12],
            "rank": [1, None, 2],
            "items": pl.Series([[10, 7], [10, 7], [9, 12]], dtype=pl.Array(pl.Int32, 2)),
            "hr@2": [1.0, 1.0, 1.0],
        }
    )


def keys(**columns) -> pl.DataFrame:
    named = {
        name: pl.Series(values, dtype=pl.Enum(sorted(set(values))))
        for name, values in columns.items()
    }
    return rows().select("user", "target").with_columns(**named)


def test_slices_by_hand():
    cut = keys(land=["de", "de", "fr"], kind=["old", "new", "old"])
    found = slice_table(rows(), cut, make_metrics(["recall", "ndcg"], [2]))
    got = {
        (row["slice"], row["value"], row["metric"]): (row["users"], row["targets"], row["mean"])
        for row in found.iter_rows(named=True)
    }
    second = 1 / math.log2(3)
    assert got == {
        ("land", "de", "recall@2"): (1, 2, 0.5),
        ("land", "de", "ndcg@2"): (1, 2, pytest.approx(1 / (1 + second))),
        ("land", "fr", "recall@2"): (1, 1, 1.0),
        ("land", "fr", "ndcg@2"): (1, 1, pytest.approx(second)),
        # Each user is measured on the targets of the slice alone.
        ("kind", "new", "recall@2"): (1, 1, 0.0),
        ("kind", "new", "ndcg@2"): (1, 1, 0.0),
        ("kind", "old", "recall@2"): (2, 2, 1.0),
        ("kind", "old", "ndcg@2"): (2, 2, pytest.approx((1 + second) / 2)),
    }


def test_properties_of_lists_by_hand():
    """A user without a value is left out, and so is a metric without any; targets count once."""
    found = rows().with_columns(
        pl.Series("novelty@2", [3.0, 3.0, 5.0]), pl.Series("diversity@2", [math.nan, math.nan, 0.5])
    )
    cut = keys(land=["de", "de", "fr"], kind=["old", "new", "old"])
    table = slice_table(found, cut, {}, ["novelty@2", "diversity@2"])
    got = {
        (row["slice"], row["value"], row["metric"]): (row["users"], row["targets"], row["mean"])
        for row in table.iter_rows(named=True)
    }
    assert got == {
        ("land", "de", "novelty@2"): (1, 2, 3.0),
        ("land", "fr", "novelty@2"): (1, 1, 5.0),
        ("land", "fr", "diversity@2"): (1, 1, 0.5),
        ("kind", "new", "novelty@2"): (1, 1, 3.0),
        ("kind", "old", "novelty@2"): (2, 2, 4.0),
        ("kind", "old", "diversity@2"): (1, 2, 0.5),
    }
    assert intervals(found, ["hr@2", "diversity@2"]) == {"hr@2": (1, 1), "diversity@2": (0.5, 0.5)}
    nobody = found.with_columns(pl.lit(math.nan).alias("diversity@2"))
    assert intervals(nobody, ["diversity@2"]) == {}


def test_a_target_given_twice_counts_once():
    twice = pl.concat([rows(), rows()[:1]])
    hits_UK, targets_U = hits_from_ranks(twice)
    assert hits_UK.tolist() == [[True, False], [False, True]]
    assert targets_U.tolist() == [2, 1]


def test_keys_of_other_users_are_refused():
    other = keys(land=["de", "de", "fr"]).with_columns(user=pl.Series([1, 1, 5]))
    with pytest.raises(ValueError, match="not those of the results' users and targets"):
        slice_table(rows(), other, make_metrics(["hr"], [2]))


@pytest.mark.parametrize("distinct", [2, 500])
def test_interval_is_that_of_scipy(distinct):
    """Percentile bootstrap of the mean, with many distinct values and with few."""
    values = np.random.default_rng(1).integers(0, distinct, 600) / distinct
    low, high = interval(values)
    reference = stats.bootstrap(
        (values,), np.mean, n_resamples=4000, method="percentile", rng=np.random.default_rng(2)
    ).confidence_interval
    width = reference.high - reference.low
    assert low == pytest.approx(reference.low, abs=0.06 * width)
    assert high == pytest.approx(reference.high, abs=0.06 * width)
    assert interval(values) == (low, high)


def test_interval_covers_the_truth_nineteen_times_of_twenty():
    generator = np.random.default_rng(3)
    covered = 0
    for seed in range(300):
        low, high = interval(generator.binomial(1, 0.3, 400).astype(float), seed)
        covered += low <= 0.3 <= high
    assert 0.91 <= covered / 300 <= 0.98


def test_one_value_has_no_width_and_users_count_once():
    assert interval(np.full(50, 0.25)) == (0.25, 0.25)
    assert intervals(rows(), ["hr@2"]) == {"hr@2": (1.0, 1.0)}
