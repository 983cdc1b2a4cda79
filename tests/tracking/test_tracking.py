"""Trackers: what their own readers find afterwards, and that a broken one costs nothing."""

import json
import logging
import os
import subprocess
import sys
import time
import urllib.request
import warnings
from pathlib import Path
from types import SimpleNamespace

import polars as pl
import pytest
import wandb

from recsys_lab.config import build, config_dir
from recsys_lab.experiment.tracked import end_of
from recsys_lab.tracking.base import End, Start
from recsys_lab.tracking.tracking import Tracking
from tests.support.postgres import free_port
from tests.support.wandb_server import Synced, wandb_server

RUN = Start(
    id=None, name="a run", group="side by side", tags=["first", "second"], job_type="train",
    config={"seed": 3, "model": {"hidden_dim": 8}}, notes="why", commit="abc123",
)  # fmt: skip
TABLES = {
    "slices": pl.DataFrame({"value": ["head", "tail"], "ndcg@10": [0.5, 0.25]}),
    "examples": pl.DataFrame({"user": ["u1"], "history": ["Tea; Cup"], "list": ["* Pot"]}),
}


def tracking(*trackers: str, **changes) -> Tracking:
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


class Dead:
    """A W&B run of which everything raises but its name and what starts it."""

    id = "abc"

    def define_metric(self, *_, **__): ...

    def __getattr__(self, name: str):
        raise ConnectionError(f"no {name}")


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
        (0, 0.1),
        (1, 0.9),
        (2, 0.2),
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
    assert [row["epoch"] for row in synced.rows] == list(range(6))
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
        "best/epoch": 1, "best/ndcg@10": 0.3, "best/hr@10": 1, "val/ndcg@10": 0.3, "val/hr@10": 1,
    }  # fmt: skip


