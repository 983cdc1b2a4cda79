"""Modules that have moved are found by their old names, in configs, stored runs and code."""

import importlib
import json
import subprocess
import sys
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pytest
import yaml

from recsys_lab.cli.main import run_command
from recsys_lab.config import config_dir
from recsys_lab.config.compose.old_names import warn_moved, warn_renamed
from recsys_lab.moved import current, current_key, old_keys, with_current_names
from recsys_lab.runs.record import RunRecord
from tests.cli.flow import COUNTS, rewrite, train, write_log


def test_targets_of_any_depth_are_renamed_and_nothing_else():
    old = {
        "_target_": "recsys_lab.data.table.Table",
        "notes": "recsys_lab.data.table.Table",
        "parts": [{"_target_": "recsys_lab.models.ease.EASE"}, {"_target_": "mine.Model"}],
        "empty": None,
    }
    assert with_current_names(old) == {
        "_target_": "recsys_lab.data.sources.table.Table",
        "notes": "recsys_lab.data.table.Table",
        "parts": [
            {"_target_": "recsys_lab.models.classical.ease.EASE"}, {"_target_": "mine.Model"},
        ],
        "empty": None,
    }  # fmt: skip
    assert current("recsys_lab.models.sasrec2.SASRec") == "recsys_lab.models.sasrec2.SASRec"


@pytest.mark.parametrize("name", ["models.sasrec.SASRec", "data.filters.Filters"])
def test_code_that_imports_an_old_name_gets_the_same_class(name):
    module, _, name = f"recsys_lab.{name}".rpartition(".")
    with pytest.warns(DeprecationWarning, match=rf"{module} is now recsys_lab\."):
        old = importlib.import_module(module)
    new = importlib.import_module(current(f"{module}.x").rpartition(".")[0])
    assert getattr(old, name) is getattr(new, name)
    assert new.__spec__.name == new.__name__
    sys.modules.pop(module)


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        ("contracts", "ChecksData", "ValidatesData"),
        ("models.sequential.layers", "Rectangle", "PaddedLayout"),
    ],
)
def test_a_renamed_class_is_found_by_its_old_name(module, old, new):
    place = importlib.import_module(f"recsys_lab.{module}")
    with pytest.warns(DeprecationWarning, match=f"{old} is now recsys_lab.{module}.{new};"):
        assert getattr(place, old) is getattr(place, new)
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        place.Nothing  # noqa: B018


@pytest.mark.usefixtures("quick_start")
def test_a_users_config_with_old_names_works_and_says_what_to_write(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_log()
    experiment = Path("conf/experiment/mine.yaml")
    experiment.parent.mkdir(parents=True)
    experiment.write_text(
        "# @package _global_\ndefaults:\n  - override /model: popularity\n"
        "model:\n  _target_: recsys_lab.models.popularity.Popularity\n"
    )
    mine = ["--config-dir", "conf", "experiment=mine", "run_dir=run", "tracking=none"]
    code = subprocess.run(
        [sys.executable, "-P", "-m", "recsys_lab", "train", *mine, *COUNTS[:2]],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert code.returncode == 0, code.stderr
    new = "recsys_lab.models.classical.popularity.Popularity"
    assert f"mine.yaml: recsys_lab.models.popularity.Popularity is now {new}" in code.stderr
    assert RunRecord.load(Path("run")).values["config"]["model"]["_target_"] == new


def test_a_run_that_was_stored_before_is_evaluated_and_goes_on(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_log()
    assert train("run_dir=run", base=COUNTS) == 0
    record = json.loads(Path("run/run.json").read_text())
    old = {
        "model": "recsys_lab.models.popularity.Popularity",
        "data": "recsys_lab.data.table.Table",
    }
    for part, target in old.items():
        assert current(target) == record["config"][part]["_target_"]
        record["config"][part]["_target_"] = target
    config = yaml.safe_load(Path("run/config.yaml").read_text())
    for part, target in old.items():
        config[part]["_target_"] = target
    for stored in (record["config"], config):  # the last, as its value could be another's
        stored["evaluation"]["list_length"] = stored["evaluation"].pop("max_k")
        stored["recipe"]["validate_every"] = stored["recipe"].pop("validate_every_epochs")
    Path("run/config.yaml").write_text(yaml.safe_dump(config))
    rewrite("run", {**record, "files": {}})
    capsys.readouterr()
    assert run_command(["evaluate", "run"]) == 0
    assert "equal to the run record" in capsys.readouterr().out
    assert run_command(["train", "resume=run"]) == 0
    told = capsys.readouterr()
    assert "this run is finished" in told.out
    assert "is now" not in told.err


def composed(*overrides, folder=None):
    """The config of `train` with these overrides."""
    with redirect_stdout(StringIO()) as printed:
        own = [] if folder is None else ["--config-dir", str(folder)]
        assert run_command(["train", *own, "--cfg", "job", *overrides]) == 0
    return yaml.safe_load(printed.getvalue())


def test_an_option_by_its_old_name_is_set_and_its_new_name_named(tmp_path, caplog):
    warn_renamed.cache_clear()
    config = composed("recipe.validate_every=3", "evaluation.list_length=30")
    assert config["recipe"]["validate_every_epochs"] == 3
    assert config["evaluation"]["max_k"] == 30
    assert "validate_every" not in config["recipe"]
    assert (
        "recipe.validate_every is now recipe.validate_every_epochs; use the new name" in caplog.text
    )
    mine = tmp_path / "experiment/mine.yaml"
    mine.parent.mkdir()
    mine.write_text("# @package _global_\nrecipe:\n  validate_every: 5\n")
    config = composed("experiment=mine", folder=tmp_path)
    assert config["recipe"]["validate_every_epochs"] == 5
    typed = ["experiment=mine", "recipe.validate_every_epochs=7"]
    assert composed(*typed, folder=tmp_path)["recipe"]["validate_every_epochs"] == 7


def test_an_old_class_that_is_typed_says_what_to_write(caplog):
    warn_moved.cache_clear()
    old, new = (
        f"recsys_lab.models.{part}.Popularity" for part in ("popularity", "classical.popularity")
    )
    config = composed("model=popularity", f"model._target_={old}")
    assert config["model"]["_target_"] == new
    assert f"model._target_: {old} is now {new}; use the new name" in caplog.text


def test_an_option_of_ones_own_class_may_have_a_name_that_the_lab_had(tmp_path, monkeypatch):
    monkeypatch.setenv("RECSYS_LAB_ALLOWED_TARGETS", "mine")
    own = tmp_path / "loss/mine.yaml"
    own.parent.mkdir()
    own.write_text("_target_: mine.Loss\nmemory_mebibytes: 5\n")
    config = composed("loss=mine", "loss.memory_mebibytes=6", folder=tmp_path)
    assert config["loss"] == {"_target_": "mine.Loss", "memory_mebibytes": 6}


def test_the_table_names_options_that_there_are():
    cfg = {verb: composed_by(verb) for verb in ("train", "sweep")}
    for key in old_keys():
        group, _, new = current_key(key).partition(".")
        files = [node for node in (cfg["train"].get(group), cfg["sweep"].get(group)) if node]
        choices = [yaml.safe_load(p.read_text()) for p in (config_dir() / group).glob("*.yaml")]
        assert any(new in node for node in [*files, *choices]), key


def composed_by(verb):
    """The primary config of a verb as its file has it."""
    return yaml.safe_load((config_dir() / f"{verb}.yaml").read_text())
