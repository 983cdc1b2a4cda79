"""Whole runs: several targets, groups of users and items, other candidates."""

import math
from pathlib import Path

import polars as pl
import pytest

from recsys_lab.cli.main import run_command
from recsys_lab.comparison.per_user import user_results
from recsys_lab.evaluation import fairness
from recsys_lab.runs.record import RunRecord
from tests.cli.flow import COUNTS, ITEMS, SMALL, USERS, in_shop, record, train


@pytest.fixture(autouse=True)
def shop(tmp_path, monkeypatch):
    with in_shop(tmp_path, monkeypatch):
        yield


def write_tables() -> list[str]:
    """Users of two countries, items of three kinds; the options that read them."""
    lands = ["de" if user % 3 else "fr" for user in range(USERS)]
    kinds = ["abc"[item % 3] for item in range(ITEMS)]
    pl.DataFrame({"user_id": [f"u{u}" for u in range(USERS)], "land": lands}).write_csv("users.csv")
    pl.DataFrame({"item_id": [f"i{i}" for i in range(ITEMS)], "kind": kinds}).write_csv("items.csv")
    return [
        "data.users_path=users.csv", "+data.user_features.land=categorical",
        "data.items_path=items.csv", "+data.item_features.kind=categorical",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("base", "target", "over"),
    [
        (COUNTS, "all", "users"), (SMALL, "all", "users"), (COUNTS, "successive", "users"),
        (COUNTS, "successive", "lists"),
    ],
)  # fmt: skip
def test_all_items_after_a_cut_are_targets(base, target, over):
    """Several targets a user, at once or in turn, from training to the record and back."""
    split = ["split=global_temporal", "split.test_quantile=0.7", "split.validation_quantile=0.5"]
    metrics = "evaluation.metrics=[ndcg,recall,hr,precision,map,r_precision,mrr]"
    assert (
        train(
            "run_dir=run",
            *split,
            f"split.target={target}",
            metrics,
            f"evaluation.mean_over={over}",
            base=base,
        )
        == 0
    )
    test = record("run")["test"]
    users = pl.read_parquet("run/test_users.parquet")
    assert users.group_by("user").len()["len"].max() > 1
    values = []
    lists = ["user"] if target == "all" else ["user", "list"]
    assert target == "all" or not users.select(lists).is_duplicated().any()
    for (user, *_), rows in users.group_by(lists, maintain_order=True):
        targets, items = set(rows["target"]), rows["items"][0].to_list()[:5]
        hits = [item in targets for item in items]
        ideal = sum(1 / math.log2(place + 2) for place in range(min(5, len(targets))))
        values.append(
            {
                "user": user,
                "ndcg@5": sum(h / math.log2(p + 2) for p, h in enumerate(hits)) / ideal,
                "recall@5": sum(hits) / len(targets),
                "hr@5": float(any(hits)),
                "precision@5": sum(hits) / 5,
                "map@5": sum(sum(hits[: p + 1]) / (p + 1) for p, h in enumerate(hits) if h)
                / len(targets),
                "r_precision@5": sum(hits[: len(targets)]) / len(targets),
                "mrr@5": next((1 / (p + 1) for p, h in enumerate(hits) if h), 0.0),
            }
        )
    means = pl.DataFrame(values)
    if over == "users":
        means = means.group_by("user").mean()
    means = means.drop("user").mean()
    for name, mean in means.row(0, named=True).items():
        assert test[name] == pytest.approx(mean, abs=1e-12)
    of_users = {"novelty@10", "popularity@10", "repeat_share@10"}  # beyond accuracy, by default
    assert set(record("run")["intervals"]) == set(record("run")["validation"]) | of_users
    assert run_command(["evaluate", "run"]) == 0


