"""Intervals and slices against hand-computed numbers and the statistics of SciPy."""

import math

import numpy as np
import polars as pl
import pytest

from recsys_lab.evaluation.intervals import mean_interval
from recsys_lab.evaluation.metrics.registry import make_metrics
from recsys_lab.evaluation.slices import hits_from_ranks, intervals, last_lists, slice_table


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
    nobody = found.with_columns(pl.lit(math.nan).alias("diversity@2"))
    assert intervals(nobody, ["diversity@2"]) == {}


def test_a_target_given_twice_counts_once():
    twice = pl.concat([rows(), rows()[:1]])
    hits_LK, targets_L, user_L = hits_from_ranks(twice.sort("user", maintain_order=True))
    assert hits_LK.tolist() == [[True, False], [False, True]]
    assert targets_L.tolist() == [2, 1]
    assert user_L.tolist() == [1, 4]


def test_a_user_of_several_lists_counts_once():
    """User 1 has a hit on the first of two lists and none on the second, user 4 has one list."""
    made = pl.DataFrame(
        {
            "user": [1, 1, 4], "list": [0, 1, 0], "target": [7, 7, 2], "rank": [1, None, 2],
            "items": [[7, 8], [8, 9], [3, 2]],
        },
        schema_overrides={"items": pl.Array(pl.Int32, 2), "list": pl.Int32},
    )  # fmt: skip
    cut = made.select("user", "target").with_columns(
        pl.Series("part", ["a", "b", "a"], dtype=pl.Enum(["a", "b"]))
    )
    found = slice_table(made, cut, make_metrics(["hr", "mrr"], [2]))
    values = {(r["value"], r["metric"]): (r["users"], r["mean"]) for r in found.to_dicts()}
    assert values == {
        ("a", "hr@2"): (2, 1.0), ("a", "mrr@2"): (2, 0.75),
        ("b", "hr@2"): (1, 0.0), ("b", "mrr@2"): (1, 0.0),
    }  # fmt: skip
    whole = made.select("user", "target").with_columns(part=pl.lit("a", pl.Enum(["a"])))
    [hr, _] = slice_table(made, whole, make_metrics(["hr", "mrr"], [2])).to_dicts()
    assert (hr["users"], hr["targets"], hr["mean"]) == (2, 3, 0.75)
    assert last_lists(made)["list"].to_list() == [1, 0]


def test_keys_of_other_users_are_refused():
    other = keys(land=["de", "de", "fr"]).with_columns(user=pl.Series([1, 1, 5]))
    with pytest.raises(ValueError, match="keys and rows have different users or targets"):
        slice_table(rows(), other, make_metrics(["hr"], [2]))


def test_intervals_are_of_enough_users_and_count_each_once():
    assert intervals(rows(), ["hr@2"]) == {}
    many = pl.concat([rows().with_columns(user=pl.col("user") + 100 * n) for n in range(30)])
    found = intervals(many, ["hr@2"])
    users = many["user"].n_unique()
    assert found == {"hr@2": mean_interval(np.ones(users), 1.0)}
    assert found["hr@2"] == pytest.approx((users / (users + 1.96**2), 1.0), rel=1e-4)


def test_a_slice_of_few_users_has_a_mean_alone():
    few = slice_table(rows(), keys(land=["de", "de", "fr"]), make_metrics(["hr"], [2]))
    assert few["mean"].null_count() == 0
    assert few["low"].null_count() == few["high"].null_count() == len(few)
