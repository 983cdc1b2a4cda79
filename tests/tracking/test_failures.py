"""Trackers that fail, and several at once."""

import json
import logging
import os
import subprocess
import sys
import time
import urllib.request
import warnings
from pathlib import Path

import polars as pl
import pytest
import wandb

from recsys_lab.config import build, config_dir
from recsys_lab.tracking.base import End, Tracker
from recsys_lab.tracking.wandb import sync_command
from tests.support.postgres import free_port
from tests.tracking.test_tracking import RUN, TABLES, logged, tracking

ROOT = Path(__file__).parents[2]
PATHS = os.pathsep.join([str(ROOT / "src"), str(ROOT)])


class Dead:
    """A W&B run of which everything raises but its name and what starts it."""

    id = "abc"

    def define_metric(self, *_, **__): ...

    def __getattr__(self, name: str):
        raise ConnectionError(f"no {name}")


class Mapped(Tracker):
    def start(self, *_):
        return {"id": "a"}


class Three(Tracker):
    def logger(self):
        return 3


class Leaves(Tracker):
    def start(self, *_):
        sys.exit("no licence")


class LeavesLater(Tracker):
    def log(self, *_):
        sys.exit(3)

    def finish(self, *_):
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("kind", "problem"),
    [
        ("Mapped", "start returned dict, expected a text or None"),
        ("Three", "logger returned int, expected a Logger of Lightning"),
        ("Leaves", "it called sys.exit(no licence)"),
    ],
)
def test_one_of_ones_own_that_does_not_start(tmp_path, monkeypatch, caplog, kind, problem):
    monkeypatch.setenv("RECSYS_LAB_ALLOWED_TARGETS", __name__)
    chosen = tracking("csv", {"_target_": f"{__name__}.{kind}"})
    assert list(chosen.start(RUN, tmp_path, {})) == ["csv"]
    assert len(chosen.loggers()) == 1
    assert f"{kind}() did not start, the run continues without it: {problem}" in caplog.text


def test_one_that_leaves_the_program_ends_nothing_but_ctrl_c_does(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("RECSYS_LAB_ALLOWED_TARGETS", __name__)
    chosen = tracking({"_target_": f"{__name__}.LeavesLater"})
    chosen.start(RUN, tmp_path, {})
    [logger] = chosen.loggers()
    logger.log_metrics({"val/ndcg@10": 0.5}, 3)
    assert "failed, the run continues without it: it called sys.exit(3)" in caplog.text
    with pytest.raises(KeyboardInterrupt):
        chosen.finish(End({"val/ndcg@10": 0.5}))


def test_a_start_that_fails_is_a_warning(tmp_path, monkeypatch, caplog):
    def refuse(**_):
        raise ConnectionError("no service")

    monkeypatch.setattr(wandb, "init", refuse)
    chosen = tracking("wandb", "csv")
    assert list(chosen.start(RUN, tmp_path, {})) == ["csv"]
    assert len(chosen.loggers()) == 1
    chosen.finish(End({"val/ndcg@10": 0.5}))
    assert "wandb did not start, the run continues without it: no service" in caplog.text


def test_the_service_of_a_program_that_has_ended_is_not_used(tmp_path):
    """A notebook that used W&B leaves the address of its service to the commands it starts."""
    code = (
        "from tests.tracking.test_tracking import RUN, tracking; from pathlib import Path;"
        "print(len(tracking('wandb').start(RUN, Path('.'), {})['wandb']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False,
        env={**os.environ, "WANDB_SERVICE": f"3-1-unix-{tmp_path}/gone", "PYTHONPATH": PATHS},
    )  # fmt: skip
    assert done.stdout.strip() == "8", done.stderr


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
    assert f"upload it later with: {sync_command(tmp_path)}" in caplog.text


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
        assert "wandb failed, the run continues without it: no " in caplog.text


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
    # Its workers for background jobs would outlive it.
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, env=environment, **quiet) as ui:
        try:
            address = f"http://127.0.0.1:{port}"
            until = time.monotonic() + 300
            while True:
                try:
                    page = asked(address)
                    break
                except OSError:
                    assert ui.poll() is None
                    assert time.monotonic() < until
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
