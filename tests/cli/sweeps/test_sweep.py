"""Sweeps from the command line: what is refused, what is found, what is left behind."""

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import optuna
import pytest
import yaml

from recsys_lab.cli.main import run_command
from recsys_lab.sweeps.storage.backends import open_storage
from tests.cli.flow import COUNTS, ITEMS, SMALL, record, until

BASE = [*SMALL, "tracking=none", "sweep.name=mine", "sweep.workers=1"]
WIDTH = "search.params.model.hidden_dim=choice(4,8)"
RATE = "search.params.recipe.learning_rate=tag(log,interval(1e-3,1e-1))"


def sweep(*overrides: str) -> int:
    return run_command(["sweep", *BASE, *overrides])


def loaded() -> optuna.Study:
    storage = open_storage("sweeps/mine/study.journal")
    return optuna.load_study(study_name="mine", storage=storage)


def trials() -> list[optuna.trial.FrozenTrial]:
    return loaded().trials


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            [WIDTH, "sweep.objectives=[test/ndcg@10]"],
            "its test results are biased. Use val/ndcg@10",
        ),
        (["search.params.model.hiden_dim=choice(4,8)"], "did you mean 'hidden_dim'"),
        (["search.params.model.dropout=interval(0,2)"], "expected a float >= 0 and < 1, got 2.0"),
        (
            ["search.params.model=choice(sasrec,sasrek)"],
            "no choice 'sasrek'; did you mean 'sasrec'",
        ),
        (["search.params.model.hidden_dim=8"], "a single value"),
        ([], "nothing is searched"),
        (["search=sasrek"], "no choice 'sasrek'; did you mean 'sasrec'"),
        ([WIDTH, "sweep.storage=study.txt"], "give PATH.journal"),
        (
            [WIDTH, "sweep.sampler=random", "sweep.constraints=['parameters<=5']"],
            "does not support any",
        ),
        (
            [WIDTH, "sweep.objectives=[seconds]", "sweep.pruner=median"],
            "only computed after training; use sweep.pruner=auto or none",
        ),
        (
            [WIDTH, "sweep.objectives=[val/gini@10]", "sweep.pruner=median"],
            "only computed after training; use sweep.pruner=auto or none",
        ),
        (
            [WIDTH, "sweep.objectives=[val/ndgc@10]"],
            "val/ndgc@10, which validation does not compute; did you mean 'val/ndcg@10'?",
        ),
        (
            [WIDTH, "sweep.constraints=['val/coverage@7>=0.5']"],
            "sweep.constraints: got val/coverage@7, which validation does not compute",
        ),
    ],
)
def test_refused_before_anything_starts(shop, capsys, overrides, message):
    assert sweep(*overrides) == 2
    assert message in capsys.readouterr().err
    assert not (shop / "prepared").exists()
    assert not list(shop.glob("sweeps/*/trials"))


def test_finds_the_best_and_the_same_command_does_nothing_again(shop, capfd, request):
    command = [WIDTH, RATE, "sweep.n_trials=5", "sweep.pruner=none", "sweep.workers=2"]
    assert sweep(*command) == 0
    said = capfd.readouterr().out
    found = trials()
    assert [trial.state.name for trial in found] == ["COMPLETE"] * 5
    best = max(found, key=lambda trial: trial.value)
    assert f"*{best.number}" in said
    assert "epoch 1 of" not in said  # each trial's lines are in its own log
    summary = json.loads((shop / "sweeps/mine/sweep.json").read_text())
    assert summary["counts"] == {"complete": 5}
    assert summary["best"][0]["values"] == [best.value]
    for trial in found:
        values = record(shop / f"sweeps/mine/trials/{trial.number:04d}")
        assert values["validation"]["ndcg@10"] == trial.value
        assert values["config"]["model"]["hidden_dim"] == trial.params["model.hidden_dim"]
        assert values["config"]["group"] == "mine"
        log = (shop / f"sweeps/mine/trials/{trial.number:04d}/run.log").read_text()
        assert re.findall(r"epoch (\d) of 3: loss \d", log) == ["1", "2", "3"]
        assert "test" not in values
        assert not (shop / f"sweeps/mine/trials/{trial.number:04d}/test_users.parquet").exists()
    files = {path: path.stat().st_mtime_ns for path in shop.glob("sweeps/mine/trials/*/run.json")}
    request.getfixturevalue("in_process")
    assert sweep(*command) == 0
    assert all(path.stat().st_mtime_ns == before for path, before in files.items())
    # The best runs again as it is, to the same validation number, and now with its test.
    text = (shop / "sweeps/mine/configs/experiment/best.yaml").read_text()
    assert len(text.splitlines()) <= 30
    assert yaml.safe_load(text)["model"]["hidden_dim"] == best.params["model.hidden_dim"]
    again = ["train", "--config-dir", "sweeps/mine/configs", "experiment=best", "run_dir=again"]
    assert run_command(again) == 0
    assert record("again")["validation"]["ndcg@10"] == best.value
    assert "ndcg@10" in record("again")["test"]


