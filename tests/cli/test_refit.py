"""Runs with ``recipe.refit=true``: the chosen model once more, on training and validation."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from recsys_lab.cli.main import run_command
from recsys_lab.comparison.systems import group_runs
from recsys_lab.data.prepared import PreparedDataset
from recsys_lab.runs.record import RunRecord
from recsys_lab.training import fit as fit_module
from tests.cli.flow import COUNTS, ITEMS, USERS, record, train

WEIGHTS = "checkpoints/refit/best.safetensors"
REFIT = "recipe.refit=true"


pytestmark = pytest.mark.usefixtures("shop")


def counts(*places: int) -> np.ndarray:
    """Events of each item in the log, of the users' events with these numbers."""
    log = pl.read_csv("log.csv").sort("timestamp")
    number = pl.int_range(pl.len()).over("user_id")
    return log.filter(number.is_in(places))["item_id"].value_counts().sort("item_id")


def test_popularity_is_fit_to_both_parts(capsys):
    assert train("run_dir=run", REFIT, base=COUNTS) == 0
    assert train("run_dir=plain", base=COUNTS) == 0
    values, plain = record("run"), record("plain")
    data = PreparedDataset(values["data"]["path"])
    found = dict(zip(data.item_ids(), np.load("run/model.npz")["counts"], strict=True))
    assert found == dict(counts(*range(7)).iter_rows())  # all but the last, which is for the test
    assert values["refit"] == {
        "phases": ["train", "validation"], "users": USERS, "interactions": USERS * 7,
    }  # fmt: skip
    assert values["validation"] == plain["validation"]  # of the model before
    assert values["test"] != plain["test"]
    assert values["protocol"] == plain["protocol"]
    assert "refit: on the events of training and validation" in capsys.readouterr().out
    card = Path("run/card.md").read_text()
    assert "fit on the 420 events of training and validation" in card
    assert "| learned_from | training and validation |" in card
    assert "| learned_from | training |" in Path("plain/card.md").read_text()
    assert len(group_runs([RunRecord.load(Path(f)) for f in ("run", "plain")], "config")) == 2


def test_a_trained_model_learns_once_more_as_one_on_a_longer_log_does(capsys):
    """With one event more a user, training has what training and validation had before."""
    assert train("run_dir=run", REFIT) == 0
    values = record("run")
    epochs = values["best"]["epoch"] + 1
    assert f"from scratch, {epochs} epochs" in " ".join(capsys.readouterr().out.split())
    assert values["refit"]["epochs"] == epochs == len(values["refit"]["train_loss"])
    assert values["refit"]["interactions"] == USERS * 7
    assert len(values["epochs"]) == 3
    log = pl.read_csv("log.csv").sort("timestamp")
    last = log.group_by("user_id", maintain_order=True).last()
    later = last.with_columns(timestamp=pl.col("timestamp") + 10_000)
    pl.concat([log, later]).write_csv("longer.csv")
    assert train(
        "run_dir=other", "data.path=longer.csv", f"recipe.max_epochs={epochs}",
        "recipe.monitor=val/hr@20", "evaluation.exclude_seen=false",
    ) == 0  # fmt: skip
    other = record("other")
    assert other["data"]["num_items"] == values["data"]["num_items"] == ITEMS
    losses = [row["train/loss"] for row in other["epochs"]]
    assert values["refit"]["train_loss"] == losses


def test_killed_within_the_refit_then_resumed_then_trained_longer(monkeypatch, capsys):
    options = [REFIT, "recipe.checkpoint_every_steps=1"]
    assert train("run_dir=whole", *options) == 0
    whole = record("whole")
    assert whole["best"]["epoch"] == 2

    def dying(steps: int):
        asked = [0]

        def stop() -> bool:
            asked[0] += 1
            if asked[0] > steps:
                raise KeyboardInterrupt
            return False

        class Signal:
            def __enter__(self):
                return stop

            def __exit__(self, *_):
                return None

        return Signal

    with monkeypatch.context() as patch:
        steps = 2 * 4 + 2  # two epochs to choose by, of four steps; then two of the refit
        patch.setattr(fit_module, "_stop_signal", dying(steps))
        assert train("run_dir=run", *options, "recipe.max_epochs=2") == 130
    assert Path("run/checkpoints/refit/last.ckpt").exists()
    assert not Path("run", WEIGHTS).exists()
    assert run_command(["train", "resume=run"]) == 0
    assert record("run")["compute"]["events"] == whole["compute"]["events"] * 2 // 3
    assert run_command(["train", "resume=run", "recipe.max_epochs=3"]) == 0
    for name in (WEIGHTS, "checkpoints/best.safetensors", "test_users.parquet"):
        assert Path("run", name).read_bytes() == Path("whole", name).read_bytes()
    values = record("run")
    for name in ("epochs", "best", "validation", "test"):
        assert values[name] == whole[name]
    for name in ("epochs", "train_loss", "interactions"):
        assert values["refit"][name] == whole["refit"][name]
    assert values["compute"]["events"] == whole["compute"]["events"]
    assert [earlier["best"]["epoch"] for earlier in values["extended"]] == [1]  # and then 2
    assert run_command(["evaluate", "run"]) == 0
    assert "equal to the run record" in " ".join(capsys.readouterr().out.split())


def test_progress_of_a_refit_tells_its_epochs_and_no_validation(capsys):
    assert train("run_dir=run", REFIT, "recipe.max_epochs=2") == 0
    before, _, after = capsys.readouterr().out.partition("refit: on the events")
    assert "val/ndcg@10" in before
    lines = [line for line in after.splitlines() if line.startswith("epoch ")]
    losses = record("run")["refit"]["train_loss"]
    assert [line.partition(",")[0] for line in lines] == [
        f"epoch {number} of {len(losses)}: loss {loss:.4f}"
        for number, loss in enumerate(losses, start=1)
    ]
    assert "val/" not in " ".join(lines)