def test_groups_of_users_and_items(capsys, monkeypatch):
    monkeypatch.setattr(fairness, "FEWEST_USERS", 20)  # as many as the smaller group has
    names = "[coverage,miscalibration,category_diversity,repeat_share,popularity_lift,serendipity]"
    options = [
        *write_tables(), f"evaluation.beyond_accuracy={names}", "evaluation.exclude_seen=false",
        "evaluation.category_feature=item.kind",
    ]  # fmt: skip
    assert train("run_dir=run", *options, base=COUNTS) == 0
    values = record("run")
    slices = pl.read_parquet("run/slices.parquet").filter(
        slice="user_land", metric="ndcg@10"
    )  # fmt: skip
    land = dict(slices.select("value", "mean").iter_rows())
    gap = next(g for g in values["fairness"]["gaps"] if g["metric"] == "ndcg@10")
    assert gap["groups"] == "user_land"
    assert gap["gap"] == pytest.approx(abs(land["de"] - land["fr"]))
    assert {gap["highest"]: gap["highest_users"], gap["lowest"]: gap["lowest_users"]} == {
        "de": 40, "fr": 20,
    }  # fmt: skip
    rows = pl.read_parquet("run/test_users.parquet")
    for name in ("miscalibration@10", "category_diversity@10", "repeat_share@10", "serendipity@10"):
        assert rows[name].mean() == pytest.approx(values["test"][name])
        low, high = values["intervals"][name]
        assert low - 1e-12 <= values["test"][name] <= high + 1e-12
    assert values["test"]["repeat_share@10"] > 0
    assert not {"coverage@10", "popularity_lift@10"} & set(values["intervals"])
    metrics = set(pl.read_parquet("run/slices.parquet")["metric"])
    assert metrics - set(values["validation"]) == {
        "miscalibration@10", "category_diversity@10", "repeat_share@10",
    }  # fmt: skip
    by_land = rows.group_by("user_land").agg(pl.col("miscalibration@10").mean())
    assert dict(by_land.iter_rows()) == pytest.approx(
        dict(
            pl.read_parquet("run/slices.parquet")
            .filter(slice="user_land", metric="miscalibration@10")
            .select("value", "mean")
            .iter_rows()
        )
    )
    assert {gap["metric"] for gap in values["fairness"]["gaps"]} == set(values["validation"])
    kinds = [row for row in values["fairness"]["exposure"] if row["groups"] == "item.kind"]
    assert [row["value"] for row in kinds] == ["a", "b", "c"]
    for share in ("exposure", "catalogue", "events"):
        assert sum(row[share] for row in kinds) == pytest.approx(1)
    bands = [row for row in values["fairness"]["exposure"] if row["groups"] == "popularity"]
    assert bands[0]["exposure_per_item"] > 1 > bands[2]["exposure_per_item"]
    assert "miscalibration@10" in capsys.readouterr().out
    assert run_command(["evaluate", "run"]) == 0


def test_a_metric_without_its_column_stops_before_training(capsys):
    assert train("run_dir=run", "evaluation.beyond_accuracy=[miscalibration]") == 2
    assert "needs item categories" in capsys.readouterr().err
    assert not list(Path("run").glob("checkpoints/*"))


def test_sampled_candidates_are_another_protocol(capsys):
    assert train("run_dir=full", base=COUNTS) == 0
    few = ["evaluation=sampled_candidates", "evaluation.num_candidates=5"]
    assert train("run_dir=few", *few, base=COUNTS) == 0
    assert "Krichene and Rendle" in capsys.readouterr().err
    full, sampled = record("full"), record("few")
    assert sampled["protocol"]["fields"]["candidates"] == "sampled"
    assert sampled["protocol"]["fingerprint"] != full["protocol"]["fingerprint"]
    assert sampled["test"]["hr@5"] > full["test"]["hr@5"]
    shown = pl.read_parquet("few/test_users.parquet")["items"].to_numpy()
    assert set((shown >= 0).sum(1)) == {6}
    assert run_command(["evaluate", "few"]) == 0


def test_candidates_from_a_file(capsys):
    pairs = [(f"u{user}", f"i{item}") for user in range(USERS) for item in range(0, ITEMS, 2)]
    pl.DataFrame(pairs, ["user_id", "item_id"], orient="row").write_parquet("pairs.parquet")
    assert train("run_dir=none", "evaluation=candidate_file", base=COUNTS) == 2
    assert "evaluation.path: missing; name a Parquet or CSV file" in capsys.readouterr().err
    options = ["evaluation=candidate_file", "evaluation.path=pairs.parquet"]
    assert train("run_dir=run", *options, base=COUNTS) == 0
    assert "targets are candidates of their user" in capsys.readouterr().err
    items = pl.read_parquet(Path(record("run")["data"]["path"]) / "items.parquet")["item_id"]
    shown = pl.read_parquet("run/test_users.parquet")["items"].explode()
    numbers = {int(items[index][1:]) for index in shown.unique() if index >= 0}
    assert numbers <= set(range(0, ITEMS, 2))
    assert run_command(["evaluate", "run"]) == 0


def test_the_test_by_the_week_of_the_target():
    log = pl.read_csv("log.csv").with_columns(pl.col("timestamp") * 7_000)
    log.write_csv("log.csv")
    assert train("run_dir=run", "evaluation.target_period=week", base=COUNTS) == 0
    slices = pl.read_parquet("run/slices.parquet")
    mine = slices.filter(slice="target_week", metric="ndcg@10")
    last = log.sort("timestamp").group_by("user_id").last()
    week = pl.from_epoch("timestamp").dt.strftime("%G-W%V").alias("week")
    rows = pl.read_parquet("run/test_users.parquet").join(
        last.select("user_id", week), on="user_id"
    )
    wanted = rows.group_by("week").agg(pl.col("ndcg@10").mean(), pl.len()).sort("week")
    assert len(wanted) > 1
    assert mine["value"].to_list() == wanted["week"].to_list()
    assert mine["users"].to_list() == wanted["len"].to_list()
    assert mine["mean"].to_list() == pytest.approx(wanted["ndcg@10"].to_list())
    compared = user_results(RunRecord.load(Path("run")), ["ndcg@10"], "ndcg@10").slices
    assert {value for name, value in compared if name == "target_week"} == set(wanted["week"])
    assert "target_week" in Path("run/card.md").read_text()
