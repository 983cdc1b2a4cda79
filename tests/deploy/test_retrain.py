"""``recsys-lab retrain``: the config of a finished run on newer data."""

import json
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.numpy import load_file

from recsys_lab.cli.main import run_command
from recsys_lab.data.prepared import PreparedDataset
from recsys_lab.deploy.retrain.changes import data_changes
from recsys_lab.runs.record import RunRecord
from tests.cli.flow import COUNTS, in_shop, record, rewrite, train
from tests.deploy.retraining import ONE, STILL, outcome

DAY = 86_400


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A folder with a trained and a fitted run, and a newer log with one more item."""
    folder = tmp_path_factory.mktemp("source")
    with pytest.MonkeyPatch.context() as patch, in_shop(folder, patch):
        assert train("run_dir=first", ONE) == 0
        assert train("run_dir=counts", base=COUNTS) == 0
        later = pl.DataFrame(
            {
                "user_id": ["u1", "u2", "u3", "new"] * 3,
                "item_id": [
                    "0 a",
                    "i4",
                    "i9",
                    "i4",
                    "i6",
                    "0 a",
                    "i7",
                    "i8",
                    "i5",
                    "i3",
                    "i2",
                    "0 a",
                ],
                "timestamp": [3 * DAY + n for n in range(12)],
            }
        )
        pl.concat([pl.read_csv("log.csv"), later]).write_csv("new.csv")
    return folder


@pytest.fixture(autouse=True)
def shop(source, tmp_path, monkeypatch):
    shutil.copytree(source, tmp_path, dirs_exist_ok=True)
    with in_shop(tmp_path, monkeypatch):
        yield


@pytest.fixture
def retrain(capsys):
    return partial(outcome, capsys)


def test_without_news_nothing_is_trained(retrain):
    before = {path for path in Path().rglob("*") if "runs" not in path.parts}
    said = retrain("first", "verify=sizes", "tracking.trackers=[]")
    assert (said["status"], said["exit_code"], said["run"]) == ("nothing_new", 0, None)
    assert {path for path in Path().rglob("*") if "runs" not in path.parts} == before
    assert not list(Path("runs").glob("*/*"))  # not even an empty folder
    # A copy of the file is the same data; another option is news, and so is force.
    shutil.copy("log.csv", "copy.csv")
    assert retrain("first", "data.path=copy.csv", "warm=true")["status"] == "nothing_new"
    said = retrain("counts", "force=true", "run_dir=forced")
    assert said["status"] == "trained"
    assert record("forced")["test"] == record("counts")["test"] == said["test"]
    assert retrain("counts", "model.half_life_days=3", "evaluation.ks=[5]")["exit_code"] == 2


def test_a_warm_run_names_its_parent_and_starts_a_new_optimizer(retrain):
    said = retrain("first", "data.path=new.csv", "run_dir=second", "warm=true", "window=3d", ONE)
    first, second = record("first"), record("second")
    digest = first["files"]["checkpoints/best.safetensors"]["sha256"]
    assert said["status"] == "trained"
    assert said["run"] == str(Path("second").resolve())
    noted = second["retrain"]
    assert noted == json.loads(Path("second/retrain.json").read_text())
    assert noted["parent"] == {
        "run": str(Path("first").resolve()),
        "name": "SASRec",
        "weights": "checkpoints/best.safetensors",
        "weights_sha256": digest,
        "data_fingerprint": first["data"]["fingerprint"],
    }
    assert noted["warm"] is True
    assert second["init_from"]["weights_sha256"] == digest
    assert second["init_from"]["new_rows"].startswith("mean of the matched vectors plus")
    # 0 .. 7059 s are of the first log, 3 days later is the last event; a second before is dropped.
    assert second["config"]["filter"]["window"] == noted["window"] == "3d"
    assert noted["changes"]["items"]["gained"] == 1
    assert {k: second["config"][k] for k in ("model", "loss", "seed")} == {
        k: first["config"][k] for k in ("model", "loss", "seed")
    }
    state = torch.load("second/checkpoints/last.ckpt", weights_only=False)
    steps = {int(s["step"]) for s in state["optimizer_states"][0]["state"].values()}
    assert steps == {state["global_step"]}
    shape = load_file("second/checkpoints/best.safetensors")["items.weight"].shape
    assert shape[0] == second["data"]["num_items"]
    # The new run is an ordinary run, also a parent.
    assert run_command(["evaluate", "second"]) == 0
    assert retrain("second", "data.path=new.csv")["status"] == "nothing_new"


def test_what_changed_by_hand():
    old = pl.DataFrame(
        {
            "user_id": [1, 1, 1, 1, 2, 2, 2], "item_id": [1, 2, 3, 4, 1, 2, 4],
            "timestamp": [0, 1, 2, 2 * DAY, 5, 6, 7],
        }
    )  # fmt: skip
    new = pl.DataFrame(  # item 3 is gone; user x and item b are new, and ids are texts
        {
            "user_id": ["1", "1", "1", "2", "2", "2", "x", "x", "x"],
            "item_id": ["1", "2", "4", "1", "2", "4", "1", "b", "4"],
            "timestamp": [0, 1, 2 * DAY, 5, 6, 9, 2 * DAY, 2 * DAY + 1, 3 * DAY],
        }
    )
    old.write_csv("old_small.csv")
    new.write_csv("new_small.csv")
    data = []
    for name in ("old_small", "new_small"):
        assert run_command(["prepare", "data=table", f"data.path={name}.csv"]) == 0
        (folder,) = Path("prepared").glob(f"table_{name}-*")
        data.append(PreparedDataset(folder))
    changes = data_changes(*data)
    assert changes["users"] == {"old": 2, "new": 3, "shared": 2, "gained": 1, "lost": 0}
    assert changes["items"] == {"old": 4, "new": 4, "shared": 3, "gained": 1, "lost": 1}
    # Of user 2 the last event has another time; two events are after 2 days.
    assert changes["events"] == {"old": 7, "new": 9, "shared": 5, "later": 2}
    assert changes["days"]["new"] == {
        "first": "1970-01-01T00:00:00+00:00", "last": "1970-01-04T00:00:00+00:00", "covered": 3.0,
    }  # fmt: skip
    assert (changes["days"]["overlap"], changes["older"]) == (2.0, False)
    assert data_changes(*data[::-1])["older"] is True


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["first", "warm=true", "model.hidden_dim=16"],
         "warm=true: model.hidden_dim is 8 in RUN and 16 here"),
        (["first", "model=gru4rec"], "retrain keeps the choices of the run's config"),
        (["first", "tracking=nowhere"], "Choices: csv, mlflow, none, tensorboard, wandb"),
        (["first", "data=synthetic_shop"], "data=synthetic_shop: retrain keeps"),
        (["first", "experiment=best"], "experiment=best: retrain keeps"),
        (["first", "model.hiden_dim=16"], "did you mean 'hidden_dim'"),
        (["first", "recipe.max_epochs=0", "warm=maybe"], "2 problems in the config"),
        (["first", "window=90"], "window: got '90', expected a number of days or weeks"),
        (["first", "init_from=first"], "use warm=true"),
        (["first", "resume=first"], "recsys-lab train resume=first"),
        (["first", "run_dir=first", "seed=1"], "is RUN itself"),
        (["first", "run_dir=counts", "seed=1"], "already has a run"),
        (["first", "seed=1,2"], "one value per key"),
        (["counts", "warm=true"], "warm=true: Popularity is a fitted model without weights"),
        (["nowhere"], "retrain: there is no folder"),
        (["prepared"], "is not a run directory: it has no run.json"),
        ([], "give a run: recsys-lab retrain RUN"),
        (["first", "counts"], "expected one RUN, got 2"),
        (["open"], "finish it first: recsys-lab train resume="),
        (["trial"], "a trial of a sweep, which has no test result"),
        (["windows"], "a back-test, whose windows are runs of their own"),
        (["damaged"], "damaged"),
        (["first", "data.path=columns.csv"], "item_id"),
        (["first", "data.path=missing.csv"], "missing.csv"),
    ],
)  # fmt: skip
def test_refused(arguments, message, retrain):
    name = arguments[0] if arguments else ""
    if name in ("open", "trial", "windows", "damaged"):
        shutil.copytree("first", name)
        values = record(name)
    if name == "open":
        RunRecord.load(Path("open")).update(status="interrupted")
    elif name == "trial":
        rewrite(name, {k: v for k, v in values.items() if k != "test"})
    elif name == "windows":
        rewrite(name, {**values, "windows": []})
    elif name == "damaged":
        with Path("damaged/run.json").open("a") as file:
            file.write(" x")
    elif "columns" in str(arguments):
        pl.read_csv("log.csv").rename({"item_id": "product"}).write_csv("columns.csv")
    said = retrain(*arguments)
    assert (said["status"], said["exit_code"]) == ("failed", 2)
    assert message in said["error"]
    assert not [folder for folder in Path("runs").glob("*/*") if not any(folder.iterdir())]


def test_a_fitted_model_is_fitted_again(retrain):
    said = retrain("counts", "data.path=new.csv", "run_dir=second")
    assert said["status"] == "trained"
    assert train("run_dir=alone", "data.path=new.csv", base=COUNTS) == 0
    assert record("second")["test"] == record("alone")["test"]
    assert record("second")["retrain"]["parent"]["weights"] == "model.npz"


def test_older_data_are_warned_of_and_recorded(retrain, caplog):
    log = pl.read_csv("log.csv")
    log.filter(pl.col("timestamp") < 7000).write_csv("older.csv")
    said = retrain("counts", "data.path=older.csv", "run_dir=second")
    assert said["changes"]["older"] is True
    assert "are these the newer data?" in caplog.text


def without_dataset(name):
    """Make a run's dataset one that is not where it was."""
    values = record(name)
    path = Path(values["data"]["path"])
    shutil.rmtree(Path("prepared") / path.name, ignore_errors=True)
    rewrite(name, {**values, "data": {**values["data"], "path": f"/nowhere/{path.name}"}})


