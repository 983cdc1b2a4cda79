"""A user's value is the mean or sum of those of their lists, and a metric the mean over users."""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby
from math import fsum, nan
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
import torch

from recsys_lab.evaluation.metrics.accuracy import make_metrics
from recsys_lab.evaluation.results import Results
from recsys_lab.evaluation.slices import intervals, slice_table
from recsys_lab.evaluation.sums import mean_of_each, mean_over_lists
from tests.cli.flow import COUNTS, in_shop, record, train
from tests.evaluation.batches import ranked, users
from tests.evaluation.test_full_ranking import protocol

# (user, number of the list, its items, its targets, hit rate at 2 and reciprocal place)
LISTS = [
    (3, 0, [7, 8, 9], [7], 1.0, 1.0),
    (3, 1, [8, 7, 9], [7], 1.0, 0.5),
    (3, 2, [8, 9, 7], [7], 0.0, 0.0),
    (5, 0, [1, 2, 3], [2, 3], 1.0, 0.5),
    (6, 0, [1, 2, 3], [1], 1.0, 1.0),
    (6, 1, [1, 2, 3], [9], 0.0, 0.0),
]
HR, MRR = (2 / 3 + 1 + 1 / 2) / 3, (1 / 2 + 1 / 2 + 1 / 2) / 3


def batch(rows):
    made = users([[0]] * len(rows), [row[3] for row in rows])
    history = replace(made.history, users_B=torch.tensor([row[0] for row in rows]))
    return replace(made, history=history, numbers_B=torch.tensor([row[1] for row in rows]))


@pytest.mark.parametrize("over_lists", [False, True])
@pytest.mark.parametrize("size", [1, 2, 6])
@pytest.mark.parametrize(
    "order", [[0, 1, 2, 3, 4, 5], [5, 3, 1, 0, 4, 2], [2, 1, 0, 0, 5, 4, 3, 2]]
)
def test_means_by_hand(size, order, over_lists):
    """In any order, in batches of any size, and where a list comes twice."""
    results = Results(["hr", "mrr"], [2], 3, over_lists=over_lists)
    for first in range(0, len(order), size):
        rows = [LISTS[place] for place in order[first : first + size]]
        made = batch(rows).to("cpu")
        results.update(made, ranked([row[2] for row in rows]), keep_lists=True)
    hr, mrr = (4 / 6, 3 / 6) if over_lists else (HR, MRR)
    assert results.compute() == {"hr@2": pytest.approx(hr), "mrr@2": pytest.approx(mrr)}
    rows = results.per_user()
    assert rows.columns[:4] == ["user", "list", "target", "rank"]
    assert rows.select("user", "list", "target").rows() == [
        (user, number, target) for user, number, _, targets, *_ in LISTS for target in targets
    ]
    assert rows["rank"].to_list() == [1, 2, 3, 2, 3, 1, None]
    # Over lists, by hand: 2/3 + (lists / 2) (the user's mean - 2/3).
    user_5 = 5 / 6 if over_lists else 1
    assert rows["hr@2"].to_list() == pytest.approx([2 / 3] * 3 + [user_5] * 2 + [1 / 2] * 2)


@pytest.mark.parametrize("over_lists", [False, True])
def test_totals_and_ratios_of_totals_add_a_users_lists_up(over_lists):
    """Every target of LISTS is worth its item's number; places 1 and 2 count."""
    names = ["auc", "gauc", "value", "value_recall", "value_hr"]
    results = Results(names, [2], 3, num_items=10, over_lists=over_lists)
    for _, part in groupby([LISTS[place] for place in (4, 0, 3, 1, 5, 2)], key=lambda row: row[0]):
        rows = list(part)
        values = torch.tensor([item for row in rows for item in row[3]], dtype=torch.float64)
        made = replace(batch(rows), target_values_G=values)
        whole = [[*row[2], *(item for item in range(10) if item not in row[2])] for row in rows]
        results.update(made, ranked(whole), keep_lists=True)
    found = results.compute()
    # Found: user 3 7 + 7 + 0 of 21, user 5 2 of 2 + 3, user 6 1 + 0 of 1 + 9.
    assert found["value@2"] == pytest.approx(17 / 6 if over_lists else (14 + 2 + 1) / 3)
    assert found["value_recall@2"] == pytest.approx(17 / 36)
    assert found["value_hr@2"] == pytest.approx((14 + 5 + 1) / 36)
    # Areas by hand, nine other candidates (eight of user 5): 7 is 1st, 2nd, 3rd; 2 and 3 are 2nd
    # and 3rd, below one that is none; 1 is 1st; 9 is the last.
    areas = [(1, 9 / 9), (1, 8 / 9), (1, 7 / 9), (2, 7 / 8), (1, 9 / 9), (1, 0)]
    total = fsum(number * area for number, area in areas)
    assert found["gauc"] == pytest.approx(total / 7)
    if not over_lists:
        rows = results.per_user().unique("user", keep="first", maintain_order=True)
        assert rows["value@2"].to_list() == [14, 2, 1]
        assert rows["auc"].to_list() == pytest.approx([8 / 9, 7 / 8, 1 / 2])


