"""A user's value is the mean of those of their lists, and a metric the mean over users."""

from __future__ import annotations

from dataclasses import replace
from math import fsum, nan

import numpy as np
import pytest
import torch

from recsys_lab.evaluation.results import Results
from recsys_lab.evaluation.sums import mean_of_each

from .batches import ranked, users

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


@pytest.mark.parametrize("size", [1, 2, 6])
@pytest.mark.parametrize(
    "order", [[0, 1, 2, 3, 4, 5], [5, 3, 1, 0, 4, 2], [2, 1, 0, 0, 5, 4, 3, 2]]
)
def test_means_by_hand(size, order):
    """In any order, in batches of any size, and where a list comes twice."""
    results = Results(["hr", "mrr"], [2], 3)
    for first in range(0, len(order), size):
        rows = [LISTS[place] for place in order[first : first + size]]
        made = batch(rows).to("cpu")
        results.update(made, ranked([row[2] for row in rows]), keep_lists=True)
    assert results.compute() == {"hr@2": pytest.approx(HR), "mrr@2": pytest.approx(MRR)}
    rows = results.per_user()
    assert rows.columns[:4] == ["user", "list", "target", "rank"]
    assert rows.select("user", "list", "target").rows() == [
        (user, number, target) for user, number, _, targets, *_ in LISTS for target in targets
    ]
    assert rows["rank"].to_list() == [1, 2, 3, 2, 3, 1, None]
    assert rows["hr@2"].to_list() == pytest.approx([2 / 3] * 3 + [1] * 2 + [1 / 2] * 2)


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