def test_without_the_old_dataset_a_cold_run_goes_on(retrain):
    for name in ("first", "counts"):
        without_dataset(name)
    said = retrain("first", "data.path=new.csv", "warm=true", "run_dir=second")
    assert "prepare=true makes it from its source" in said["error"]
    said = retrain("counts", "data.path=new.csv", "run_dir=second")
    assert (said["status"], said["changes"]) == ("trained", None)


def test_a_stopped_run_is_resumed_by_the_plain_advice_or_the_same_command(retrain, monkeypatch):
    command = ["first", "data.path=new.csv", "warm=true", "recipe.max_epochs=2"]
    assert retrain(*command, "run_dir=whole")["status"] == "trained"

    note_epochs = RunRecord.note_epochs

    def stopped(self, history, seconds):
        note_epochs(self, history, seconds)
        if len(history) == 1:
            raise KeyboardInterrupt

    for number, again in enumerate((["train"], ["retrain", *command, "resume=auto"])):
        monkeypatch.setattr(RunRecord, "note_epochs", stopped)
        own = [] if number else ["run_dir=parts"]
        said = retrain(*command, *own)
        assert (said["status"], said["exit_code"]) == ("interrupted", 130)
        monkeypatch.setattr(RunRecord, "note_epochs", note_epochs)
        folder = said["error"].rpartition("resume=")[2]
        assert said["run"] == str(Path(folder).resolve())
        advice = [*again, f"resume={folder}"] if again == ["train"] else again
        assert run_command(advice) == 0
        assert record(folder)["test"] == record("whole")["test"]
        assert record(folder)["retrain"] == record("whole")["retrain"]
        assert len(record(folder)["epochs"]) == 2
        ours, theirs = (load_file(f"{f}/checkpoints/best.safetensors") for f in (folder, "whole"))
        assert all(np.array_equal(ours[name], theirs[name]) for name in theirs)


