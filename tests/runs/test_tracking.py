"""Trackers: what W&B's own reader finds afterwards, and that a broken one costs nothing."""

import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest
import wandb

from recsys_lab.config import build
from recsys_lab.runs.tracking import NoTracking, WandbTracking

RUN = {
    "id": None, "name": "a run", "group": "side by side", "tags": ["first", "second"],
    "job_type": "train", "config": {"seed": 3, "model": {"hidden_dim": 8}},
}  # fmt: skip


def tracking(mode: str = "offline") -> WandbTracking:
    return WandbTracking(
        WandbTracking.Config(mode=mode, project="mine", entity=None, init_timeout=20)
    )


def read(folder: Path, *flags: str) -> str:
    """What ``wandb leet inspect``, the reader that wandb supports, says of the only run."""
    [log] = folder.glob("wandb/offline-run-*/*.wandb")
    command = [Path(sys.executable).with_name("wandb"), "leet", "inspect", "--json", *flags, log]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


class Dead:
    """A W&B run of which everything raises but its name."""

    id = "abc"

    def __getattr__(self, name: str):
        raise ConnectionError(f"no {name}")


def test_the_summary_is_the_best_epoch_although_a_worse_one_was_logged_last(tmp_path):
    tracker = tracking()
    assert tracker.start(RUN, tmp_path)
    logger = tracker.logger()
    for step, value in enumerate([0.1, 0.9, 0.2]):
        logger.log_metrics({"val/ndcg@10": value, "epoch": step}, step)
    tracker.finish({"val/ndcg@10": 0.9, "test/ndcg@10": 0.8, "best/epoch": 1})
    told = json.loads(read(tmp_path, "--summary"))
    assert told["summary"]["val/ndcg@10"] == 0.9
    assert told["summary"]["test/ndcg@10"] == 0.8
    assert told["summary"]["best/epoch"] == 1
    assert told["config"]["model"]["hidden_dim"] == 8
    assert told["config"]["seed"] == 3
    assert told["exit_code"] == 0
    lines = [json.loads(line) for line in read(tmp_path).splitlines()]
    rows = [line["history"]["item"] for line in lines if line["type"] == "history"]
    assert [(row["epoch"], row["val/ndcg@10"]) for row in rows] == [(0, 0.1), (1, 0.9), (2, 0.2)]


def test_the_run_is_named_as_asked(tmp_path):
    tracker = tracking()
    identifier = tracker.start(RUN, tmp_path)
    run = tracker.logger().experiment
    assert (run.name, run.group, run.tags) == ("a run", "side by side", ("first", "second"))
    assert (run.project, run.id) == ("mine", identifier)
    tracker.finish({}, failed=True)
    assert json.loads(read(tmp_path, "--summary"))["exit_code"] == 1


def test_an_earlier_run_is_continued_under_its_id(tmp_path):
    tracker = tracking()
    assert tracker.start({**RUN, "id": "earlier1"}, tmp_path) == "earlier1"
    tracker.finish({})


def test_a_start_that_fails_is_a_warning(tmp_path, monkeypatch, caplog):
    def refuse(**_):
        raise ConnectionError("no service")

    monkeypatch.setattr(wandb, "init", refuse)
    tracker = tracking()
    assert tracker.start(RUN, tmp_path) is None
    assert tracker.logger() is None
    tracker.finish({"val/ndcg@10": 0.5})
    assert "W&B (offline) did not start: no service" in caplog.text


def test_without_a_network_it_goes_on_offline(tmp_path, monkeypatch, caplog):
    asked = []

    def init(**options):
        asked.append(options["settings"].mode)
        if asked[-1] == "online":
            raise wandb.errors.CommError("timed out")
        return Dead()

    monkeypatch.setattr(wandb, "init", init)
    assert tracking("online").start(RUN, tmp_path) == "abc"
    assert asked == ["online", "offline"]
    assert f"send it later with: wandb sync {tmp_path}" in caplog.text


@pytest.mark.parametrize("call", ["log_metrics", "log_hyperparams", "save", "finalize", "finish"])
def test_no_call_of_a_dead_tracker_raises(tmp_path, monkeypatch, caplog, call):
    monkeypatch.setattr(wandb, "init", lambda **_: Dead())
    tracker = tracking()
    tracker.start(RUN, tmp_path)
    logger = tracker.logger()
    with caplog.at_level(logging.WARNING):
        if call == "finish":
            tracker.finish({"val/ndcg@10": 0.5})
        elif call in ("save", "finalize"):
            getattr(logger, call)(*(["success"] if call == "finalize" else []))
        else:
            getattr(logger, call)({"val/ndcg@10": 0.5})
    if call in ("log_metrics", "log_hyperparams", "finish"):
        assert "the tracker failed and is left behind, the run goes on: no " in caplog.text


def test_no_tracking_does_nothing(tmp_path):
    tracker = build({"_target_": "recsys_lab.runs.tracking.NoTracking"})
    assert isinstance(tracker, NoTracking)
    assert tracker.start(RUN, tmp_path) is None
    assert tracker.logger() is None
    tracker.finish({"val/ndcg@10": 0.5}, failed=True)
    assert list(tmp_path.iterdir()) == []
