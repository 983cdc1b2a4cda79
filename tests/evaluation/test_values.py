"""Metrics of values against scikit-learn, trec_eval, hand-computed numbers and whole runs."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import pytrec_eval
import torch
from sklearn.metrics import ndcg_score

from recsys_lab.comparison.identity import refuse_another_metric
from recsys_lab.config import UserError
from recsys_lab.evaluation.metrics.registry import known
from recsys_lab.evaluation.results import Results
from recsys_lab.runs.record import RunRecord
from tests.cli.flow import COUNTS, ITEMS, in_shop, record, train
from tests.evaluation.batches import ranked, users

NAMES = [name for name, kind in known().items() if kind.reads_values]


def valued(targets: list[list[int]], values: list[list[float]]):
    batch = users([[0]] * len(targets), targets)
    flat = torch.tensor([value for part in values for value in part], dtype=torch.float64)
    return replace(batch, target_values_G=flat)


def results(lists, targets, values, k=3) -> Results:
    found = Results(NAMES, [k], k)
    found.update(valued(targets, values), ranked(lists), keep_lists=True)
    return found


def test_hand_computed():
    """Prices; the first user finds 5 of 30, the second all of 8, the third nothing of 12."""
    found = results(
        [[4, 7, 2], [9, 1, 3], [1, 2, 3]],
        [[7, 5, 6], [9, 3], [8, 8]], [[5.0, 10.0, 15.0], [2.0, 6.0], [4.0, 12.0]],
    )  # fmt: skip
    means = found.compute()
    log = math.log2
    ideal = [15 + 10 / log(3) + 5 / log(4), 6 + 2 / log(3)]
    wanted = [5 / log(3) / ideal[0], (2 + 6 / log(4)) / ideal[1], 0.0]
    assert means["graded_ndcg@3"] == pytest.approx(np.mean(wanted), abs=1e-12)
    assert means["value@3"] == pytest.approx((5 + 8 + 0) / 3)
    assert means["value_recall@3"] == pytest.approx((5 + 8) / (30 + 8 + 12))
    assert means["value_hr@3"] == pytest.approx((30 + 8) / (30 + 8 + 12))
    rows = found.per_user()
    assert set(rows.columns) >= {"graded_ndcg@3", "value@3"}
    assert not {"value_recall@3", "value_hr@3"} & set(rows.columns)


@pytest.mark.parametrize("k", [1, 4, 10])
def test_graded_ndcg_equals_scikit_learn_and_trec_eval(k):
    rng = np.random.default_rng(k)
    lists = [rng.permutation(20)[:12].tolist() for _ in range(25)]
    targets = [rng.choice(20, rng.integers(1, 9), replace=False).tolist() for _ in lists]
    grades = [rng.integers(1, 6, len(part)).astype(float).tolist() for part in targets]
    found = results(lists, targets, grades, k=k)
    _, mine = found.others[f"graded_ndcg@{k}"].by_user()
    qrel = {
        str(user): {str(item): int(grade) for item, grade in zip(part, given, strict=True)}
        for user, (part, given) in enumerate(zip(targets, grades, strict=True))
    }
    run = {
        str(user): {str(item): 20.0 - place for place, item in enumerate(part)}
        for user, part in enumerate(lists)
    }
    trec = pytrec_eval.RelevanceEvaluator(qrel, {f"ndcg_cut.{k}"}).evaluate(run)
    for user, part in enumerate(lists):
        truth, scores = np.zeros(20), np.zeros(20)
        truth[targets[user]] = grades[user]
        scores[part] = np.arange(20, 8, -1)
        assert mine[user] == pytest.approx(ndcg_score([truth], [scores], k=k), abs=1e-9)
        assert mine[user] == pytest.approx(trec[str(user)][f"ndcg_cut_{k}"], abs=1e-6)


def test_equal_values_give_the_metrics_without_values():
    lists, targets = [[4, 7, 2], [9, 1, 3]], [[7, 5], [9]]
    found = results(lists, targets, [[2.5, 2.5], [2.5]])
    plain = Results(["ndcg", "hr"], [3], 3)
    plain.update(users([[0], [0]], targets), ranked(lists))
    _, mine = found.others["graded_ndcg@3"].by_user()
    _, ndcg = plain.metrics["ndcg@3"].by_user()
    assert mine.tolist() == pytest.approx(ndcg.tolist(), abs=1e-12)
    worthless = results(lists, targets, [[0.0, 0.0], [1.0]]).compute()
    assert worthless["graded_ndcg@3"] == 1.0  # the first user has nothing to find


@pytest.fixture
def shop(tmp_path, monkeypatch):
    with in_shop(tmp_path, monkeypatch):
        write_items({})
        yield


def write_items(prices: dict[int, float | None]) -> None:
    pl.DataFrame(
        {
            "item_id": [f"i{item}" for item in range(ITEMS)],
            "price": [prices.get(item, float(item + 1)) for item in range(ITEMS)],
        }
    ).write_csv("items.csv")


PRICES = [
    "data.items_path=items.csv", "+data.item_features.price=numeric",
    "evaluation.value_feature=item.price", f"evaluation.metrics=[ndcg,{','.join(NAMES)}]",
]  # fmt: skip


@pytest.mark.usefixtures("shop")
def test_whole_runs_by_price(capsys):
    assert train("run_dir=run", *PRICES, base=COUNTS) == 0
    values, rows = record("run"), pl.read_parquet("run/test_users.parquet")
    price = rows["target_id"].str.slice(1).cast(pl.Float64) + 1
    found = price * (rows["rank"].is_not_null() & (rows["rank"] <= 10))
    assert values["test"]["value@10"] == pytest.approx(found.mean())
    assert values["test"]["value_recall@10"] == pytest.approx(found.sum() / price.sum())
    assert values["test"]["graded_ndcg@10"] == pytest.approx(values["test"]["ndcg@10"])
    definition = values["metrics"]["value@10"]
    assert (definition["option"], definition["value"]) == ("value_feature", "item.price")
    slices = pl.read_parquet("run/slices.parquet")
    assert "value@10" in slices["metric"]
    write_items({3: 400.0, 24: None})
    few = ["evaluation.missing_value=0.5"]
    assert train("run_dir=other", *PRICES, *few, base=COUNTS) == 0
    other = record("other")["metrics"]["value@10"]
    assert other["value"] == "item.price, 0.5 where missing"
    with pytest.raises(UserError, match="value@10 has different definitions in the runs"):
        refuse_another_metric([RunRecord.load(Path(f)) for f in ("run", "other")], "value@10")
    assert "value_recall@10" in capsys.readouterr().out


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize(
    ("options", "prices", "said"),
    [
        ([], {0: None, 1: None, 2: None}, "have no value, e.g. one of item 'i"),
        ([], dict.fromkeys(range(5), -2.0), "have a negative or infinite value, e.g."),
        (["evaluation.value_feature=null"], {}, "'graded_ndcg' needs the value of each target"),
        (["evaluation.metrics=[ndcg]"], {}, "no metric reads it; add some of graded_ndcg, value"),
        (["evaluation.value_feature=item.prize"], {}, "no feature 'item.prize'"),
    ],
)
def test_what_gives_no_numbers_is_refused(capsys, options, prices, said):
    write_items(prices)
    assert train("run_dir=run", *PRICES, *options, base=COUNTS) == 2
    assert said in " ".join(capsys.readouterr().err.split())


@pytest.mark.usefixtures("shop")
def test_values_of_events_are_those_of_the_targets_events():
    log = pl.read_csv("log.csv")
    log.with_columns(paid=pl.col("timestamp") % 7).write_csv("log.csv")
    options = [
        "+data.event_features.paid=numeric", "evaluation.value_feature=event.paid",
        "evaluation.metrics=[ndcg,value]",
    ]  # fmt: skip
    assert train("run_dir=run", *options, base=COUNTS) == 0
    rows = pl.read_parquet("run/test_users.parquet")
    last = pl.read_csv("log.csv").sort("timestamp").group_by("user_id").last()
    rows = rows.join(last.select("user_id", "paid"), on="user_id")
    found = rows["paid"] * (rows["rank"].is_not_null() & (rows["rank"] <= 5))
    assert record("run")["test"]["value@5"] == pytest.approx(found.mean())
