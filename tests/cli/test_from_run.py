"""``train from=RUN_DIR``: the config of a run again, with overrides."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from recsys_lab.cli.main import run_command
from tests.cli.flow import COUNTS, record, train


@pytest.fixture
def said(capsys):
    def run(*arguments: str, code: int = 0) -> str:
        assert run_command([*arguments]) == code, capsys.readouterr().err
        out, err = capsys.readouterr()
        return " ".join((err if code else out).split())

    return run


@pytest.fixture
def first(shop, capsys):
    """A finished run with changes in every kind of place."""
    del shop
    changes = ["filter.min_user_count=2", "split=user_ratio", "name=mine", "tags=[a]", "seed=5"]
    assert train(*changes, "run_dir=first", base=COUNTS) == 0
    capsys.readouterr()
    return Path("first")


@pytest.mark.usefixtures("first")
def test_seed_and_another_model_with_all_of_its_options(said):
    out = said(
        "train", "from=first", "seed=3", "model=item_knn", "model.num_neighbors=7", "run_dir=b"
    )
    assert f"from {Path('first').absolute()}: " in out
    assert "model Popularity -> ItemKNN, seed 5 -> 3" in out
    values, before = record("b"), record("first")
    assert values["config"]["model"]["num_neighbors"] == 7
    assert "window_days" not in values["config"]["model"]  # an option of the old model
    changed = {"model", "seed", "run_dir", "from"}
    for key in before["config"].keys() | values["config"].keys():
        same = values["config"].get(key) == before["config"].get(key)
        assert same == (key not in changed), key
    assert values["from"] == {
        "run": str(Path("first").absolute()),
        "changed": {
            "model": [before["config"]["model"]["_target_"], values["config"]["model"]["_target_"]],
            "seed": [5, 3],
        },
    }
    assert values["config"]["from"] == str(Path("first").absolute())
    assert values["protocol"] == before["protocol"]
    # A run of it again, resumed, and started from in turn.
    assert "this run is finished" in said("train", "resume=b")
    said("train", "from=b", "run_dir=c")
    assert record("c")["from"] == {"run": str(Path("b").absolute()), "changed": {}}
    assert record("c")["test"] == values["test"]
    assert "run_dir=b" not in Path("c/config.yaml").read_text()


@pytest.mark.usefixtures("first")
def test_groups_experiments_and_sweeps_of_values(capsys):
    def config(*overrides: str) -> dict:
        assert run_command(["train", "from=first", *overrides, "--cfg", "job"]) == 0
        return yaml.safe_load(capsys.readouterr().out)

    found = config("split=leave_one_out", "debug=fast", "filter=five_core", "+tags=[b]")
    assert found["split"]["_target_"].endswith("LeaveOneOut")
    assert (found["filter"]["min_user_count"], found["filter"]["sample_users"]) == (5, 200)
    assert (found["name"], found["tags"], found["seed"]) == ("mine", ["b"], 5)
    assert found["resume"] is None
    tiger = config("model=tiger")
    assert tiger["decoding"]["_target_"].endswith("Beam") or "decoding" in tiger
    assert "loss" not in tiger
    assert run_command(["train", "from=first", "-m", "seed=1,2", "run_dir=many"]) == 0
    assert [record(f"many/{job}")["config"]["seed"] for job in (0, 1)] == [1, 2]
    assert record("many/1")["from"]["changed"]["seed"] == [5, 2]


@pytest.mark.usefixtures("first")
def test_configs_of_older_versions(said):
    """With old names, and without the options that came later."""
    config = yaml.safe_load(Path("first/config.yaml").read_text())
    config["recipe"]["validate_every"] = config["recipe"].pop("validate_every_epochs")
    config["model"]["_target_"] = "recsys_lab.models.popularity.Popularity"
    for late in ("debug", "from", "init_from", "verify"):
        del config[late]
    for late in ("window", "sample_users", "counts", "catalogue", "session_gap"):
        del config["filter"][late]
    Path("first/config.yaml").write_text(yaml.safe_dump(config))
    values = record("first")
    values["config"] = config
    del values["files"]["config.yaml"]
    Path("first/run.json").write_text(json.dumps({**values, "digest": None}))
    out = said("train", "from=first", "filter.sample_users=40", "recipe.validate_every_epochs=2",
               "run_dir=new")  # fmt: skip
    assert "filter.sample_users null -> 40" in out
    assert "recipe.validate_every_epochs 1 -> 2" in out
    new = record("new")
    assert new["data"]["num_users"] == 40
    assert set(new["from"]["changed"]) == {"filter.sample_users", "recipe.validate_every_epochs"}
    plain = said("train", "from=first", "run_dir=same")
    assert "nothing is changed" in plain
    assert record("same")["test"] == values["test"]
    assert record("same")["data"]["fingerprint"] == values["data"]["fingerprint"]


@pytest.mark.usefixtures("first")
def test_what_is_no_run_or_does_not_go_together(said):
    for file in ("sweeps/s/plan.json", "sweeps/s/trials/0/run.json", "exported/manifest.json",
                 "ready/x/manifest.json", "ready/x/interactions.parquet",
                 "many/a/run.json"):  # fmt: skip
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        Path(file).touch()
    for words, message in (
        ("train from=nowhere", "from: there is no folder"),
        ("train from=first resume=first", "resume=RUN_DIR continues one; give one of them"),
        ("train from=sweeps/s", "a sweep; give one of its runs, e.g. from=sweeps/s/trials/0"),
        ("train from=exported", "exported is an export, which has no config of a run"),
        ("train from=ready/x", "is a prepared dataset, which has no config of a run"),
        ("train from=many", "not a run directory: it has no run.json. Runs there: many/a"),
        ("train --multirun from=first,nowhere", "from=first,nowhere: takes one run, whose config"),
        ("train from=first model=nothing", "model: no choice 'nothing'"),
        ("train from=first model.windw_days=3", "did you mean 'window_days'?"),
        ("train from=first --config-name sweep", "not together with --config-name"),
        ("sweep from=first", "from: not for sweep; it is an option of train and prepare"),
        ("retrain first from=first", "from: not for retrain; it is an option of train and prepare"),
    ):
        assert message in said(*words.split(), code=2), words


@pytest.mark.usefixtures("first")
def test_a_changed_config_is_refused(said):
    config = Path("first/config.yaml")
    config.write_text(config.read_text() + "x: ${oc.env:HOME}\n")
    assert "config.yaml" in said("train", "from=first", code=2)
    values = record("first")
    del values["files"]["config.yaml"]
    Path("first/run.json").write_text(json.dumps({**values, "digest": None}))
    assert "expected a plain value" in said("train", "from=first", code=2)
