"""Options of training, from the command line to the record."""

import shlex
from pathlib import Path

import polars as pl
import pytest

from recsys_lab.cli.main import run_command
from recsys_lab.training.profile import TABLE, TRACE
from tests.cli.flow import USERS, record, train

pytestmark = pytest.mark.usefixtures("shop")


def test_a_variant_is_recorded_under_its_own_name_and_a_published_model_under_its_class(capsys):
    for choice, name in (("item_knn", "ItemKNN"), ("item_knn_decayed", "item_knn_decayed")):
        base = ["data=table", "data.path=log.csv", f"model={choice}"]
        assert train(f"run_dir={choice}", base=base) == 0
        assert record(choice)["name"] == name
        assert record(choice)["config"]["name"] is None
    assert record("item_knn")["config"]["model"]["history_decay"] == 1
    assert "unused" not in capsys.readouterr().err
    assert train("run_dir=told", "recipe.max_epochs=3", "loss=bpr", base=base) == 0
    told = "recipe.max_epochs, loss: unused, as ItemKNN is fitted in one pass"
    assert told in " ".join(capsys.readouterr().err.split())
    assert record("item_knn")["test"] != record("item_knn_decayed")["test"]


def test_a_run_whose_best_epoch_is_its_last_validated_one_says_so(capsys):
    assert train("run_dir=run", "recipe.validate_every_epochs=2", "recipe.learning_rate=0.01") == 0
    values = record("run")
    judged = [row["epoch"] for row in values["epochs"] if "val/ndcg@10" in row]
    assert judged == [1, 2]  # the third epoch is the last one
    improving = values["best"]["epoch"] == 2
    assert values["best"]["still_improving"] is improving
    said = capsys.readouterr().err
    assert ("still improving" in said) is improving
    assert train("run_dir=longer", "recipe.max_epochs=1") == 0  # its only epoch is its best
    said = capsys.readouterr().err
    command = shlex.split(said.rpartition("train it longer, e.g. ")[2].splitlines()[0])
    assert command[1:] == ["train", f"resume={Path('longer').absolute()}", "recipe.max_epochs=2"]
    assert run_command(command[1:]) == 0
    assert len(record("longer")["epochs"]) == 2


def test_the_crop_decides_how_many_events_are_targets():
    """Six training events, a window of two: two of five are targets, or all of them."""
    epoch = ["recipe.max_epochs=1", "model.max_length=2"]
    for crop, events in (("last", 3), ("random", 3), ("sliding", 8)):  # 3 and, end to end, 3 and 2
        assert train(f"run_dir={crop}", f"recipe.crop={crop}", *epoch) == 0
        assert record(crop)["compute"]["events"] == USERS * events
        assert record(crop)["config"]["recipe"]["crop"] == crop


def test_negatives_from_the_batch_are_corrected_from_the_command_line():
    assert train(
        "run_dir=run", "loss=sampled_softmax", "loss.sampling=in_batch", "recipe.max_epochs=1"
    ) == 0  # fmt: skip


def test_looks_and_the_place_of_the_data_leave_the_numbers_alone():
    """And what is in effect is recorded, not what was asked for."""
    short = ["recipe.max_epochs=2", "recipe.accelerator=cpu", "recipe.batch_size=8"]
    looks = [
        "recipe.data_on_device=true", "recipe.log_every=2", "recipe.profile=1",
        "recipe.deterministic=true", "recipe.matmul_precision=medium", "tracking=csv",
    ]  # fmt: skip
    assert train("run_dir=plain", *short) == 0
    assert train("run_dir=looked", *short, *looks) == 0
    plain, looked = record("plain"), record("looked")
    for key in ("epochs", "validation", "test"):
        assert plain[key] == looked[key]
    weights = "checkpoints/best.safetensors"
    assert plain["files"][weights] == looked["files"][weights]
    assert plain["numerics"] | {
        "deterministic": True, "fill_uninitialized_memory": False,
    } == looked["numerics"]  # fmt: skip
    assert looked["numerics"]["matmul_precision"] == "highest"
    assert plain["identity"] == looked["identity"]
    rows = pl.read_csv("looked/csv/metrics.csv").filter(pl.col("step/loss").is_not_null())
    assert rows["step"].to_list() == list(range(1, plain["epochs"][-1]["step"], 2))
    assert rows["step/gradient_norm"].min() > 0
    assert {path.name for path in Path("looked/profile").iterdir()} == {TRACE, TABLE}
    refused = ["recipe.precision=16-mixed", "run_dir=half"]
    assert train(*short, *refused) == 2
    assert not Path("half").exists()
