"""``debug=fast`` and ``debug=overfit``: whole smoke tests, marked so that nobody compares them."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

import pytest

from recsys_lab.cli.main import run_command
from recsys_lab.experiment import recording
from tests.cli.flow import COUNTS, SMALL, record, train

STUCK = '''
from dataclasses import dataclass

from recsys_lab.losses.softmax import SoftmaxLoss


class Shifted(SoftmaxLoss):
    """Learns the target of another position."""

    @dataclass(frozen=True)
    class Config(SoftmaxLoss.Config):
        pass

    def __call__(self, states_ND, targets_N, table_VD):
        return super().__call__(states_ND.detach(), targets_N, table_VD)
'''


@pytest.mark.usefixtures("shop")
def test_a_smoke_test_has_few_steps_and_users_no_tracker_and_is_no_result(capsys):
    small = [word for word in SMALL if not word.startswith("recipe.max_epochs")]
    fast = ["debug=fast", "filter.sample_users=30", "run_dir=fast"]
    assert run_command(["train", *small, *fast]) == 0
    values = record("fast")
    assert values["config"]["debug"] == "fast"
    assert values["config"]["tracking"]["trackers"] == []
    assert values["data"]["num_users"] == 30
    assert values["epochs"][-1]["step"] == 4  # 2 epochs of 2 batches, fewer than max_steps
    assert values["name"] == "SASRec (debug=fast)"
    assert "debug=fast: a smoke test; compare leaves it out" in capsys.readouterr().out
    assert run_command(["runs", ".", "columns=[name]", "format=csv"]) == 0
    assert "SASRec (debug=fast)" in capsys.readouterr().out
    assert run_command(["runs", "."]) == 0
    assert " debug " in capsys.readouterr().out  # at 80 columns, too
    assert run_command(["runs", ".", "columns=[run,name]"]) == 0
    assert "SASRec (debug=fast)" in capsys.readouterr().out
    # It is left out of comparisons, and cannot be promoted.
    assert train("run_dir=pop", base=COUNTS) == 0
    capsys.readouterr()
    assert run_command(["compare", "fast", "pop"]) == 0
    out = " ".join("".join(capsys.readouterr()).split())
    assert "a smoke test (debug=fast): its numbers mean nothing" in out
    assert run_command(["compare", "fast"]) == 2
    assert "no finished run in fast; left out are:" in capsys.readouterr().err
    assert run_command(["promote", "fast", "registry=registry"]) == 2
    assert "train it without debug" in capsys.readouterr().err
    assert not Path("registry").exists()
    # Nor can it be mistaken after a new run from it.
    assert run_command(["train", "from=fast", "model=popularity", "run_dir=again"]) == 0
    assert record("again")["name"] == "Popularity (debug=fast)"
    whole = ["debug=null", "filter.sample_users=null", "run_dir=whole"]
    assert run_command(["train", "from=fast", "model=popularity", *whole]) == 0
    assert record("whole")["name"] == "Popularity"
    assert record("whole")["config"]["debug"] is None
    assert record("whole")["data"]["num_users"] > 30


@pytest.mark.usefixtures("shop")
def test_max_steps_ends_within_an_epoch_with_a_validation_and_resumes(capsys):
    assert train("recipe.max_steps=6", "run_dir=steps") == 0  # 4 steps an epoch
    epochs = record("steps")["epochs"]
    assert [(row["epoch"], row["step"]) for row in epochs] == [(0, 4), (1, 6)]
    improving = record("steps")["best"]["still_improving"]
    assert ("more steps, e.g. recipe.max_steps=12" in capsys.readouterr().err) == improving
    assert all("val/ndcg@10" in row for row in epochs)
    assert train("recipe.max_steps=6", "recipe.validate_every_epochs=5", "run_dir=last") == 0
    assert ["val/ndcg@10" in row for row in record("last")["epochs"]] == [False, True]
    # The first epoch is that of a run without the option; the schedule ends with the steps.
    assert train("run_dir=whole") == 0
    assert record("whole")["epochs"][0] == epochs[0]
    capsys.readouterr()
    assert train("recipe.max_steps=2", "recipe.warmup_steps=3", "run_dir=no") == 2
    assert "recipe.max_steps=2" in capsys.readouterr().err
    assert run_command(["train", "resume=steps", "recipe.max_epochs=9"]) == 2
    assert "recipe.max_steps=6" in capsys.readouterr().err


@pytest.mark.usefixtures("shop")
def test_overfit_says_whether_a_batch_is_learned_by_its_exit_status(monkeypatch, capsys):
    command = ["train", *SMALL[:2], "debug=overfit", "recipe.learning_rate=0.02"]
    good = [*command, "model.hidden_dim=32", "model.max_length=6"]
    assert run_command([*good, "run_dir=good"]) == 0
    out = capsys.readouterr().out
    assert "overfit: the loss of one batch fell from" in out
    values = record("good")
    assert values["status"] == "finished"
    assert values["epochs"][-1]["step"] < 1000
    assert values["name"] == "SASRec (debug=overfit)"
    assert not values["best"]["still_improving"]
    assert run_command(["train", "resume=good", "recipe.max_epochs=2"]) == 2
    err = capsys.readouterr().err
    assert "cannot be resumed; begin again: recsys-lab train from=" in err
    assert record("good")["status"] == "finished"
    assert run_command(["train", "from=good", "run_dir=again"]) == 0  # as advised
    # Too short, but every weight has a gradient.
    assert run_command([*good, "recipe.max_steps=3", "run_dir=short"]) == 3
    err = capsys.readouterr().err
    assert "the training is too short" in " ".join(err.split())
    assert "No gradient" not in err
    # A loss that no gradient leaves: exit status 3, and the reason.
    Path("my_losses.py").write_text(STUCK)
    Path("conf/loss").mkdir(parents=True)
    Path("conf/loss/shifted.yaml").write_text("defaults: [softmax]\n_target_: my_losses.Shifted\n")
    monkeypatch.setenv("RECSYS_LAB_ALLOWED_TARGETS", "my_losses")
    bad = [*good, "--config-dir", "conf", "loss=shifted", "recipe.max_steps=30", "run_dir=bad"]
    assert run_command(bad) == 3
    err = " ".join(capsys.readouterr().err.split())
    assert "overfit: the loss of one batch went from" in err
    assert "in 30 steps, expected below 0.05" in err
    assert "No gradient reaches" in err
    assert "Traceback" not in err
    assert record("bad")["status"] == "failed"
    sys.modules.pop("my_losses")
    # What has no loss is refused before data are read.
    assert run_command(["train", "model=popularity", "debug=overfit"]) == 2
    assert "Popularity is fitted in one pass, and has no loss to bring down" in (
        capsys.readouterr().err
    )


@pytest.mark.usefixtures("shop")
def test_an_interrupted_check_begins_again_by_the_command_that_is_told(monkeypatch, capsys):
    def stopped(*_):
        raise KeyboardInterrupt

    check = ["train", *SMALL[:2], "debug=overfit", "recipe.learning_rate=0.02"]
    check += ["model.hidden_dim=32", "model.max_length=6", "run_dir=cut"]
    with monkeypatch.context() as patch:
        patch.setattr(recording, "_execute", stopped)
        assert run_command(check) == 130
    said = capsys.readouterr().err.splitlines()[-1]
    message, _, told = said.partition(" Begin it again with: ")
    assert message == "stopped; a check of one batch is not resumed."
    assert run_command(["show", "cut"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "begin it again with: recsys-lab train from=cut" in shown
    for resume, message in (
        ("cut", "cannot be resumed; begin again: "),
        ("auto", "cannot be resumed; begin again: "),
        ("null", "already has a run. Choose another run_dir."),
    ):
        others = [] if resume == "cut" else check[1:]
        assert run_command(["train", *others, f"resume={resume}"]) == 2
        assert message in capsys.readouterr().err
    assert run_command([*shlex.split(told)[1:], "run_dir=anew"]) == 0
    assert record("anew")["status"] == "finished"


@pytest.mark.usefixtures("shop")
def test_records_of_older_versions_have_no_mark():
    assert train("run_dir=pop", base=COUNTS) == 0
    values = record("pop")
    del values["config"]["debug"], values["config"]["from"]
    Path("pop/run.json").write_text(json.dumps({**values, "digest": None}))
    assert run_command(["compare", "pop"]) == 0


@pytest.mark.usefixtures("shop")
def test_a_smoke_test_of_ones_own_marks_its_runs(capsys):
    own = Path("mine/debug/tiny.yaml")
    own.parent.mkdir(parents=True)
    own.write_text("recipe:\n  max_epochs: 1\n")
    command = ["train", *COUNTS, "--config-dir", "mine", "debug=tiny", "run_dir=tiny"]
    assert run_command(command) == 2
    assert "add the line debug: tiny" in capsys.readouterr().err
    own.write_text("# @package _global_\ndebug: tiny\nfilter:\n  sample_users: 20\n")
    assert run_command(command) == 0
    assert record("tiny")["name"] == "Popularity (debug=tiny)"
