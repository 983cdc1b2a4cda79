"""What a run cannot do is told before anything is trained; a leak is told and marked."""

import json
import logging
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from recsys_lab.cli.main import run_command
from recsys_lab.data.batches import EvaluationBatches
from recsys_lab.data.prepared import PreparedDataset
from recsys_lab.models.sequential.hstu import HSTU

TINY = [
    "data.num_users=60", "data.num_items=30", "recipe.max_epochs=1", "tracking=none",
    "prepared_dir=prepared",
]  # fmt: skip
SMALL = ["model.hidden_dim=8", "model.num_layers=1", "model.max_length=6"]


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def record(name):
    return json.loads((Path(name) / "run.json").read_text())


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["model=hstu", "model.time_bias=past"], "model.time_bias: got past"),
        (["inputs.context=[time.hour]"], "inputs.context: got 'time.hour'"),
        (["loss.kernel=liger"], "loss.kernel: got liger"),
    ],
)
def test_before_training_opens(given, said, capsys, monkeypatch):
    """The log has an order and no times."""

    def refuse(*_, **__):
        raise AssertionError("training has begun")

    monkeypatch.setattr("recsys_lab.training.fit.fit", refuse)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    rows = {"user": np.repeat(np.arange(30), 5), "item": np.tile(np.arange(15), 10)}
    pl.DataFrame(rows).write_csv("log.csv")
    log = ["data=table", "data.path=log.csv", "data.user_column=user", "data.item_column=item",
           "data.timestamp_column=null", "tracking=none", "run_dir=run"]  # fmt: skip
    assert run_command(["train", *log, *given]) != 0
    assert said in capsys.readouterr().err
    assert not record("run").get("trackers")  # no tracker was started


def test_a_fitted_model_reads_nothing_of_the_loss():
    assert run_command(["train", *TINY, "model=popularity", "loss.cosine=true", "run_dir=run"]) == 0


def test_a_leak_is_told_and_sets_a_run_apart(capsys, caplog):
    runs = {}
    for bias in ("past", "target"):
        caplog.clear()
        run = ["model=hstu", f"model.time_bias={bias}", *SMALL, f"run_dir={bias}"]
        with caplog.at_level(logging.WARNING):
            assert run_command(["train", *TINY, *run]) == 0
        assert ("leak: HSTU reads the time" in caplog.text) is (bias == "target")
        runs[bias] = record(bias)["protocol"]
    assert runs["target"]["fields"].pop("model_reads") == "time of the target"
    assert runs["target"]["fields"] == runs["past"]["fields"]
    assert runs["target"]["fingerprint"] != runs["past"]["fingerprint"]
    capsys.readouterr()
    assert run_command(["compare", "past", "target"]) != 0
    assert "model_reads" in capsys.readouterr().err
    assert run_command(["evaluate", "target"]) == 0
    assert "equal to the run record" in capsys.readouterr().out


@pytest.mark.parametrize("bias", ["none", "past", "target"])
def test_only_a_model_that_says_so_is_told_the_time_to_come(bias, monkeypatch):
    """The true time: that of the event after the history, for validation and for test."""
    told = []
    states = HSTU.query_states

    def watch(self, batch):
        told.append(batch)
        return states(self, batch)

    monkeypatch.setattr(HSTU, "query_states", watch)
    run = ["model=hstu", f"model.time_bias={bias}", *SMALL, "run_dir=run"]
    assert run_command(["train", *TINY, *run]) == 0
    assert told
    if bias != "target":
        assert all(batch.next_times_B is None for batch in told)
        return

    data = PreparedDataset(record("run")["data"]["path"])
    ends = {int(u): int(e) for u, _, e in data.segments("train")}
    for batch in (told[0], told[-1]):  # leave one out: validation comes after training, then test
        later = 0 if batch is told[0] else 1
        expected = [int(data.timestamps[ends[int(u)] + later]) for u in batch.users_B]
        assert batch.next_times_B.tolist() == expected


def test_batches_tell_nothing_unasked():
    assert run_command(["prepare", *TINY[:2], "prepared_dir=prepared"]) == 0

    (folder,) = [path.parent for path in Path("prepared").glob("*/manifest.json")]
    data = PreparedDataset(folder)
    options = {"batch_size": 9, "window": 3, "exclude_seen": True}
    for batch in EvaluationBatches(data, "test", **options):
        assert batch.history.next_times_B is None


def test_a_file_without_its_source_is_told_the_one_that_reads_it(capsys):
    rows = [f"u{n % 9},i{n % 7},{1_700_000_000 + n}" for n in range(60)]
    Path("till.csv").write_text("\n".join(["user_id,item_id,timestamp", *rows, ""]))
    assert run_command(["prepare", "data.path=till.csv"]) == 2
    said = capsys.readouterr().err
    assert "SyntheticShop has no option 'path'; add data=table, which has it" in said
    assert len(said) < 250  # and no list of all sources
    assert run_command(["prepare", "data.path=till.csv", "data=table"]) == 0
