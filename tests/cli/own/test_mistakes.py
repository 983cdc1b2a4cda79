"""One's own parts that do what they must not: refused with the cause, or without effect."""

import json
import sys
from pathlib import Path
from textwrap import dedent

import polars as pl
import pytest

import recsys_lab
from recsys_lab.cli.main import run_command
from tests.cli.checks.test_hostile import write
from tests.cli.flow import SMALL, in_shop, record
from tests.cli.own.faulty_parts import PLAIN, parts

RATE = "search.params.recipe.learning_rate=interval(1e-4,1e-2)"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    with in_shop(tmp_path, monkeypatch):
        monkeypatch.setenv("RECSYS_LAB_ALLOWED_TARGETS", "bad")
        forget()
        write("bad/parts.py", parts(head=400))
        write("conf/data/own.yaml", "_target_: bad.parts.Log\nwhat: log\n")
        write("conf/loss/own.yaml", "_target_: bad.parts.Returns\nwhat: float\n")
        yield tmp_path
    forget()


def forget():
    for name in [name for name in sys.modules if name.partition(".")[0] == "bad"]:
        del sys.modules[name]


def refused(capsys, *command):
    """The message of a command that is refused."""
    assert run_command([*command]) == 2
    return " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("evaluation.metrics=[ndcg,{_target_: bad.parts.Writes}]", "update changes what it is"),
        ("evaluation.metrics=[ndcg,{_target_: bad.parts.Lists}]", "of evaluation.beyond_accuracy"),
        ("evaluation.beyond_accuracy=[{_target_: bad.parts.Writes}]", "of evaluation.metrics"),
        ("recipe.monitor=val/nope@10", "not computed"),
        ("recipe.monitor=val/ndgc@10", "did you mean 'val/ndcg@10'?"),
        ("evaluation.ks=[5]", "recipe.monitor: got 'val/ndcg@10'"),
        ("model={_target_: bad.parts}", "bad.parts is a module; add its class: bad.parts.CLASS"),
    ],
)
def test_before_data_are_read(capsys, override, message):
    write("conf/model/own.yaml", "_target_: bad.parts\n")
    if override.startswith("model="):
        override = "model=own"
    said = refused(capsys, "train", "--config-dir", "conf", *SMALL, "tracking=none", override)
    assert message in said
    assert not Path("prepared").exists()


def test_a_config_without_its_decorator(capsys):
    write("bad/plain.py", dedent(PLAIN))
    write("conf/model/own.yaml", "_target_: bad.plain.Own\nwidth: 3\n")
    said = refused(capsys, "train", "--config-dir", "conf", "model=own", "tracking=none")
    assert "model._target_: its nested Config has options but no @dataclass(frozen=True)" in said


@pytest.mark.usefixtures("in_process")
def test_an_infinite_mean_names_its_metric(capsys):
    metrics = "evaluation.metrics=[ndcg,{_target_: bad.parts.Infinite}]"
    said = refused(capsys, "train", *SMALL, "tracking=none", metrics)
    assert "evaluation: the mean of infinite@1 over users is infinite" in said


@pytest.mark.usefixtures("in_process")
def test_a_tracker_changes_only_its_copies():
    trackers = "tracking.trackers=[{_target_: bad.parts.Changes},csv]"
    assert run_command(["train", *SMALL, "tracking=none", trackers, "run_dir=run"]) == 0
    values = record("run")
    assert values["config"]["model"]["hidden_dim"] == 8
    assert values["config"]["data"]["path"]
    [logged] = Path("run").rglob("metrics.csv")
    rows = pl.read_csv(logged, infer_schema_length=None)
    assert rows["val/ndcg@10"].drop_nulls().to_list() == pytest.approx(
        [row["val/ndcg@10"] for row in values["epochs"]]
    )


