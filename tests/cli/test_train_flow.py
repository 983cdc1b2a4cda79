"""Whole runs from the command line: record, lists, evaluation, tracking."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from omegaconf import OmegaConf

from recsys_lab.contracts import NO_ITEM
from tests.cli.flow import COUNTS, ITEMS, USERS, record, train

pytestmark = pytest.mark.usefixtures("shop")


def test_the_record_tells_everything(capsys):
    assert train("run_dir=run", "seed=4") == 0
    values = record("run")
    assert values["status"] == "finished"
    assert values["seed"] == 4
    assert values["config"]["model"]["hidden_dim"] == 8
    assert values["data"]["num_users"] == USERS
    assert len(values["data"]["fingerprint"]) == 64
    assert values["protocol"]["fields"]["exclude_seen"] is True
    assert [row["epoch"] for row in values["epochs"]] == [0, 1, 2]
    best = max(values["epochs"], key=lambda row: row["val/ndcg@10"])
    assert values["best"]["epoch"] == best["epoch"]
    assert values["validation"]["ndcg@10"] == best["val/ndcg@10"]
    assert all(row["train/loss"] > 0 for row in values["epochs"])
    assert values["packages"]["torch"]
    assert values["command"] == sys.argv
    assert "commit" in values["code"]
    assert values["compute"]["seconds"] > 0
    assert 0 < values["compute"]["prepare_seconds"] < values["compute"]["seconds"]
    assert values["compute"]["peak_memory_mebibytes"] > 50
    assert OmegaConf.load("run/config.yaml").seed == 4
    rows = pl.read_parquet("run/test_users.parquet")
    assert rows["user"].to_list() == list(range(USERS))
    places = [  # the rank again, from the list itself
        shown.index(target) + 1 if target in shown else None
        for shown, target in zip(rows["items"].to_list(), rows["target"], strict=True)
    ]
    assert rows["rank"].to_list() == places
    latest = pl.read_csv("log.csv").sort("timestamp").group_by("user_id").agg(pl.last("item_id"))
    wanted = dict(latest.iter_rows())
    assert rows["target_id"].to_list() == [wanted[user] for user in rows["user_id"]]
    for ids, target, rank in rows.select("item_ids", "target_id", "rank").iter_rows():
        assert len(ids) == ITEMS - 7  # what the user has seen is not shown, and fills no place
        assert (ids.index(target) + 1 if target in ids else None) == rank
    assert rows["mrr@5"].to_list() == [1 / p if p and p <= 5 else 0.0 for p in places]
    for name in values["intervals"]:
        assert rows[name].mean() == pytest.approx(values["test"][name], abs=1e-12)
    shown = set(rows["items"].to_numpy()[:, :10].ravel())
    assert values["test"]["coverage@10"] == len(shown) / ITEMS
    out, log = capsys.readouterr().out, Path("run/run.log").read_text()
    assert "ndcg@10" in out
    lines = [f"epoch {n + 1} of 3: loss {values['epochs'][n]['train/loss']:.4f}" for n in range(3)]
    assert [line.partition(",")[0] for line in out.splitlines() if line[:6] == "epoch "] == lines
    assert all(f"INFO recsys_lab.progress: {line}" in log for line in lines)


def test_nothing_that_is_stored_can_run_code():
    """Tensors and plain containers only; the other files are no pickles at all."""
    assert train("run_dir=run") == 0
    kinds = {path.suffix for path in Path("run").rglob("*") if path.is_file()}
    assert kinds <= {".json", ".yaml", ".ckpt", ".safetensors", ".parquet", ".log", ".diff", "",
                     ".md", ".html"}  # fmt: skip
    assert torch.load("run/checkpoints/last.ckpt", weights_only=True)["global_step"] == 12


def write_log_without_ties() -> dict[str, list[str]]:
    """Item k has about 2k training events, no two items the same number; user -> items."""
    rng = np.random.default_rng(5)
    histories = {"first": ["i2", "i11", "i10", "i9"]}  # gives items 1 and 2 different counts
    for user in range(18):
        least = 3 + user // 2  # trains on the items from here on, is tested on those below
        held_out = rng.choice(np.arange(1, least), 2, replace=False)
        places = [*rng.permutation(np.arange(least, 12)), *held_out]
        histories[f"u{user}"] = [f"i{k}" for k in places]
    rows = [(u, i, t) for u, items in histories.items() for t, i in enumerate(items)]
    pl.DataFrame(rows, ["user_id", "item_id", "timestamp"], orient="row").write_csv("log.csv")
    return histories


def test_popularity_equals_an_independent_computation():
    histories = write_log_without_ties()
    counts = {f"i{k}": 0 for k in range(1, 12)}
    for items in histories.values():
        for item in items[:-2]:
            counts[item] += 1
    assert len(set(counts.values())) == len(counts)
    ranks = np.array([
        1 + sum(counts[i] > counts[items[-1]] for i in counts if i not in items)
        for items in histories.values()
    ])  # fmt: skip
    assert len(set(ranks)) > 3
    assert train("run_dir=run", "evaluation.ks=[1,2,5]", base=COUNTS) == 0
    test = record("run")["test"]
    for k in (1, 2, 5):
        found = ranks <= k
        assert test[f"hr@{k}"] == pytest.approx(found.mean(), abs=1e-12)
        assert test[f"ndcg@{k}"] == pytest.approx((found / np.log2(ranks + 1)).mean(), abs=1e-12)
        assert test[f"mrr@{k}"] == pytest.approx((found / ranks).mean(), abs=1e-12)


def test_popularity_with_ties_is_within_the_bounds():
    assert train("run_dir=run", base=COUNTS) == 0
    log = pl.read_csv("log.csv").sort("user_id", "timestamp")
    histories = {u: g["item_id"].to_list() for (u,), g in log.group_by("user_id")}
    counts: dict[str, int] = dict.fromkeys(set(log["item_id"]), 0)
    for items in histories.values():
        for item in items[:-2]:
            counts[item] += 1
    low = high = 0
    for items in histories.values():  # ties may fall either way: bounds on the hit rate
        target, others = items[-1], counts.keys() - set(items)
        above = sum(counts[i] > counts[target] for i in others)
        level = sum(counts[i] == counts[target] for i in others)
        low += above + level < 10
        high += above < 10
    assert low / USERS <= record("run")["test"]["hr@10"] <= high / USERS
    assert low / USERS > 0.3


def test_lists_keep_seen_items_out_only_when_told():
    assert train("run_dir=without", base=COUNTS) == 0
    assert train("run_dir=with", "evaluation.exclude_seen=false", base=COUNTS) == 0
    prints = [record(name)["protocol"]["fingerprint"] for name in ("without", "with")]
    assert prints[0] != prints[1]
    data = Path(record("without")["data"]["path"])
    items, offsets = np.load(data / "items.npy"), np.load(data / "offsets.npy")
    shown_seen = {}
    for name in ("without", "with"):
        rows = pl.read_parquet(f"{name}/test_users.parquet")
        # 20 places; without its seven seen items a user has 18 candidates left.
        whole = 20 if name == "with" else ITEMS - 7
        for shown in rows["items"].to_list():
            assert len(set(shown[:whole])) == whole
            assert set(shown[:whole]) <= set(range(ITEMS))
            assert shown[whole:] == [NO_ITEM] * (20 - whole)
        shown_seen[name] = sum(
            len(set(shown) & set(items[offsets[u] : offsets[u + 1] - 1].tolist()))
            for u, shown in zip(rows["user"], rows["items"].to_list(), strict=True)
        )
    assert shown_seen["without"] == 0
    assert shown_seen["with"] > USERS


def test_wandb_summary_holds_the_best_epoch():
    """A learning rate far too high makes the last epoch worse than the best."""
    assert (
        train("run_dir=run", "recipe.learning_rate=0.3", "recipe.max_epochs=6", tracking="wandb")
        == 0
    )
    values = record("run")
    assert values["best"]["epoch"] < 5
    (log,) = Path("run/wandb").glob("offline-run-*/*.wandb")
    wandb = Path(sys.executable).with_name("wandb")
    done = subprocess.run(
        [wandb, "leet", "inspect", "--summary", "--json", log],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    summary = json.loads(done.stdout)["summary"]
    assert summary["val/ndcg@10"] == pytest.approx(values["validation"]["ndcg@10"])
    assert summary["val/ndcg@10"] != pytest.approx(values["epochs"][-1]["val/ndcg@10"])
    assert summary["test/ndcg@10"] == pytest.approx(values["test"]["ndcg@10"])
    assert summary["best/epoch"] == values["best"]["epoch"] + 1
    assert summary["compute/parameters"] == values["parameters"]
    assert summary["compute/training_flops"] == values["compute"]["training_flops"] > 0
    assert json.loads(done.stdout)["config"]["data_fingerprint"] == values["data"]["fingerprint"]


def test_a_dead_tracker_loses_nothing(monkeypatch):
    class Dead:
        id = "dead"

        def define_metric(self, *_, **__): ...

        def __getattr__(self, name):
            raise ConnectionError(f"no {name}")

    monkeypatch.setattr("wandb.init", lambda **_: Dead())
    assert train("run_dir=run", tracking="wandb") == 0
    assert record("run")["status"] == "finished"
    assert "wandb failed, the run continues without it" in Path("run/run.log").read_text()


def test_dropped_rows_are_told_on_the_terminal(capsys):
    Path("log.csv").write_text(Path("log.csv").read_text() + ",i1,5\n")
    assert train("run_dir=run") == 0
    assert "missing user" in capsys.readouterr().err


def test_mixed_precision_with_clipping_trains():
    assert train("run_dir=run", "recipe.precision=bf16-mixed", "recipe.gradient_clip=1.0") == 0
