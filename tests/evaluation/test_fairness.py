"""Gaps between groups of users and exposure of groups of items, by hand."""

import polars as pl
import pytest

from recsys_lab.evaluation.fairness import exposure_of_groups, metric_gaps
from tests.evaluation.batches import catalogue, lists_of


def test_gap_is_between_the_best_and_the_worst_group():
    slices = pl.DataFrame(
        [
            ("user_land", "de", 5, "hr@1", 0.25),
            ("user_land", "fr", 2, "hr@1", 0.75),
            ("user_land", "it", 9, "hr@1", 0.5),
            ("user_land", "de", 5, "hr@2", 0.5),
            ("user_land", "fr", 2, "hr@2", 0.5),
            ("user_land", "it", 9, "hr@2", 0.5),
            ("user_age", "all", 16, "hr@1", 0.4),  # nobody to compare with
            ("history_length", "1-4", 3, "hr@1", 0.0),  # no column of the users
        ],
        ["slice", "value", "users", "metric", "mean"], orient="row",
    )  # fmt: skip
    first, second = metric_gaps(slices).to_dicts()
    assert first == {
        "groups": "user_land", "metric": "hr@1", "gap": 0.5,
        "highest": "fr", "highest_mean": 0.75, "highest_users": 2,
        "lowest": "de", "lowest_mean": 0.25, "lowest_users": 5,
    }  # fmt: skip
    assert (second["metric"], second["gap"]) == ("hr@2", 0.0)
    assert metric_gaps(slices.clear()).is_empty()


def test_exposure_by_hand():
    """Places: items 0, 1, 0 and an empty one; item 1 is half in each of the first two groups."""
    rows = pl.DataFrame(
        {
            "user": [3, 3, 7],  # user 3 has two targets and one list
            "items": pl.Series([[0, 1, 2]] * 2 + [[0, -1, -1]], dtype=pl.Array(pl.Int32, 3)),
        }
    )
    items = catalogue([6, 2, 2, 0])
    groups = lists_of([[0], [0, 1], [1], [2]])
    found = exposure_of_groups(rows, 2, items, groups, ["a", "b", "c"])
    assert found["items"].to_list() == [2, 2, 1]
    assert found["exposure"].to_list() == pytest.approx([2.5 / 3, 0.5 / 3, 0])
    assert found["catalogue"].to_list() == [1.5 / 4, 1.5 / 4, 1 / 4]
    assert found["events"].to_list() == [0.7, 0.3, 0]
    assert found["exposure_per_item"].to_list() == pytest.approx([2.5 / 3 * 4 / 1.5, 4 / 9, 0])
    assert found["exposure_per_event"].to_list() == [
        pytest.approx(2.5 / 3 / 0.7), pytest.approx(0.5 / 3 / 0.3), None,
    ]  # fmt: skip
