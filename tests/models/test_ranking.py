"""Top-k against a plain sort; ties and NaN; chance level in closed form."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys_lab.contracts import NO_ITEM
from recsys_lab.evaluation.metrics.accuracy import hits_of
from recsys_lab.evaluation.metrics.registry import make_metrics
from recsys_lab.models.ranking import list_shortfall, top_k


def metrics_of(scores_BV: torch.Tensor, targets_B: torch.Tensor) -> dict[str, float]:
    users = torch.arange(len(scores_BV))
    ranked = top_k(scores_BV, 10, None, users)
    hits_BK, counts_B = hits_of(ranked.items_BK, users, targets_B)
    metrics = make_metrics(["ndcg", "hr"], [10])
    for metric in metrics.values():
        metric.update(users, hits_BK, counts_B)
    return {name: float(metric.compute()) for name, metric in metrics.items()}


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 30), st.integers(5, 500))
def test_equals_a_full_sort(seed, k, items):
    rng = np.random.default_rng(seed)
    scores = np.stack([rng.permutation(items) for _ in range(4)]).astype(np.float32)
    excluded = rng.random((4, items)) < 0.3
    rows, columns = (torch.from_numpy(x) for x in np.nonzero(excluded))
    ranked = top_k(torch.from_numpy(scores.copy()), k, (rows, columns), torch.arange(4))
    for row in range(4):
        allowed = [i for i in np.argsort(-scores[row]) if not excluded[row, i]][:k]
        expected = allowed + [NO_ITEM] * (k - len(allowed))
        assert ranked.items_BK[row].tolist() == expected
        assert (ranked.scores_BK[row, len(allowed) :] == -math.inf).all()


def test_wide_rows_equal_torch_topk():
    scores = torch.randn(3, 40_003, generator=torch.Generator().manual_seed(0))
    expected = scores.topk(7, dim=1)
    ranked = top_k(scores.clone(), 7, None, torch.arange(3))
    assert torch.equal(ranked.items_BK, expected.indices)
    assert torch.equal(ranked.scores_BK, expected.values)


def test_constant_scorer_gets_chance_level():
    """With V items and any target, P(hit in the first 10) = 10 / V."""
    users, items = 20_000, 200
    targets = torch.randint(items, (users,), generator=torch.Generator().manual_seed(1))
    got = metrics_of(torch.zeros(users, items), targets)
    sd = math.sqrt(0.05 * 0.95 / users)
    assert got["hr@10"] == pytest.approx(10 / items, abs=4 * sd)
    assert metrics_of(torch.zeros(users, items), torch.zeros_like(targets))[
        "hr@10"
    ] == pytest.approx(10 / items, abs=4 * sd)


def test_random_scorer_equals_closed_form():
    users, items = 20_000, 200
    generator = torch.Generator().manual_seed(2)
    got = metrics_of(
        torch.rand(users, items, generator=generator),
        torch.randint(items, (users,), generator=generator),
    )
    expected = sum(1 / math.log2(place + 1) for place in range(1, 11)) / items
    assert got["ndcg@10"] == pytest.approx(expected, rel=0.1)
    assert got["hr@10"] == pytest.approx(10 / items, rel=0.1)


def test_ties_do_not_depend_on_batch_or_column_count_of_the_list():
    scores = torch.randint(3, (50, 30), generator=torch.Generator().manual_seed(3)).float()
    users = torch.arange(50)
    whole = top_k(scores.clone(), 12, None, users).items_BK
    for row in range(50):
        alone = top_k(scores[row : row + 1].clone(), 5, None, users[row : row + 1]).items_BK
        assert torch.equal(alone[0], whole[row, :5])


def test_tied_order_differs_between_users():
    lists = top_k(torch.zeros(40, 30), 5, None, torch.arange(40)).items_BK
    assert len({tuple(row) for row in lists.tolist()}) > 30


def test_scores_above_a_tie_stay_in_front():
    scores = torch.tensor([[1.0, 5.0, 1.0, 3.0, 1.0]])
    assert top_k(scores, 3, None, torch.tensor([9])).items_BK[0, :2].tolist() == [1, 3]


def test_nan_is_refused_wherever_it_stands():
    for column in (0, 2, 4):
        scores = torch.arange(5.0).repeat(2, 1)
        scores[1, column] = math.nan
        with pytest.raises(ValueError, match="NaN for user 8"):
            top_k(scores, 2, None, torch.tensor([7, 8]))


def test_the_shortfall_counts_only_items_that_might_have_been_listed():
    items = torch.tensor([[3, 1, NO_ITEM, NO_ITEM], [0, 1, 2, 3], [NO_ITEM] * 4])
    # Of 5 items, user 0 may get three, one of which is missing, user 2 none.
    pairs = [(0, 0), (0, 2), (0, 2), *((2, item) for item in range(5))]
    exclude = torch.tensor(pairs).unbind(1)
    assert list_shortfall(items, 5, exclude).tolist() == [1 / 4, 0, 0]
    assert list_shortfall(items, 5, None).tolist() == [2 / 4, 0, 1]
    assert list_shortfall(items, 2, None).tolist() == [0, 0, 2 / 4]