@pytest.mark.usefixtures("shop", "in_process")
def test_a_space_that_ends_before_the_budget_says_so(capfd):
    days = "search.params.model.window_days=choice(1,2)"
    more = ["sweep.name=mine", "sweep.pruner=none", "sweep.workers=1"]
    assert run_command(["sweep", *COUNTS, days, *more, "sweep.n_trials=2"]) == 0
    assert "points of the space were tried" not in capfd.readouterr().out
    assert run_command(["sweep", *COUNTS, days, *more, "sweep.n_trials=9"]) == 0
    said = capfd.readouterr().out
    assert "all 2 points of the space were tried, fewer than sweep.n_trials=" in said
    assert "sweep.n_trials=9" in said
    assert len(trials()) == 2


@pytest.mark.usefixtures("in_process")
def test_a_model_is_searched_with_what_belongs_to_it(shop):
    (shop / "conf/search").mkdir(parents=True)
    (shop / "conf/search/both.yaml").write_text(
        "params:\n  model: choice(sasrec,gru4rec)\n"
        "  model.recurrent_dim: {when: {model: gru4rec}, space: 'choice(4,8)'}\n"
    )
    base = [text for text in BASE if not text.startswith("model.feedforward")]
    arguments = ["--config-dir", "conf", "search=both", "sweep.n_trials=9", "sweep.sampler=grid"]
    assert run_command(["sweep", *arguments, *base, "recipe.max_epochs=1"]) == 0
    assert {tuple(sorted(trial.params.items())) for trial in trials()} == {
        (("model", "sasrec"),),
        (("model", "gru4rec"), ("model.recurrent_dim", 4)),
        (("model", "gru4rec"), ("model.recurrent_dim", 8)),
    }


@pytest.mark.usefixtures("in_process")
def test_a_front_of_two_objectives_under_a_constraint(shop):
    objectives = "sweep.objectives=[val/ndcg@10,parameters]"
    more = [
        objectives,
        "sweep.pruner=none",
        "sweep.sampler=nsga2",
        "sweep.constraints=['seconds<=1e9']",
    ]
    wide = "search.params.model.hidden_dim=choice(2,4,8,16)"
    assert sweep(wide, "sweep.n_trials=4", "recipe.max_epochs=1", *more) == 0
    values = sorted((trial.values[1], trial.values[0]) for trial in trials())
    front = json.loads((shop / "sweeps/mine/sweep.json").read_text())["best"]
    expected, best = [], -1.0
    for size, quality in values:
        if quality > best:
            expected.append([quality, size])
            best = quality
    assert sorted(point["values"] for point in front) == sorted(expected)


