"""A sweep whose trials all fail alike stops, says why, and goes on when it is mended."""

import json
from types import SimpleNamespace

import pytest
from omegaconf import OmegaConf

from recsys_lab.cli.main import run_command
from recsys_lab.config import config_dir
from recsys_lab.sweeps import worker as sweep_worker
from recsys_lab.sweeps.plan import Plan
from recsys_lab.sweeps.progress.failed_trials import same_failure
from recsys_lab.sweeps.settings import Sweep
from tests.cli.flow import COUNTS
from tests.cli.sweeps.test_faults import DAYS

COMMAND = [
    "sweep", *COUNTS, f"search.params.{DAYS}=int(interval(1,40))", "sweep.sampler=random",
    "sweep.name=mine", "sweep.n_trials=4", "sweep.workers=1", "sweep.max_same_failures=2",
]  # fmt: skip


@pytest.fixture
def ends(in_process, monkeypatch):
    """How each trial ends, one after the other; the last one for all that follow."""
    del in_process
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
    """With the earlier default pruner at first: its study goes on with the present default."""
    ends[:] = ["no such column"]
    assert run_command([*COMMAND, "sweep.pruner=median"]) == 2
    out, error = capfd.readouterr()
    assert "sweep.pruner=auto" not in out
    assert "stopped, as the last 2 trials failed with the same error: ValueError: " in error
    assert "no such column" in error
    assert "2 of 4 trials are left" in error
    assert summary(shop)["counts"] == {"complete": 0, "failed": 2}
    assert "no such column" in summary(shop)["stopped"]
    assert (shop / "sweeps/mine/report.html").exists()
    # Not mended: one more of the budget, then the same; failures of earlier commands do not count.
    ends[:] = ["another", "fine"]
    assert run_command([*COMMAND, "sweep.n_trials=3"]) == 2  # no trial finished
    assert summary(shop)["counts"] == {"complete": 0, "failed": 3}
    assert run_command([*COMMAND, "sweep.retry_failed=true"]) == 0
    said = capfd.readouterr().out
    assert "failed trials that run again: 0, 1, 2" in said
    assert "pruner: median (sweep.pruner=auto: one objective, val/ndcg@10, which every" in said
    assert "4 complete" in said
    found = summary(shop)
    assert (found["counts"], found["failures"], found["stopped"]) == ({"complete": 4}, {}, None)
    assert found["run_again"] == {"0": 3, "1": 4, "2": 5}
    study = Plan.load(shop / "sweeps/mine/plan.json").study(0)
    trials = study.trials()
    assert len(trials) == 7
    assert all(trials[old].params == trials[old + 3].params for old in range(3))
    assert len({trial.params[DAYS] for trial in trials}) == 4
    study.close()


def ended(text: str) -> list[SimpleNamespace]:
    """Trials in the order of their ends: a letter is the cause of a failure, a dot a success."""
    made = []
    for number, letter in enumerate(text):
        state = SimpleNamespace(name="FAIL" if letter != "." else "COMPLETE")
        state.is_finished = lambda: True
        attributes = {"cause": f"{letter}: trials/{number:04d}"}
        made.append(
            SimpleNamespace(
                number=number, state=state, user_attrs=attributes, datetime_complete=number
            )
        )
    return made[::2] + made[1::2]  # in no order


@pytest.mark.parametrize(
    ("text", "before", "most", "stops"),
    [
        ("..aaa", 0, 3, True),
        ("..aa", 0, 3, False),
        ("aaa.", 0, 3, False),
        ("aabaa", 0, 3, False),
        ("aaa", 1, 3, False),
        ("aaaa", 1, 3, True),
        ("aaaaaa", 0, None, False),
    ],
)
def test_what_counts_as_the_same_failure(text, before, most, stops):
    assert bool(same_failure(ended(text), range(before), most)) == stops


def test_several_objectives_work_with_the_default_pruner_which_is_told(shop, ends, capfd):
    ends[:] = ["fine"]
    two = [*COMMAND, "sweep.objectives=[val/ndcg@10,val/coverage@10]", "sweep.n_trials=1"]
    assert run_command([*two, "sweep.pruner=median"]) == 2
    assert "use sweep.pruner=auto or none" in capfd.readouterr().err
    assert run_command(two) == 0
    assert "pruner: none (sweep.pruner=auto: 2 objectives)" in capfd.readouterr().out
    assert summary(shop)["pruner"] == "none"


def test_auto_does_not_prune_by_what_is_known_at_the_end():
    options = OmegaConf.to_container(OmegaConf.load(config_dir() / "sweep.yaml").sweep)
    options = {key: value for key, value in options.items() if key != "_target_"}
    for objectives, chosen in (
        (["val/ndcg@10"], "median"),
        (["val/coverage@10"], "none"),
        (["seconds"], "none"),
        (["val/ndcg@10", "val/hr@10"], "none"),
    ):
        made = Sweep(Sweep.Config(**{**options, "name": "x", "objectives": objectives}))
        assert made.config.pruner == chosen
