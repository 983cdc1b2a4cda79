"""Runs that are stopped, killed, repeated or resumed, from the command line."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest

from recsys_lab.cli.main import run_command
from recsys_lab.runs.record import only_process
from tests.cli.flow import COUNTS, SMALL, record, rewrite, train

LONG = ["recipe.max_epochs=40", "recipe.patience=null", "recipe.checkpoint_every_steps=3"]


pytestmark = pytest.mark.usefixtures("shop", "quick_start")


def test_seeds_decide_the_result():
    for folder, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert train(f"run_dir={folder}", f"seed={seed}") == 0
    weights = [Path(f, "checkpoints/best.safetensors").read_bytes() for f in "abc"]
    assert weights[0] == weights[1]
    assert weights[0] != weights[2]
    assert record("a")["test"] == record("b")["test"]


def test_a_finished_run_is_shown_and_another_config_refused(capsys):
    assert train("run_dir=run") == 0
    assert train("run_dir=run") == 2
    assert "resume=auto" in capsys.readouterr().err
    assert train("run_dir=run", "resume=auto") == 0
    assert "this run is finished" in capsys.readouterr().out
    assert train("run_dir=run", "resume=auto", "model.hidden_dim=16") == 2
    said = capsys.readouterr().err
    assert "differs in model); resume that run, with its own config, with recsys-lab" in said
    assert train("run_dir=run", "resume=auto", "recipe.max_epochs=4", "recipe.patience=5") == 2
    longer = re.search(r"train that run longer with recsys-lab (.*), or", capsys.readouterr().err)
    assert longer is not None
    assert longer[1].split()[2:] == ["recipe.max_epochs=4", "recipe.patience=5"]
    assert run_command(longer[1].split()) == 0
    assert len(record("run")["epochs"]) == 4


def started(*arguments: str, epochs: int) -> subprocess.Popen[str]:
    """The command in a process of its own, once the record shows more than so many epochs."""
    command = [sys.executable, "-m", "recsys_lab", "train", *arguments]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    path = Path("stopped/run.json")
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        if path.exists() and len(record("stopped")["epochs"]) > epochs:
            break
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.02)
    return process


def test_stopped_by_hand_then_killed_then_resumed():
    process = started(*SMALL, *LONG, "tracking=none", "run_dir=stopped", epochs=2)
    os.kill(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 130
    assert "progress is saved. Resume with: recsys-lab train resume=" in errors
    assert "Traceback" not in errors
    assert record("stopped")["status"] == "interrupted"
    done = len(record("stopped")["epochs"])
    assert done < 40
    process = started("resume=stopped", epochs=done + 2)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=300)
    assert process.returncode == -signal.SIGKILL
    assert len(record("stopped")["epochs"]) < 40
    assert run_command(["train", "resume=stopped"]) == 0
    assert train("run_dir=whole", *LONG) == 0
    for name in ("checkpoints/best.safetensors", "test_users.parquet"):
        assert Path("stopped", name).read_bytes() == Path("whole", name).read_bytes()
    for name in ("epochs", "best", "validation", "test", "status"):
        assert record("stopped")[name] == record("whole")[name]


def test_auto_finds_the_unfinished_run_of_the_same_config(capsys):
    for _ in range(2):
        assert train(base=COUNTS) == 0
    first, _ = sorted(Path("runs").glob("*/*/run.json"))
    rewrite(first.parent, {**record(first.parent), "status": "interrupted"})
    assert train("resume=auto", "seed=1", base=COUNTS) == 0  # another config: a new run
    assert record(first.parent)["status"] == "interrupted"
    capsys.readouterr()
    assert train("resume=auto", base=COUNTS) == 0
    assert f"run: {first.parent.absolute()}" in capsys.readouterr().out
    assert record(first.parent)["status"] == "finished"
    assert len(list(Path("runs").glob("*/*"))) == 3


def test_two_processes_do_not_share_a_run(capsys):
    with only_process(Path("run")):
        assert train("run_dir=run") == 2
    assert "another process works on this run" in capsys.readouterr().err


def test_a_run_is_not_resumed_on_other_data(capsys):
    assert train("run_dir=run") == 0
    values = record("run")
    rewrite("run", {**values, "status": "interrupted"})
    log = pl.read_csv("log.csv").with_columns(item_id=pl.col("item_id") + "x")
    log.write_csv("log.csv")
    assert run_command(["train", "resume=run"]) == 2
    assert "the data have changed since the run began" in capsys.readouterr().err
    assert record("run")["data"] == values["data"]


def test_a_finished_run_is_trained_longer_to_what_it_would_have_been():
    assert train("run_dir=short", "recipe.max_epochs=2") == 0
    assert train("run_dir=long", "recipe.max_epochs=4") == 0
    before = record("short")
    assert run_command(["train", "resume=short", "recipe.max_epochs=4"]) == 0
    after, wanted = record("short"), record("long")
    for name in ("epochs", "best", "validation", "test"):
        assert after[name] == wanted[name]
    best = "checkpoints/best.safetensors"
    assert Path("short", best).read_bytes() == Path("long", best).read_bytes()
    [extended] = after["extended"]
    assert (extended["max_epochs"], extended["test"]) == (2, before["test"])
    assert after["config"]["recipe"]["max_epochs"] == 4
    assert run_command(["evaluate", "short"]) == 0
    assert run_command(["train", "resume=short"]) == 0  # finished, with its new config


@pytest.mark.parametrize(
    ("begun", "longer", "said"),
    [
        ([], "recipe.max_epochs=1", "recipe.max_epochs: got 1, expected at least 2"),
        ([], "recipe.batch_size=8", "resume: got recipe.batch_size=8, but a run resumes"),
        (["recipe.schedule=cosine"], "recipe.max_epochs=4", "recipe.schedule=cosine depend on"),
        (["recipe.learning_rate=0.3", "recipe.patience=1", "recipe.max_epochs=9"],
         "recipe.max_epochs=12", "recipe.patience=1 leaves nothing to train"),
    ],
)  # fmt: skip
def test_a_run_that_cannot_be_trained_longer_stays_as_it_is(capsys, begun, longer, said):
    assert train("run_dir=run", "recipe.max_epochs=2", *begun) == 0
    before = {path: path.read_bytes() for path in Path("run").rglob("*.*") if path.is_file()}
    assert run_command(["train", "resume=run", longer]) == 2
    assert said in " ".join(capsys.readouterr().err.split())
    assert {path: path.read_bytes() for path in before} == before
    if "patience" in said:  # the advice works
        assert run_command(["train", "resume=run", longer, "recipe.patience=null"]) == 0
        assert len(record("run")["epochs"]) == 12