def test_a_list_without_an_area_weighs_nothing():
    """All items are targets of the second list: its number of targets must not count either."""
    results = Results(["gauc"], [2], 3, num_items=3)
    made = batch([(0, 0, [1, 0, 2], [0], 0, 0), (0, 1, [0, 1, 2], [0, 1, 2], 0, 0)])
    results.update(made, ranked([[1, 0, 2], [0, 1, 2]]))
    assert results.compute()["gauc"] == 0.5


def test_one_list_a_user_is_as_ever():
    rows = [row for row in LISTS if row[1] == 0]
    results = Results(["hr"], [2], 3)
    results.update(replace(batch(rows), numbers_B=None), ranked([r[2] for r in rows]), True)
    assert results.per_user().columns == ["user", "target", "rank", "items", "hr@2"]


def test_means_of_groups_are_those_of_a_loop():
    rng = np.random.default_rng(0)
    lengths = np.array([1, 2, 9, 64, 65, 3, 1, 200])
    groups = np.repeat(np.arange(len(lengths)) * 7, lengths)
    values = rng.random(len(groups))
    values[rng.random(len(groups)) < 0.2] = nan
    values[groups == 7 * 5] = nan
    found_U, means_U = mean_of_each(torch.tensor(values), torch.tensor(groups))
    assert found_U.tolist() == (np.arange(len(lengths)) * 7).tolist()
    for group, mean in zip(found_U.tolist(), means_U.tolist(), strict=True):
        part = [v for v in values[groups == group].tolist() if v == v]
        assert mean == pytest.approx(fsum(part) / len(part), rel=1e-15) if part else mean != mean


def test_the_variance_of_users_is_that_of_the_mean_over_lists():
    """Drawn again and again, the mean over lists varies as one drawing's interval says."""
    rng = np.random.default_rng(1)
    means, errors = [], []
    for _ in range(400):
        lengths = rng.integers(1, 8, 200)
        taste = 0.2 + 0.05 * lengths + rng.normal(0, 0.1, 200)  # who comes often is served better
        users = np.repeat(np.arange(200), lengths)
        values = taste[users] + rng.normal(0, 0.1, len(users))
        found = mean_over_lists(torch.tensor(values), torch.tensor(users))[1].numpy()
        assert found.mean() == pytest.approx(values.mean(), abs=1e-12)
        means.append(found.mean())
        errors.append(found.std(ddof=1) / np.sqrt(200))
    assert np.mean(errors) == pytest.approx(np.std(means), rel=0.1)


def test_slices_over_lists_are_means_over_the_lists_of_the_slice():
    rows = pl.DataFrame(
        [(user, number, targets[0], 1 if hit else None, items[:2], "all" if user < 6 else "6")
         for user, number, items, targets, hit, _ in LISTS],
        schema={"user": pl.Int64, "list": pl.Int32, "target": pl.Int64, "rank": pl.Int64,
                "items": pl.Array(pl.Int32, 2), "part": pl.Enum(["all", "6"])},
        orient="row",
    )  # fmt: skip
    keys = rows.select("user", "target", "part")
    found = slice_table(rows.drop("part"), keys, make_metrics(["hr"], [2]), over_lists=True)
    assert found["mean"].to_list() == pytest.approx([3 / 4, 1 / 2])
    assert found["users"].to_list() == [2, 1]


def test_intervals_over_lists_are_those_of_numbers_not_of_hits():
    """What users add to the mean over lists may be negative."""
    values = np.random.default_rng(0).normal(0.3, 0.2, 50)
    rows = pl.DataFrame({"user": np.arange(50), "hr@10": values})
    low, high = intervals(rows, ["hr@10"], over_lists=True)["hr@10"]
    half = 2.0096 * values.std(ddof=1) / np.sqrt(50)  # Student's quantile, 49 degrees of freedom
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), rel=1e-4)


def test_lists_are_users_where_each_has_one():
    """Equal numbers, equal protocol; a phase with several lists is enough for another."""
    one, several = (np.array([[0, 0, 1, 2], [user, 0, 1, 2]]) for user in (1, 0))
    by_users = protocol().fields("rule")
    assert "mean_over" not in by_users  # as before there was a choice
    made = protocol(mean_over="lists")
    for rows, phases in ((several, ["test"]), (several, ["validation"]), (one, ["test"])):
        data = {"validation": one, "test": one, **dict.fromkeys(phases, rows)}
        made.attach(SimpleNamespace(num_items=5, segments=data.__getitem__))
        assert made.over_lists == (rows is several)
        also = {"mean_over": "lists"} if rows is several else {}
        assert made.fields("rule") == by_users | also


def test_runs_whose_users_have_one_list_are_of_one_protocol(tmp_path, monkeypatch, capsys):
    with in_shop(tmp_path, monkeypatch):
        assert train("run_dir=users", base=COUNTS) == 0
        assert "evaluation.mean_over" not in capsys.readouterr().out
        assert train("run_dir=lists", "evaluation.mean_over=lists", base=COUNTS) == 0
        said = " ".join(capsys.readouterr().out.split())
        assert "note: evaluation.mean_over=lists: every user has one list in this split" in said
        users, lists = record("users"), record("lists")
        assert users["test"] == lists["test"]
        assert users["protocol"] == lists["protocol"]