def as_synced(folder: Path) -> dict[str, Synced]:
    """What a server holds after ``wandb sync`` of the offline runs, by run."""
    runs = sorted(folder.glob("wandb/offline-run-*"))
    command = [Path(sys.executable).with_name("wandb"), "sync", *runs]
    with wandb_server() as (address, found):
        account = {"WANDB_BASE_URL": address, "WANDB_API_KEY": "a" * 40, "HOME": str(folder)}
        done = subprocess.run(
            command, env={**os.environ, **account}, capture_output=True, text=True, timeout=300
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


def test_a_start_that_fails_is_a_warning(tmp_path, monkeypatch, caplog):
    def refuse(**_):
        raise ConnectionError("no service")

    monkeypatch.setattr(wandb, "init", refuse)
    chosen = tracking("wandb", "csv")
    assert list(chosen.start(RUN, tmp_path, {})) == ["csv"]
    assert len(chosen.loggers()) == 1
    chosen.finish(End({"val/ndcg@10": 0.5}))
    assert "wandb did not start, the run goes on without it: no service" in caplog.text


def test_without_a_network_it_goes_on_offline(tmp_path, monkeypatch, caplog):
    asked = []

    def init(**options):
        asked.append(options["settings"].mode)
        if asked[-1] == "online":
            raise wandb.errors.CommError("timed out")
        return Dead()

    monkeypatch.setattr(wandb, "init", init)
    assert tracking("wandb", mode="online").start(RUN, tmp_path, {}) == {"wandb": "abc"}
    assert asked == ["online", "offline"]
    assert f"send it later with: wandb sync {tmp_path}" in caplog.text


@pytest.mark.parametrize("call", ["log_metrics", "log_hyperparams", "save", "finalize", "finish"])
def test_no_call_of_a_dead_tracker_raises(tmp_path, monkeypatch, caplog, call):
    monkeypatch.setattr(wandb, "init", lambda **_: Dead())
    chosen = tracking("wandb")
    chosen.start(RUN, tmp_path, {})
    [logger] = chosen.loggers()
    with caplog.at_level(logging.WARNING):
        if call == "finish":
            chosen.finish(End({"val/ndcg@10": 0.5}))
        elif call in ("save", "finalize"):
            getattr(logger, call)(*(["success"] if call == "finalize" else []))
        else:
            getattr(logger, call)({"val/ndcg@10": 0.5})
    if call in ("log_metrics", "log_hyperparams", "finish"):
        assert "wandb failed and is left behind, the run goes on: no " in caplog.text


def test_no_tracking_does_nothing(tmp_path):
    import yaml

    chosen = build(yaml.safe_load((config_dir() / "tracking" / "none.yaml").read_text()))
    assert chosen.start(RUN, tmp_path, {}) == {}
    assert chosen.loggers() == []
    chosen.finish(End({"val/ndcg@10": 0.5}, failed=True))
    assert list(tmp_path.iterdir()) == []


def test_csv_and_tensorboard_side_by_side(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    chosen = tracking("csv", "tensorboard")
    chosen.start(RUN, tmp_path, {})
    logged(chosen)
    for logger in chosen.loggers():
        logger.finalize("success")
    chosen.finish(End({"val/ndcg@10": 0.9}, TABLES))
    epochs = pl.read_csv(tmp_path / "csv" / "metrics.csv")
    assert epochs["val/ndcg@10"].to_list() == [0.1, 0.9, 0.2]
    assert (tmp_path / "csv" / "summary.csv").read_text() == "metric,value\nval/ndcg@10,0.9\n"
    assert pl.read_csv(tmp_path / "csv" / "slices.csv").equals(TABLES["slices"])
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [round(e.value, 6) for e in events.Scalars("val/ndcg@10")] == [0.1, 0.9, 0.2]
    assert round(events.Scalars("summary/val/ndcg@10")[0].value, 6) == 0.9


def asked(url: str, body: dict | None = None) -> bytes:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.read()


@pytest.mark.filterwarnings("ignore")  # of MLflow's own dependencies
def test_the_mlflow_ui_shows_the_run(tmp_path):
    """A local store, and the real server over it, asked as the page in the browser asks."""
    store = f"sqlite:///{tmp_path / 'mlflow.db'}"
    kept = tmp_path / "run.json"
    kept.write_text("{}")
    chosen = tracking("mlflow", mlflow_uri=store)
    ids = chosen.start(RUN, tmp_path, {})
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        logged(chosen)
    assert not [w for w in told if "special characters" in str(w.message)]
    chosen.finish(End({"val/ndcg@10": 0.9}))
    port = free_port()
    command = [
        Path(sys.executable).with_name("mlflow"), "ui", "--backend-store-uri", store,
        "--port", str(port), "--workers", "1",
    ]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as ui:
        try:
            address = f"http://127.0.0.1:{port}"
            for _ in range(120):
                try:
                    page = asked(address)
                    break
                except OSError:
                    time.sleep(0.5)
            assert b"<title>MLflow</title>" in page
            api = f"{address}/api/2.0/mlflow"
            answer = json.loads(asked(f"{api}/runs/get?run_id={ids['mlflow']}"))["run"]
        finally:
            ui.terminate()
    assert answer["info"]["run_name"] == "a run"
    assert answer["info"]["status"] == "FINISHED"
    metrics = {m["key"]: m["value"] for m in answer["data"]["metrics"]}
    assert metrics["summary/val/ndcg_at_10"] == 0.9
    assert metrics["val/ndcg_at_10"] == 0.2  # the last epoch's, by the same name
    assert set(metrics) == {"val/ndcg_at_10", "summary/val/ndcg_at_10", "epoch"}
    params = {p["key"]: p["value"] for p in answer["data"]["params"]}
    assert params == {"seed": "3", "model.hidden_dim": "8"}
    tags = {t["key"]: t["value"] for t in answer["data"]["tags"]}
    assert tags["group"] == "side by side"
    assert tags["commit"] == "abc123"
