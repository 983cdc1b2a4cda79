"""Trackers: what their own readers find afterwards, and that a broken one costs nothing."""

import json
import logging
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import polars as pl
import pytest

from recsys_lab.config import Chosen
from recsys_lab.experiment.tracked import end_of
from recsys_lab.tracking.base import End, Start
from recsys_lab.tracking.tracking import Tracking
from recsys_lab.tracking.wandb import sync_command
from tests.support.wandb_server import Synced, wandb_server

RUN = Start(
    id=None, name="a run", group="side by side", tags=["first", "second"], job_type="train",
    config={"seed": 3, "model": {"hidden_dim": 8}}, notes="why", commit="abc123",
)  # fmt: skip
TABLES = {
    "slices": pl.DataFrame({"value": ["head", "tail"], "ndcg@10": [0.5, 0.25]}),
    "examples": pl.DataFrame({"user": ["u1"], "history": ["Tea; Cup"], "list": ["* Pot"]}),
}


def tracking(*trackers: Chosen, **changes) -> Tracking:
    options = {
        "project": "mine", "mode": "offline", "entity": None, "init_timeout": 20.0,
        "mlflow_uri": "sqlite:///mlflow.db", "artifacts": False, **changes,
    }  # fmt: skip
    return Tracking(Tracking.Config(trackers=list(trackers), **options))


def read(folder: Path, *flags: str) -> str:
    """What ``wandb leet inspect``, the reader that wandb supports, says of the latest run."""
    log = max(folder.glob("wandb/offline-run-*/*.wandb"))
    command = [Path(sys.executable).with_name("wandb"), "leet", "inspect", "--json", *flags, log]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def lines(folder: Path) -> list[dict]:
    """Everything in its log."""
    return [json.loads(line) for line in read(folder).splitlines()]


def logged(chosen: Tracking, values=(0.1, 0.9, 0.2), first=0) -> None:
    for step, value in enumerate(values, start=first):
        for logger in chosen.loggers():
            logger.log_metrics({"val/ndcg@10": value, "epoch": step}, step)


def test_the_summary_is_the_best_epoch_although_a_worse_one_was_logged_last(tmp_path):
    chosen = tracking("wandb", artifacts=True)
    assert chosen.start(RUN, tmp_path, {})["wandb"]
    logged(chosen)
    kept = tmp_path / "run.json"
    kept.write_text("{}")
    summary = {"val/ndcg@10": 0.9, "test/ndcg@10": 0.8, "best/epoch": 1}
    chosen.finish(End(summary, TABLES, {"run.json": kept}))
    told = json.loads(read(tmp_path, "--summary"))
    assert told["summary"]["val/ndcg@10"] == 0.9
    assert told["summary"]["test/ndcg@10"] == 0.8
    assert told["summary"]["best/epoch"] == 1
    assert told["summary"]["slices"]["_type"] == "table-file"
    assert told["summary"]["slices"]["nrows"] == 2
    assert told["config"]["model"]["hidden_dim"] == 8
    assert told["config"]["seed"] == 3
    assert told["config"]["code_commit"] == "abc123"
    assert told["exit_code"] == 0
    rows = [line["history"]["item"] for line in lines(tmp_path) if line["type"] == "history"]
    assert [(row["epoch"], row["val/ndcg@10"]) for row in rows[:3]] == [
        (1, 0.1),  # Lightning counts from 0
        (2, 0.9),
        (3, 0.2),
    ]
    [stored] = tmp_path.glob("wandb/offline-run-*/files/media/table/slices*.json")
    assert json.loads(stored.read_text())["data"] == [["head", 0.5], ["tail", 0.25]]
    [shown] = tmp_path.glob("wandb/offline-run-*/files/media/table/examples*.json")
    assert json.loads(shown.read_text())["columns"] == ["user", "history", "list"]
    assert json.loads(shown.read_text())["data"] == [["u1", "Tea; Cup", "* Pot"]]


def test_the_run_is_named_as_asked(tmp_path):
    chosen = tracking("wandb")
    ids = chosen.start(RUN, tmp_path, {})
    [logger] = chosen.loggers()
    run = logger.experiment
    assert (run.name, run.group, run.tags) == ("a run", "side by side", ("first", "second"))
    assert (run.project, run.id, run.notes, run.job_type) == ("mine", ids["wandb"], "why", "train")
    chosen.finish(End({}, failed=True))
    assert json.loads(read(tmp_path, "--summary"))["exit_code"] == 1
    stored = next(line["run"] for line in lines(tmp_path) if line["type"] == "run")
    assert stored["display_name"] == "a run"
    assert stored["run_group"] == "side by side"
    assert stored["tags"] == ["first", "second"]
    assert (stored["project"], stored["notes"], stored["job_type"]) == ("mine", "why", "train")


@pytest.mark.parametrize("wanted", [True, False])
def test_files_are_kept_where_that_is_asked_for(tmp_path, wanted):
    names = ("best.safetensors", "test_users.parquet", "run.json")
    for size, name in enumerate(names, start=1):
        (tmp_path / name).write_bytes(b"x" * size)
    chosen = tracking("wandb", artifacts=wanted)
    chosen.start(RUN, tmp_path, {})
    chosen.finish(End({}, {}, {name: tmp_path / name for name in names}))
    kept = [line["artifact"] for line in lines(tmp_path) if line["type"] == "artifact"]
    contents = [entry for artifact in kept for entry in artifact["manifest"]["contents"]]
    sizes = {entry["path"]: int(entry["size"]) for entry in contents}
    assert sizes == ({name: n for n, name in enumerate(names, start=1)} if wanted else {})