@pytest.mark.parametrize(
    ("sampler", "message"),
    [
        ("{_target_: bad.parts.NoMake}", "not a valid sampler: it lacks the method make"),
        ("{_target_: bad.parts.Fixed, value: 5.0}", "proposes recipe.learning_rate=5.0, which is"),
        ("{_target_: bad.parts.Fixed, value: abc}", "Proposes proposes no point of this space"),
    ],
)
@pytest.mark.usefixtures("in_process")
def test_a_sampler_that_proposes_nothing_usable(capsys, sampler, message):
    command = ["sweep", *SMALL, "tracking=none", RATE, f"sweep.sampler={sampler}",
               "sweep.n_trials=2", "sweep.name=s"]  # fmt: skip
    assert run_command(command) != 0
    assert message in " ".join(capsys.readouterr().err.split())
    assert not list(Path("sweeps").rglob("best.safetensors"))


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("float", "Returns returned 1.5, expected a tensor without dimensions"),
        ("vector", "Returns returned a tensor of shape (3,), expected a tensor without"),
        ("undefined", "the mean training loss of epoch 1 is NaN; lower recipe.learning_rate"),
    ],
)
@pytest.mark.usefixtures("in_process")
def test_a_loss_that_returns_something_else(capsys, what, message):
    own = ["--config-dir", "conf", "loss=own", f"loss.what={what}", "tracking=none"]
    assert message in refused(capsys, "train", *SMALL, *own)


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("no config", "bad.parts.Log: self.config is not its Config"),
        ("key", "bad.parts.Log.source_key: Object of type object is not JSON serializable"),
        ("frame", "bad.parts.Log.read_raw: got a DataFrame, expected a RawData"),
        ("text", "timestamp: got String, expected seconds since the epoch"),
    ],
)
@pytest.mark.usefixtures("in_process")
def test_a_reader_that_is_not_one(capsys, what, message):
    own = ["--config-dir", "conf", "data=own", f"data.what={what}"]
    assert message in refused(capsys, "prepare", *own)


def test_a_reader_whose_file_has_changed_is_read_again():
    def rows():
        assert run_command(["prepare", "--config-dir", "conf", "data=own"]) == 0
        return {
            folder.name: json.loads((folder / "manifest.json").read_text())["num_interactions"]
            for folder in Path("prepared").iterdir()
        }

    first = rows()
    assert rows() == first
    write("bad/parts.py", parts(head=160))
    forget()
    assert sorted(rows().values()) == [160, *first.values()]


def test_old_and_new_name_together(capsys):
    both = ["recipe.validate_every_epochs=2", "recipe.validate_every=3"]
    said = refused(capsys, "train", *SMALL, *both, "--cfg", "job")
    assert "recipe.validate_every: the old name of recipe.validate_every_epochs, which is" in said


def test_prefixes_that_are_not_separated_by_commas(capsys, monkeypatch):
    monkeypatch.setenv("RECSYS_LAB_ALLOWED_TARGETS", "bad;other")
    said = refused(capsys, "train", "--config-dir", "conf", *SMALL, "loss=own")
    assert "got 'bad;other', expected names of packages or modules, separated by commas" in said


def test_the_folder_of_a_group_and_two_folders(capsys):
    said = refused(capsys, "train", "--config-dir", "conf/loss", *SMALL)
    assert "conf/loss is a group of configs; give the folder that contains it" in said
    twice = ["--config-dir", "conf", "--config-dir=conf"]
    assert "given twice" in refused(capsys, "train", *twice, *SMALL)


def test_the_command_of_a_dataset_of_ones_own_works(capsys):
    assert run_command(["datasets", "own", "--config-dir", "conf", "format=json"]) == 0
    entry = json.loads(capsys.readouterr().out)
    assert run_command(entry["command"].split()[1:]) == 0


def test_a_folder_that_is_no_dataset_is_not_to_be_deleted():
    for folder in (".", "nosuch"):
        with pytest.raises(recsys_lab.UserError, match="give the folder of one") as caught:
            recsys_lab.dataset(folder)
        assert "delete" not in str(caught.value)


@pytest.mark.parametrize("overrides", ["model=popularity", {"model": "popularity"}, [3], 3])
def test_overrides_that_are_no_list_of_texts(overrides):
    with pytest.raises(recsys_lab.UserError, match=r"overrides: got .*; expected a list of"):
        recsys_lab.train(overrides)