def test_a_stop_before_training_leaves_nothing_and_says_how_to_go_on(retrain, monkeypatch):
    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("recsys_lab.deploy.retrain.run.prepare_from", stopped)
    said = retrain("counts", "data.path=new.csv", "run_dir=second")
    assert (said["status"], said["exit_code"], said["run"]) == ("interrupted", 130, None)
    assert "Run the same command again" in said["error"]
    assert not Path("second").exists()


def test_another_tracking_is_recorded_and_single_keys_count_after_it(retrain):
    command = ["counts", "data.path=new.csv", "run_dir=second"]
    said = retrain(*command, "tracking.project=shop", "tracking=csv")
    assert said["status"] == "trained"
    stored = record("second")["config"]["tracking"]
    assert (stored["trackers"], stored["project"]) == (["csv"], "shop")
    assert record("counts")["config"]["tracking"]["trackers"] == []


def test_a_run_that_stopped_on_older_data_is_left_alone(retrain):
    for name in ("first", "counts"):
        shutil.copytree(name, f"runs/2020-01-01/{name}")
    RunRecord.load(Path("runs/2020-01-01/counts")).update(status="interrupted")
    said = retrain("counts", "data.path=new.csv", "resume=auto")
    assert said["status"] == "trained"
    assert "2020-01-01" not in said["run"]


def test_a_moved_project(retrain, tmp_path, monkeypatch):
    values = record("first")
    elsewhere = f"/nowhere/{Path(values['data']['path']).name}"
    rewrite("first", {**values, "data": {**values["data"], "path": elsewhere}})
    (tmp_path / "moved").mkdir()
    for name in ("first", "prepared", "new.csv"):
        shutil.move(name, f"moved/{name}")
    monkeypatch.chdir(tmp_path / "moved")
    said = retrain("first", "data.path=new.csv", "warm=true", "run_dir=second", *STILL)
    assert (said["status"], said["changes"]["items"]["gained"]) == ("trained", 1)
