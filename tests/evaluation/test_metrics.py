"""Metrics against pytrec-eval, ir-measures, closed forms and hand-computed numbers."""

import math

import ir_measures
import numpy as np
import pytest
import pytrec_eval
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys_lab.evaluation.metrics.accuracy import PerUserMetric, hits_of
from recsys_lab.evaluation.metrics.registry import known, make_metrics

NAMES = sorted(name for name, kind in known().items() if issubclass(kind, PerUserMetric))


def random_case(seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, int]:
    rng = np.random.default_rng(seed)
    users, items, k = int(rng.integers(1, 6)), int(rng.integers(12, 40)), int(rng.integers(1, 12))
    lists = np.stack([rng.permutation(items)[:12] for _ in range(users)])
    counts = rng.integers(1, 5, users)
    targets = [rng.choice(items, size=c, replace=False) for c in counts]
    rows = np.repeat(np.arange(users), counts)
    lists, rows, targets = map(torch.from_numpy, (lists, rows, np.concatenate(targets)))
    return lists, rows, targets, k


def lab_values(lists, rows, targets, k) -> dict[str, np.ndarray]:
    hits_BK, num_targets_B = hits_of(lists, rows, targets)
    metrics = make_metrics(NAMES, [k])
    return {
        name: metric.per_user(hits_BK[:, :k], num_targets_B).numpy()
        for name, metric in metrics.items()
    }


def as_trec(lists, rows, targets):
    qrel: dict[str, dict[str, int]] = {}
    for row, item in zip(rows.tolist(), targets.tolist(), strict=True):
        qrel.setdefault(f"u{row}", {})[f"i{item}"] = 1
    run = {
        f"u{u}": {f"i{item}": float(100 - place) for place, item in enumerate(items)}
        for u, items in enumerate(lists.tolist())
    }
    return qrel, run


@settings(max_examples=1000, deadline=None)
@given(st.integers(0, 2**31))
def test_equal_to_pytrec_eval_and_ir_measures(seed):
    lists, rows, targets, k = random_case(seed)
    mine = lab_values(lists, rows, targets, k)
    qrel, run = as_trec(lists, rows, targets)
    trec = pytrec_eval.RelevanceEvaluator(
        qrel,
        {f"{name}.{k}" for name in ("ndcg_cut", "recall", "success", "P", "map_cut")},
    ).evaluate(run)
    cut = {user: dict(list(places.items())[:k]) for user, places in run.items()}
    trec_of_k = pytrec_eval.RelevanceEvaluator(qrel, {"Rprec"}).evaluate(cut)
    for user in range(len(lists)):
        got = trec[f"u{user}"]
        assert mine[f"ndcg@{k}"][user] == pytest.approx(got[f"ndcg_cut_{k}"], abs=1e-6)
        assert mine[f"recall@{k}"][user] == pytest.approx(got[f"recall_{k}"], abs=1e-6)
        assert mine[f"hr@{k}"][user] == pytest.approx(got[f"success_{k}"], abs=1e-6)
        assert mine[f"precision@{k}"][user] == pytest.approx(got[f"P_{k}"], abs=1e-6)
        assert mine[f"map@{k}"][user] == pytest.approx(got[f"map_cut_{k}"], abs=1e-6)
        r_precision = trec_of_k[f"u{user}"]["Rprec"]
        assert mine[f"r_precision@{k}"][user] == pytest.approx(r_precision, abs=1e-6)
    wanted = {
        "ndcg": ir_measures.nDCG @ k, "recall": ir_measures.R @ k,
        "hr": ir_measures.Success @ k, "mrr": ir_measures.RR @ k,
        "precision": ir_measures.P @ k, "map": ir_measures.AP @ k,
    }  # fmt: skip
    names = {measure: name for name, measure in wanted.items()}
    for value in ir_measures.iter_calc(list(names), qrel, run):
        user, name = int(value.query_id[1:]), names[value.measure]
        assert mine[f"{name}@{k}"][user] == pytest.approx(value.value, abs=1e-6)


def test_hand_computed():
    lists = torch.tensor([[4, 2, 7, 1]])
    mine = lab_values(lists, torch.tensor([0, 0]), torch.tensor([2, 1]), 4)
    ideal = 1 + 1 / math.log2(3)
    assert mine["ndcg@4"][0] == pytest.approx((1 / math.log2(3) + 1 / math.log2(5)) / ideal)
    assert mine["mrr@4"][0] == 0.5
    assert mine["recall@4"][0] == 1.0
    assert mine["hr@4"][0] == 1.0
    assert mine["precision@4"][0] == 0.5
    assert mine["map@4"][0] == pytest.approx((1 / 2 + 2 / 4) / 2)
    assert mine["r_precision@4"][0] == 0.5


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**31))
def test_bounds_and_growth_in_k(seed):
    lists, rows, targets, _ = random_case(seed)
    values = {k: lab_values(lists, rows, targets, k) for k in (1, 5, 10)}
    for name in NAMES:
        for k in (1, 5, 10):
            assert (values[k][f"{name}@{k}"] >= 0).all()
            assert (values[k][f"{name}@{k}"] <= 1 + 1e-12).all()
    for name in ("hr", "recall", "mrr", "map", "r_precision"):
        for low, high in ((1, 5), (5, 10)):
            assert (values[low][f"{name}@{low}"] <= values[high][f"{name}@{high}"] + 1e-12).all()


def test_repeated_target_counts_once():
    hits_BK, num_targets_B = hits_of(
        torch.tensor([[3, 5]]), torch.tensor([0, 0]), torch.tensor([5, 5])
    )
    assert hits_BK.tolist() == [[False, True]]
    assert num_targets_B.tolist() == [1]


def test_users_met_twice_count_once_and_order_changes_nothing():
    users = torch.tensor([3, 1, 2])
    hits = torch.tensor([[True, False], [False, True], [False, False]])
    ones = torch.ones(3, dtype=torch.int64)
    once = make_metrics(["ndcg"], [2])["ndcg@2"]
    once.update(users, hits, ones)
    twice = make_metrics(["ndcg"], [2])["ndcg@2"]
    back = torch.tensor([2, 0, 1])
    twice.update(users[back], hits[back], ones)
    twice.update(users[:2], hits[:2], ones[:2])
    expected = (1 + 1 / math.log2(3)) / 3
    assert float(once.compute()) == pytest.approx(expected, abs=1e-12)
    assert float(twice.compute()) == float(once.compute())


def test_k_below_one_is_refused():
    with pytest.raises(ValueError, match="k: got 0"):
        make_metrics(["ndcg"], [0])