@pytest.mark.usefixtures("in_process")
def test_accuracy_against_coverage_and_concentration(shop):
    """Both of validation, computed at the end of a trial, each in its direction."""
    objectives = "sweep.objectives=[val/ndcg@10,val/coverage@5,val/repeat_share@5]"
    more = ["evaluation.beyond_ks=[5,10]", "evaluation.exclude_seen=false", "sweep.n_trials=2"]
    limits = ["sweep.pruner=none", "sweep.constraints=['val/gini@10<=1']", "sweep.workers=1"]
    days = "search.params.model.window_days=choice(0.0001,1)"
    assert run_command(["sweep", *COUNTS, "sweep.name=mine", days, objectives, *more, *limits]) == 0
    for trial in trials():
        values = record(shop / f"sweeps/mine/trials/{trial.number:04d}")
        found = [values["validation"][name] for name in ("ndcg@10", "coverage@5", "repeat_share@5")]
        assert trial.values == found
        assert 5 / ITEMS <= found[1] <= 1
        assert found[2] > 0  # 6 of 25 items stand in each history, the popular ones above all
        assert [*trial.constraints.values()] == [values["validation"]["gini@10"] - 1]
        assert "coverage@10" not in values["validation"]
        assert "test" not in values
    directions = [d.name for d in loaded().directions]
    assert directions == ["MAXIMIZE", "MAXIMIZE", "MINIMIZE"]


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize("objectives", [["val/ndcg@10"], ["val/ndcg@10", "parameters"]])
def test_constraints_that_nothing_meets_are_told_after_the_report(shop, capfd, objectives):
    days = "search.params.model.window_days=choice(0.0001,1)"
    more = ["sweep.n_trials=2", "sweep.pruner=none", "sweep.workers=1", "sweep.name=mine"]
    limits = [f"sweep.objectives={objectives}", "sweep.constraints=['val/hr@10>=2','seconds<=1e9']"]
    assert run_command(["sweep", *COUNTS, days, *more, *limits]) == 2
    said = capfd.readouterr()
    assert "no trial satisfies the constraints (val/hr@10>=2, seconds<=1e9); its report" in said.err
    assert "; best" not in said.out
    summary = json.loads((shop / "sweeps/mine/sweep.json").read_text())
    assert (summary["best"], summary["counts"]) == ([], {"complete": 2})
    for name in ("report.html", "report.md"):
        assert "No trial satisfies the constraints." in (shop / "sweeps/mine" / name).read_text()
    assert not (shop / "sweeps/mine/configs").exists()


@pytest.mark.usefixtures("shop", "in_process")
def test_bad_trials_are_pruned_and_failing_ones_say_why():
    heads = "search.params.model.num_heads=choice(1,2,3)"
    rates = "search.params.recipe.learning_rate=tag(log,interval(1e-4,3e-2))"  # no ties
    more = ["sweep.n_trials=14", "recipe.max_epochs=4", "sweep.sampler=random"]
    assert sweep(heads, rates, *more) == 0
    found = trials()
    by_state = {name: [t for t in found if t.state.name == name] for name in ("PRUNED", "FAIL")}
    assert min(len(trial.intermediate_values) for trial in by_state["PRUNED"]) < 4
    for trial in by_state["PRUNED"]:
        assert record(f"sweeps/mine/trials/{trial.number:04d}")["status"] == "pruned"
    assert {trial.params["model.num_heads"] for trial in by_state["FAIL"]} == {3}
    assert "3 heads cannot share" in by_state["FAIL"][0].user_attrs["cause"]


def test_ctrl_c_and_the_same_command_again(shop):
    command = [
        sys.executable, "-m", "recsys_lab", "sweep", *BASE, RATE, "sweep.n_trials=4",
        "sweep.workers=2", "recipe.max_epochs=400", "recipe.patience=null", "sweep.pruner=none",
    ]  # fmt: skip
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    epochs = shop / "sweeps/mine/trials/0000/checkpoints/last.ckpt"
    until(epochs.exists)
    parent.send_signal(signal.SIGINT)
    said = parent.communicate(timeout=300)[0]
    assert parent.returncode == 130, said
    assert "finished trials are kept" in said
    before = trials()
    assert {trial.state.name for trial in before} == {"RUNNING"}
    assert {trial.user_attrs["released"] for trial in before} == {1}  # no deaths
    epoch = len(record("sweeps/mine/trials/0000")["epochs"])
    assert record("sweeps/mine/trials/0000")["status"] == "interrupted"
    assert epoch >= 1
    changed = [text.replace("=400", "=3") for text in command[3:]]
    assert run_command(changed) == 2  # another budget is another search
    assert Path("sweeps/mine/trials/0000/checkpoints/last.ckpt").exists()
