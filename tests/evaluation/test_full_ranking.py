"""The protocol: per-user rows, precision, the seen filter."""

import math

import polars as pl
import pytest
import torch

from recsys_lab.contracts import Batch, EvaluationBatch, RankedLists
from recsys_lab.evaluation.protocols.base import evaluate, fingerprint, rank
from recsys_lab.evaluation.protocols.full_ranking import FullRanking
from recsys_lab.models.ranking import TIE_RULE, top_k


class Fixed:
    """Scores item i with `scores[i]` for everybody, through a matrix product."""

    def __init__(self, scores: list[float]) -> None:
        self.scores = torch.tensor([scores])

    def recommend(self, batch, k, exclude) -> RankedLists:
        scores_BV = torch.ones(batch.size, 1) @ self.scores
        return top_k(scores_BV, k, exclude, batch.users_B)


def protocol(**changes) -> FullRanking:
    values = {
        "metrics": ["ndcg", "hr", "mrr"], "ks": [1, 3], "exclude_seen": True, "max_k": 3,
        "score_mib": 1, "beyond_accuracy": [], "beyond_ks": [1], "category_feature": None,
        "embeddings_path": None, "candidates": "all", "release_column": None,
    }  # fmt: skip
    made = FullRanking(FullRanking.Config(**{**values, **changes}))
    made.num_items = 6
    return made


def two_users() -> EvaluationBatch:
    """User 5 saw item 0 and wants 2; user 3 saw item 1 and wants 0."""
    history = Batch(torch.tensor([5, 3]), torch.tensor([0, 1]), torch.tensor([0, 1, 2]), (1, 1))
    return EvaluationBatch(
        history, torch.tensor([0, 1]), torch.tensor([0, 1]), torch.tensor([0, 1]),
        torch.tensor([2, 0]),
    )  # fmt: skip


def test_hand_computed_rows_and_means():
    results = evaluate(Fixed([4.0, 3.0, 2.0, 1.0]), [two_users()], protocol())
    rows = results.per_user()
    assert rows["user"].to_list() == [3, 5]
    assert rows["target"].to_list() == [0, 2]
    assert rows["items"].to_list() == [[0, 2, 3], [1, 2, 3]]
    assert rows["rank"].to_list() == [1, 2]
    means = results.compute()
    assert means["ndcg@3"] == pytest.approx((1 + 1 / math.log2(3)) / 2)
    assert means["hr@1"] == 0.5
    assert means["mrr@3"] == 0.75
    for name, value in means.items():
        assert rows[name].mean() == pytest.approx(value, abs=1e-15)


def test_seen_items_may_be_kept():
    results = evaluate(Fixed([4.0, 3.0, 2.0, 1.0]), [two_users()], protocol(exclude_seen=False))
    assert results.per_user()["items"].to_list() == [[0, 1, 2], [0, 1, 2]]


def test_a_miss_has_no_rank():
    rows = evaluate(Fixed([4.0, 3.0, 1.0, 2.0, 5.0, 6.0]), [two_users()], protocol()).per_user()
    assert rows.filter(pl.col("user") == 5)["rank"].to_list() == [None]


def test_mixed_precision_training_ranks_in_full_precision():
    """1.001 and 1.002 are one number in bfloat16; the order must not be lost."""
    model = Fixed([1.001, 1.002, 1.003, 1.004])
    with torch.autocast("cpu", torch.bfloat16):
        ranked = rank(model, two_users(), protocol(), protocol().exclude(two_users()))
    assert ranked.items_BK.tolist() == [[3, 2, 1], [3, 2, 0]]


def test_every_field_of_the_protocol_changes_its_fingerprint():
    base = {"data": "x", **protocol().fields(TIE_RULE)}
    others = [{**base, key: "other"} for key in base]
    assert len({fingerprint(fields) for fields in [base, *others]}) == len(base) + 1
    assert fingerprint(dict(reversed(base.items()))) == fingerprint(base)


def test_batches_stay_within_the_score_budget():
    assert protocol().batch_size(100) == 256
    assert protocol().batch_size(100_000) * 100_000 * 4 <= 2**20
    assert protocol().batch_size(10**9) == 1
