"""A sweep whose trials all fail alike stops, says why, and goes on when it is mended."""

import json
from types import SimpleNamespace

import pytest

from recsys_lab.cli.main import run_command
from recsys_lab.sweeps import worker as sweep_worker
from recsys_lab.sweeps.plan import Plan
from tests.cli.flow import COUNTS
from tests.cli.sweeps.test_faults import DAYS

COMMAND = [
    "sweep", *COUNTS, f"search.params.{DAYS}=int(interval(1,40))", "sweep.sampler=random",
    "sweep.name=mine", "sweep.n_trials=12", "sweep.workers=1",
]  # fmt: skip
pytestmark = pytest.mark.usefixtures("in_process")


@pytest.fixture
def ends(monkeypatch):
    """How each trial ends, one after the other; the last one for all that follow."""
    made = []

    def recorded(cfg, folder, *_):
        end = made.pop(0) if len(made) > 1 else made[0]
        if end == "fine":
            found = {"ndcg@10": 0.1, "coverage@10": cfg.model.window_days / 100}
            return SimpleNamespace(values={"validation": found, "epochs": []})
        raise ValueError(f"{folder}: {end} {cfg.model.window_days}")

    monkeypatch.setattr(sweep_worker, "recorded", recorded)
    return made


def summary(shop) -> dict:
    return json.loads((shop / "sweeps/mine/sweep.json").read_text())


def test_the_same_error_stops_the_sweep_and_the_failed_trials_run_again(shop, ends, capfd):
    ends[:] = ["no such column"]
    assert run_command(COMMAND) == 2
    error = capfd.readouterr().err
    assert "stopped, as the last 5 trials failed with the same error: ValueError: " in error
    assert "no such column" in error
    assert "7 of 12 trials are left" in error
    assert summary(shop)["counts"] == {"complete": 0, "failed": 5}
    assert "no such column" in summary(shop)["stopped"]
    assert (shop / "sweeps/mine/report.html").exists()
    # Not mended: five more, as failures of earlier commands do not count.
    assert run_command(COMMAND) == 2
    assert summary(shop)["counts"] == {"complete": 0, "failed": 10}
    ends[:] = ["fine"]
    assert run_command([*COMMAND, "sweep.retry_failed=true"]) == 0
    said = capfd.readouterr().out
    assert "failed trials that run again: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9" in said
    assert "12 complete" in said
    assert "failed," not in said
    found = summary(shop)
    assert (found["counts"], found["failures"], found["stopped"]) == ({"complete": 12}, {}, None)
    assert found["run_again"] == {str(old): old + 10 for old in range(10)}
    study = Plan.load(shop / "sweeps/mine/plan.json").study(0)
    trials = study.trials()
    assert len(trials) == 22
    assert all(trials[old].params == trials[old + 10].params for old in range(10))
    assert len({trial.params[DAYS] for trial in trials}) == 12
    study.close()
    # Once more: nothing is left to do.
    assert run_command([*COMMAND, "sweep.retry_failed=true"]) == 0
    assert "failed trials that run again: none" in capfd.readouterr().out
    assert summary(shop)["counts"] == {"complete": 12}


@pytest.mark.parametrize(
    ("how", "options", "counts"),
    [
        (["a", "a", "fine", "a", "a", "fine"], ["max_same_failures=3"],
         {"complete": 8, "failed": 4}),
        (["a", "b", "a", "b", "a", "fine"], ["max_same_failures=2"], {"complete": 7, "failed": 5}),
        (["a", "a", "a", "a", "a", "a", "fine"], ["max_same_failures=null"],
         {"complete": 6, "failed": 6}),
    ],
    ids=["not in a row", "other errors", "never"],
)  # fmt: skip
def test_other_failures_do_not_stop_it(shop, ends, how, options, counts):
    ends[:] = how
    assert run_command([*COMMAND, *(f"sweep.{option}" for option in options)]) == 0
    assert summary(shop)["counts"] == counts


def test_several_objectives_work_with_the_default_pruner_which_is_told(shop, ends, capfd):
    ends[:] = ["fine"]
    two = "sweep.objectives=[val/ndcg@10,val/coverage@10]"
    assert run_command([*COMMAND, two]) == 0
    assert "pruner: none (sweep.pruner=auto: 2 objectives)" in capfd.readouterr().out
    assert summary(shop)["pruner"] == "none"
    assert run_command([*COMMAND, two, "sweep.pruner=median"]) == 2
    assert "use sweep.pruner=auto or none" in capfd.readouterr().err
    assert run_command([*COMMAND, "sweep.name=cost", "sweep.objectives=[val/coverage@10]"]) == 0
    assert "auto: val/coverage@10 is known after the training)" in capfd.readouterr().out


def test_a_study_of_the_earlier_default_goes_on_with_the_present_one(shop, ends, capfd):
    """The default was median by name, and is what auto chooses for one metric."""
    ends[:] = ["fine"]
    assert run_command([*COMMAND, "sweep.pruner=median", "sweep.n_trials=2"]) == 0
    assert "sweep.pruner=auto" not in capfd.readouterr().out
    assert run_command([*COMMAND, "sweep.n_trials=3"]) == 0
    said = capfd.readouterr().out
    assert "pruner: median (sweep.pruner=auto: one objective, val/ndcg@10, which every" in said
    assert summary(shop)["counts"] == {"complete": 3}
