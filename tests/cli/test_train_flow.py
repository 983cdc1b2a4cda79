"""Whole runs from the command line: record, lists, evaluation, tracking."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from omegaconf import OmegaConf

from recsys_lab.cli.main import run_command
from recsys_lab.contracts import NO_ITEM
from tests.cli.flow import COUNTS, ITEMS, SMALL, USERS, in_shop, record, rewrite, train


@pytest.fixture(autouse=True)
def shop(tmp_path, monkeypatch):
    with in_shop(tmp_path, monkeypatch):
        yield


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
    assert "ndcg@10" in capsys.readouterr().out


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


def test_evaluate_gives_the_same_numbers(capsys):
    assert train("run_dir=run") == 0
    Path("log.csv").rename("elsewhere.csv")  # the prepared dataset is enough
    assert run_command(["evaluate", "run"]) == 0
    assert "equal to the run record" in capsys.readouterr().out
    values = record("run")
    values["test"]["ndcg@10"] += 1e-9
    Path("run/run.json").write_text(json.dumps(values))
    assert run_command(["evaluate", "run"]) == 2
    assert 'if you changed it and mean it, set its "digest" to null' in capsys.readouterr().err
    rewrite("run", values)
    assert run_command(["evaluate", "run"]) == 1
    told = capsys.readouterr().err
    assert "run: the record says otherwise for 1 of" in told
    assert "now (-1e-09); 0 of 60 users have another value" in told
    assert "Traceback" not in told
    values["test"]["ndcg@10"] -= 1e-9 - 3e-16  # as sums in another order, on another machine
    rewrite("run", values)
    assert run_command(["evaluate", "run"]) == 0
    told = capsys.readouterr().out
    assert "equal to the run record up to rounding: 1 of" in told
    assert "e-16 (ndcg@10)" in told


def test_evaluate_tells_how_many_users_have_other_results(capsys):
    beyond = "evaluation.beyond_accuracy=[coverage]"
    assert train("run_dir=run", beyond, base=COUNTS) == 0
    before, values = pl.read_parquet("run/test_users.parquet"), record("run")
    first = before["user"] < 2
    other = before.with_columns(
        pl.when(first).then(pl.col("ndcg@10") + 0.25).otherwise("ndcg@10").alias("ndcg@10"),
        pl.when(before["user"] < 5).then(pl.col("items").arr.reverse()).otherwise("items"),
    )
    other.write_parquet("run/test_users.parquet")
    values["test"] |= {"ndcg@10": other["ndcg@10"].mean(), "coverage@10": 0.5, "own@10": 1.0}
    del values["files"]["test_users.parquet"]
    rewrite("run", values)
    assert run_command(["evaluate", "run"]) == 1
    told = capsys.readouterr().err
    assert "the record says otherwise for 3 of" in told
    ndcg, coverage, own = (
        next(line for line in told.splitlines() if line.startswith(f"  {name}@10:"))
        for name in ("ndcg", "coverage", "own")
    )
    assert ndcg.endswith("2 of 60 users have another value")
    assert coverage.endswith("5 of 60 users have another list")
    assert own == "  own@10: 1.0 recorded, not there now"
    assert "the run was made with code" in told
    Path("run/test_users.parquet").unlink()
    assert run_command(["evaluate", "run"]) == 1
    assert "of how many users is not known" in capsys.readouterr().err


def test_a_moved_project_needs_no_raw_log(capsys, monkeypatch):
    Path("here").mkdir()
    Path("log.csv").rename("here/log.csv")
    monkeypatch.chdir("here")
    assert train("run_dir=runs/one", base=COUNTS) == 0
    Path("log.csv").unlink()
    monkeypatch.chdir("..")
    Path("here").rename("there")
    assert run_command(["evaluate", "there/runs/one"]) == 0  # from outside
    monkeypatch.chdir("there")
    assert run_command(["evaluate", "runs/one"]) == 0
    Path("prepared").rename("away")
    assert run_command(["evaluate", "runs/one"]) == 2
    assert "table_log-" in (said := capsys.readouterr().err)
    assert "is missing: the run's prepared dataset. Restore it" in said
    assert run_command(["evaluate", "runs/one", "prepare=true"]) == 2
    assert "data.path=log.csv: no such file" in capsys.readouterr().err


def test_evaluate_refuses_what_is_no_finished_run(capsys):
    assert run_command(["evaluate", "nothing"]) == 2
    assert "nothing: no run there (run.json is missing)" in capsys.readouterr().err
    assert train("run_dir=run", base=COUNTS) == 0
    rewrite("run", {**record("run"), "status": "interrupted"})
    assert run_command(["evaluate", "run"]) == 2
    told = capsys.readouterr().err
    assert "status is 'interrupted', so it has no test result" in told
    assert "train resume=run" in told


@pytest.mark.parametrize(
    ("base", "name"),
    [(COUNTS, "model.npz"), (COUNTS, "config.yaml"), (SMALL, "checkpoints/best.safetensors")],
)
def test_evaluate_says_which_file_of_the_run_is_gone(capsys, base, name):
    assert train("run_dir=run", base=base) == 0
    Path("run", name).unlink()
    assert run_command(["evaluate", "run"]) == 2
    assert f"run/{name} is missing, so the run's numbers" in capsys.readouterr().err


def test_a_metric_to_watch_that_is_not_computed_is_refused(capsys):
    assert train("run_dir=run", "recipe.monitor=val/ndcg@7", "evaluation.ks=[5,10]") == 2
    told = capsys.readouterr().err
    assert "recipe.monitor: got 'val/ndcg@7', which validation does not compute" in told
    assert "use one of val/ndcg@5, val/ndcg@10, val/hr@5, val/hr@10, val/mrr@5" in told
    assert record("run")["status"] == "failed"


def test_a_run_that_failed_at_once_gives_its_folder_back(capsys):
    assert train("run_dir=out", "recipe.monitor=val/nothing") == 2
    assert record("out")["status"] == "failed"
    assert train("run_dir=out") == 0
    assert record("out")["config"]["recipe"]["monitor"] == "val/ndcg@10"
    assert train("run_dir=out") == 2  # a real run is not overwritten
    assert "already has a run" in capsys.readouterr().err
    Path("taken").write_text("")
    assert train("run_dir=taken") == 2
    assert "run_dir: taken is a file" in capsys.readouterr().err


def test_evaluate_refuses_other_data(capsys):
    assert train("run_dir=run", base=COUNTS) == 0
    prepared = Path(record("run")["data"]["path"])
    shutil.rmtree(prepared)
    assert run_command(["evaluate", "run"]) == 2
    assert "manifest.json is missing: the run's prepared dataset" in capsys.readouterr().err
    assert not prepared.exists()  # nothing is written that nobody asked for
    assert run_command(["evaluate", "run", "prepare=true"]) == 0
    shutil.rmtree(prepared)
    lines = Path("log.csv").read_text().splitlines()
    Path("log.csv").write_text("\n".join(lines[:-1]) + "\n")
    capsys.readouterr()
    assert run_command(["evaluate", "run", "prepare=true"]) == 2
    told = capsys.readouterr().err
    assert f"the run used data with fingerprint {record('run')['data']['fingerprint']}" in told
    assert "bring back the original data" in told


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
    assert summary["best/epoch"] == values["best"]["epoch"]
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
    assert "wandb failed and is left behind" in Path("run/run.log").read_text()


def test_dropped_rows_are_told_on_the_terminal(capsys):
    Path("log.csv").write_text(Path("log.csv").read_text() + ",i1,5\n")
    assert train("run_dir=run") == 0
    assert "missing user" in capsys.readouterr().err


def test_mixed_precision_with_clipping_trains():
    assert train("run_dir=run", "recipe.precision=bf16-mixed", "recipe.gradient_clip=1.0") == 0
