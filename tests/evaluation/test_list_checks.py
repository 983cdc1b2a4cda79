"""Lists of any recommender are checked, by name, before a metric is computed from them."""

import math

import pytest
import torch

from recsys_lab.contracts import NO_ITEM, RankedLists
from recsys_lab.evaluation.protocols.base import check_lists, rank
from recsys_lab.models.ranking import in_order, top_k
from tests.evaluation.test_full_ranking import protocol, two_users


class Listed:
    """Gives fixed lists to two users."""

    def __init__(self, items, scores) -> None:
        self.items, self.scores = items, scores

    def recommend(self, batch, k, exclude) -> RankedLists:
        del batch, k, exclude
        return RankedLists(torch.tensor(self.items), torch.tensor(self.scores))


DOWN = [[3.0, 2.0, 1.0]] * 2
NONE = NO_ITEM


@pytest.mark.parametrize(
    ("items", "scores", "message"),
    [
        ([[1, 2, 3], [2, 0, 2]], DOWN, "an item twice: item 2 .* row 1"),
        ([[1, 2, 0], [0, 2, 3]], DOWN, "an excluded item: item 0 near rank 3 of row 0"),
        ([[1, 2, 3], [0, 6, 2]], DOWN, "an item outside the catalogue of 6: item 6"),
        ([[1, 2, 3], [0, -7, 2]], DOWN, "an item outside the catalogue of 6: item -7"),
        ([[1, 2, 3], [0, 2, 3]], [[3.0, 2.0, 1.0], [1.0, 2.0, 0.0]], "a score below that of the"),
        ([[1, 2, 3], [0, 2, 3]], [[3.0, 2.0, 1.0], [1.0, math.nan, 0.0]], "a score that is NaN"),
        ([[1, NONE, 3], [0, 2, 3]], DOWN, "an item after padding"),
        ([[1, 2], [0, 2]], [[2.0, 1.0]] * 2, r"lists of shape \(2, 2\)"),
        ([[1, 2, 3], [0, 2, 3]], [[2.0, 1.0]] * 2,
         r"lists of shape \(2, 3\) with scores of shape \(2, 2\)"),
    ],
)  # fmt: skip
def test_lists_that_are_none_are_refused_by_name(items, scores, message):
    with pytest.raises(ValueError, match=rf"^Listed.recommend returned {message}"):
        rank(Listed(items, scores), two_users(), protocol(), protocol().exclude(two_users()))


def test_a_doubled_hit_would_have_an_ndcg_above_one():
    """What the check is for: without it this list counts its target twice."""
    doubled = Listed([[2, 2, 3], [0, 2, 3]], DOWN)
    with pytest.raises(ValueError, match="an item twice"):
        rank(doubled, two_users(), protocol(), protocol().exclude(two_users()))


def test_short_lists_ties_and_no_exclusion_are_fine():
    items = torch.tensor([[1, 2, NONE], [NONE, NONE, NONE]])
    scores = torch.tensor([[1.0, 1.0, -torch.inf], [-torch.inf] * 3])
    check_lists(RankedLists(items, scores), 3, None, 6, "x")


def test_excluded_pairs_are_seen_in_every_block(monkeypatch):
    monkeypatch.setattr("recsys_lab.evaluation.protocols.excluded._ELEMENTS", 8)  # a row at a time
    generator = torch.Generator().manual_seed(0)
    scores = torch.rand(50, 8, generator=generator)
    exclude = (torch.arange(50), torch.randint(8, (50,), generator=generator))
    users = torch.arange(50)
    good = top_k(scores.clone(), 7, exclude, users)
    check_lists(good, 7, exclude, 8, "x")
    for row in (0, 49):
        worse = good.items_BK.clone()
        worse[row, -1] = exclude[1][row]
        with pytest.raises(ValueError, match=f"an excluded item: item .* of row {row} "):
            check_lists(RankedLists(worse, good.scores_BK), 7, exclude, 8, "x")


def test_lists_found_in_another_way_have_the_same_ties():
    """Shuffled top-k lists come back in the order of `top_k`, whose ties a hash decides."""
    generator = torch.Generator().manual_seed(1)
    scores = torch.randint(3, (40, 12), generator=generator).float()
    users = torch.arange(40) * 17
    whole = top_k(scores.clone(), 12, None, users)
    shuffled = torch.rand(40, 12, generator=generator).argsort(1)
    again = in_order(whole.items_BK.gather(1, shuffled), whole.scores_BK.gather(1, shuffled), users)
    assert torch.equal(again.items_BK, whole.items_BK)
    holes = torch.tensor([[5, NONE, 7, 3]])
    found = in_order(holes, torch.tensor([[1.0, 9.0, -torch.inf, 2.0]]), users[:1])
    assert found.items_BK.tolist() == [[3, 5, 7, NONE]]
    with pytest.raises(ValueError, match="NaN"):
        in_order(torch.tensor([[1, 2]]), torch.tensor([[0.0, float("nan")]]), users[:1])