def test_an_earlier_run_is_continued_under_its_id(tmp_path):
    chosen = tracking("wandb")
    assert chosen.start(RUN, tmp_path, {"wandb": "earlier1"}) == {"wandb": "earlier1"}
    chosen.finish(End({}))


def test_the_steps_of_a_resumed_run_go_on(tmp_path):
    found = {}
    for first in (0, 3):
        chosen = tracking("wandb")
        found = chosen.start(RUN, tmp_path, found)
        logged(chosen, first=first)
        chosen.finish(End({"val/ndcg@10": 0.9}))
        rows = [line["history"] for line in lines(tmp_path) if line["type"] == "history"]
        steps = [(row["step"]["num"], row["item"]["trainer/global_step"]) for row in rows]
        assert steps == [(step, step) for step in range(first, first + 3)]
        metrics = [line["metric"] for line in lines(tmp_path) if line["type"] == "metric"]
        axes = {metric.get("name") or metric["glob_name"]: metric for metric in metrics}
        assert axes["*"]["step_metric"] == "trainer/global_step"
        assert {"epoch", "trainer/global_step"} < set(axes)
        time.sleep(1.1)  # W&B names its folders by the second
    synced = as_synced(tmp_path)[found["wandb"]]
    assert [row["_step"] for row in synced.rows] == list(range(6))  # no row lies on another
    assert [row["trainer/global_step"] for row in synced.rows] == list(range(6))
    assert [row["epoch"] for row in synced.rows] == list(range(1, 7))
    assert [row["val/ndcg@10"] for row in synced.rows] == [0.1, 0.9, 0.2] * 2
    assert synced.posts == 2
    assert synced.summary["val/ndcg@10"] == 0.9
    assert synced.config["model"]["value"] == {"hidden_dim": 8}
    # W&B's own form: 1 is a metric's name, 2 its pattern, 5 the place of its axis, from 1.
    axes = synced.config["_wandb"]["value"]["m"]
    assert {axis["1"] for axis in axes if "1" in axis} == {"trainer/global_step", "epoch"}
    [every] = [axis for axis in axes if axis.get("2") == "*"]
    assert axes[every["5"] - 1]["1"] == "trainer/global_step"


def test_the_summary_of_a_stopped_run_is_its_best_epoch(tmp_path):
    rows = [{"epoch": n, "val/ndcg@10": v, "val/hr@10": n} for n, v in enumerate((0.1, 0.3, 0.3))]
    values = {
        "config": {"recipe": {"monitor": "val/ndcg@10"}}, "compute": {},
        "epochs": [*rows, {"epoch": 3, "train/loss": 2.0}],
    }  # fmt: skip
    stopped = end_of(
        None, SimpleNamespace(folder=tmp_path, values=values, weights="none"), failed=True
    )
    assert stopped.summary == {
        "best/epoch": 2, "best/ndcg@10": 0.3, "best/hr@10": 1, "val/ndcg@10": 0.3, "val/hr@10": 1,
    }  # fmt: skip


def as_synced(folder: Path) -> dict[str, Synced]:
    """What a server holds after the command that the lab advises, by run."""
    command = f"{Path(sys.executable).parent}/{sync_command(folder)}"
    with wandb_server() as (address, found):
        account = {"WANDB_BASE_URL": address, "WANDB_API_KEY": "a" * 40, "HOME": str(folder)}
        done = subprocess.run(
            command,
            shell=True,
            env={**os.environ, **account},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        return found


@pytest.mark.parametrize(("variable", "started"), [("disabled", False), ("offline", True)])
def test_wandbs_own_variable_is_heeded(tmp_path, monkeypatch, caplog, variable, started):
    monkeypatch.setenv("WANDB_MODE", variable)
    caplog.set_level(logging.INFO)
    chosen = tracking("wandb", mode="online")
    assert bool(chosen.start(RUN, tmp_path, {})) is started
    chosen.finish(End({}))
    assert bool(list(tmp_path.glob("wandb/offline-run-*"))) is started
    assert ("W&B is off: WANDB_MODE=disabled" in caplog.text) is not started


def test_rows_of_a_resumed_run_are_added(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for first in (0, 3):
        chosen = tracking("csv", "tensorboard")
        chosen.start(RUN, tmp_path, {"csv": "a run", "tensorboard": "a run"} if first else {})
        logged(chosen, first=first)
        if first:
            for logger in chosen.loggers():
                logger.log_metrics({"seconds": 1.5}, 6)
        for logger in chosen.loggers():
            logger.finalize("success")
        chosen.finish(End({}))
    rows = pl.read_csv(tmp_path / "csv" / "metrics.csv")
    assert rows["step"].to_list() == [0, 1, 2, 3, 4, 5, 6]
    assert rows["val/ndcg@10"].to_list() == [0.1, 0.9, 0.2, 0.1, 0.9, 0.2, None]
    assert rows["seconds"].to_list() == [None] * 6 + [1.5]
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Scalars("val/ndcg@10")] == [0, 1, 2, 3, 4, 5]
