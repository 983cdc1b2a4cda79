"""Gaps between groups of users and exposure of groups of items, by hand."""

import numpy as np
import polars as pl
import pytest
import torch

from recsys_lab.evaluation.fairness import (
    FEWEST_USERS,
    GroupExposure,
    MetricGap,
    exposure_of_groups,
    metric_gaps,
)
from recsys_lab.evaluation.intervals import mean_interval
from recsys_lab.evaluation.metrics.accuracy import HitRate
from recsys_lab.runs.model_card.limits import FEW_USERS
from tests.evaluation.batches import catalogue, lists_of, ranked, users


def slices_of(rows):
    """Slices by (slice, value, users, metric, mean, low, high)."""
    names = ["slice", "value", "users", "metric", "mean", "low", "high"]
    return pl.DataFrame(rows, names, orient="row")


def test_gap_is_between_the_best_and_the_worst_group():
    slices = slices_of([
        ("user_land", "de", 500, "hr@1", 0.25, 0.22, 0.29),
        ("user_land", "fr", 200, "hr@1", 0.75, 0.72, 0.77),
        ("user_land", "it", 900, "hr@1", 0.5, 0.4, 0.6),
        ("user_land", "de", 500, "hr@2", 0.5, 0.5, 0.5),
        ("user_land", "fr", 200, "hr@2", 0.5, 0.5, 0.5),
        ("user_age", "all", 1600, "hr@1", 0.4, 0.4, 0.4),  # nobody to compare with
        ("history_length", "1-4", 300, "hr@1", 0.0, 0.0, 0.0),  # no column of the users
    ])  # fmt: skip
    first, second = metric_gaps(slices).to_dicts()
    # down: fr's 0.03 and de's 0.04; up: fr's 0.02 and de's 0.03
    assert first.pop("gap_low") == pytest.approx(0.5 - 0.05)
    assert first.pop("gap_high") == pytest.approx(0.5 + (0.02**2 + 0.03**2) ** 0.5)
    assert first == {
        "groups": "user_land", "metric": "hr@1", "gap": 0.5,
        "highest": "fr", "highest_mean": 0.75, "highest_users": 200,
        "lowest": "de", "lowest_mean": 0.25, "lowest_users": 500,
    }  # fmt: skip
    assert (second["metric"], second["gap"]) == ("hr@2", 0.0)
    assert metric_gaps(slices.clear()).is_empty()


def test_small_groups_and_the_rest_take_no_part_in_a_gap():
    """Groups of 3 and 9 users differ by 0.3333 for no reason; what is left over is no group."""
    assert FEWEST_USERS == FEW_USERS == 100
    found = metric_gaps(slices_of([
        ("user_zip_code", "55414", 9, "hr@1", 0.0, 0.0, 0.0),
        ("user_zip_code", "02215", 3, "hr@1", 0.3333, 0.0, 1.0),
        ("user_zip_code", "(other)", 931, "hr@1", 0.1, 0.08, 0.12),
        ("user_work", "student", 196, "hr@1", 0.2, 0.1, 0.3),
        ("user_work", "(other)", 176, "hr@1", 0.9, 0.8, 1.0),
        ("user_sex", "f", 100, "hr@1", 0.2, 0.1, 0.3),
        ("user_sex", "m", 100, "hr@1", 0.3, 0.2, 0.4),
        ("user_sex", "x", 99, "hr@1", 0.9, 0.8, 1.0),
    ]))  # fmt: skip
    assert found.select("groups", "highest", "lowest").rows() == [("user_sex", "m", "f")]


def test_the_interval_of_a_gap_holds_the_true_gap_in_95_percent():
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(300):
        rows = []
        for value, number, share in (("a", 150, 0.6), ("b", 300, 0.3)):
            hits = (rng.random(number) < share).astype(float)
            rows.append(("user_x", value, number, "hr@1", hits.mean(), *mean_interval(hits, 1.0)))
        (gap,) = metric_gaps(slices_of(rows)).to_dicts()
        held += gap["gap_low"] <= 0.3 <= gap["gap_high"]
    assert 0.92 <= held / 300 <= 0.98


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


def test_the_gap_of_a_metric_by_hand():
    """Groups 0 (hits 1, 0), 1 (1, 1, 0), 2 (a single user, who misses), none (user 6)."""
    gap = MetricGap(HitRate(k=1), torch.tensor([0, 1, 0, 1, 1, 2, -1]), fewest=2)
    hits = torch.tensor([[1], [1], [0], [1], [0], [0], [0]]).bool()
    for first, last in ((0, 4), (2, 7)):  # users 2 and 3 are met twice
        part = slice(first, last)
        gap.update(torch.arange(7)[part], hits[part], torch.ones(7, dtype=torch.int64)[part])
    assert gap.compute().item() == pytest.approx(2 / 3 - 1 / 2)
    gap.reset()
    gap.update(torch.tensor([0, 2]), hits[[0, 2]], torch.ones(2, dtype=torch.int64))
    assert gap.compute().isnan()


def test_group_exposure_is_that_of_the_table():
    metric = GroupExposure(2, catalogue([6, 2, 2, 0]), lists_of([[0], [0, 1], [1], [2]]), 3)
    metric.update(users([[0], [0]], [[1], [1]]), ranked([[0, 1, 2], [0]]))
    metric.update(users([[0]], [[1]]), ranked([[0, 1, 2]]))  # user 0 again
    assert metric.compute().tolist() == pytest.approx([2.5 / 3, 0.5 / 3, 0])
