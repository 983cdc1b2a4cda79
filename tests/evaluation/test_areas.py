"""AUC and GAUC against scikit-learn, pair counts and whole runs."""

import math
from dataclasses import dataclass

import numpy as np
import polars as pl
import pytest
import torch
from sklearn.metrics import roc_auc_score

from recsys_lab.config import build, config_dir
from recsys_lab.evaluation.metrics.areas import AUC, GAUC
from recsys_lab.evaluation.protocols.base import evaluate
from recsys_lab.models.ranking import top_k
from tests.cli.flow import COUNTS, in_shop, record, train
from tests.evaluation.batches import ranked, users

V = 40


@dataclass
class Scorer:
    """Scores of every user, (U, V)."""

    scores: torch.Tensor

    def recommend(self, batch, k, exclude):
        return top_k(self.scores[batch.users_B].clone(), k, exclude, batch.users_B)


class Items:
    num_items = V
    timestamps = None


def protocol(**changes):
    from omegaconf import OmegaConf

    made = OmegaConf.load(config_dir() / "evaluation/full_ranking.yaml")
    found = build({**made, "metrics": ["ndcg", "auc", "gauc"], "ks": [5], **changes})
    found.attach(Items())
    return found


@pytest.mark.parametrize("exclude_seen", [True, False])
def test_equal_to_scikit_learn_over_all_candidates(exclude_seen):
    rng = np.random.default_rng(5)
    scores = rng.integers(0, 9, (30, V)).astype(np.float32)  # many ties
    histories = [rng.choice(V, 6, replace=False).tolist() for _ in range(30)]
    targets = [
        rng.choice(np.setdiff1d(range(V), seen), rng.integers(1, 5), replace=False).tolist()
        for seen in histories
    ]
    results = evaluate(
        Scorer(torch.from_numpy(scores)), [users(histories, targets)],
        protocol(exclude_seen=exclude_seen),
    )  # fmt: skip
    wanted = []
    for row, (seen, found) in enumerate(zip(histories, targets, strict=True)):
        candidates = np.setdiff1d(range(V), seen) if exclude_seen else np.arange(V)
        wanted.append(roc_auc_score(np.isin(candidates, found), scores[row, candidates]))
    means = results.compute()
    assert means["auc"] == pytest.approx(np.mean(wanted), abs=1e-12)
    sizes = [len(found) for found in targets]
    assert means["gauc"] == pytest.approx(np.average(wanted, weights=sizes), abs=1e-12)
    rows = results.per_user()
    assert rows.unique("user", keep="first", maintain_order=True)["auc"].to_list() == pytest.approx(
        wanted, abs=1e-12
    )
    assert rows["items"].dtype.shape == (20,)  # places kept, not all that were ranked
    assert "gauc" not in rows.columns


def test_targets_that_are_no_candidates_and_items_that_are_not_listed():
    """Six items. Pairs by hand: see each line."""
    batch = users([[0], [1], [2]], [[0, 3], [4], [0, 1, 2, 3, 4, 5]])
    lists = ranked([[3, 1, 2, 4, 5], [2, 3], [0, 1, 2, 3, 4, 5]])
    exclude = (torch.tensor([0]), torch.tensor([0]))
    auc, gauc = AUC(k=6), GAUC(k=6)
    for metric in (auc, gauc):
        metric.update(batch, lists, exclude)
    # 0: target 0 is none of the five candidates and loses its 4 pairs, target 3 wins its 4: 4 / 8.
    # 1: target 4 is not listed: below 2 and 3, equal to 0, 1 and 5: 1.5 / 5.
    # 2: nothing but targets: no area.
    _, values = auc.by_user()
    assert values[:2].tolist() == pytest.approx([0.5, 0.3])
    assert math.isnan(values[2])
    assert float(auc.compute()) == pytest.approx(0.4)
    assert float(gauc.compute()) == pytest.approx((2 * 0.5 + 1 * 0.3) / 3)


def test_a_scorer_that_knows_nothing_has_one_half():
    batch = users([[0], [1]], [[2], [5, 6]])
    results = evaluate(Scorer(torch.zeros(2, V)), [batch], protocol())
    assert results.compute()["auc"] == 0.5


def test_a_run_is_chosen_and_judged_by_it(tmp_path, monkeypatch):
    with in_shop(tmp_path, monkeypatch):
        options = ["evaluation.metrics=[ndcg,auc,gauc]", "recipe.monitor=val/auc"]
        assert train("run_dir=run", *options, base=COUNTS) == 0
        values, rows = record("run"), pl.read_parquet("run/test_users.parquet")
        assert values["test"]["auc"] == values["test"]["gauc"] == pytest.approx(rows["auc"].mean())
        assert set(values["intervals"]) >= {"auc", "ndcg@10"}
        assert values["validation"]["auc"] > 0.5
        slices = pl.read_parquet("run/slices.parquet").filter(slice="target_popularity")
        head = slices.filter(value="head", metric="auc")["mean"][0]
        wanted = rows.filter(pl.col("target_popularity").cast(pl.String) == "head")["auc"].mean()
        assert head == pytest.approx(wanted)
