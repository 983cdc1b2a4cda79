"""What is searched, as it is typed and as it stands in files: every key counts, in any order."""

import pytest
import yaml

from recsys_lab.cli.main import run_command
from recsys_lab.sweeps.plan import Plan
from recsys_lab.sweeps.space_syntax import read_space

MODEL = "search.params.model=choice(sasrec,gru4rec)"
WIDTH = "search.params.model.hidden_dim=choice(8,16)"
UNITS = "search.params.model.recurrent_dim={when: {model: gru4rec}, space: choice(8,16)}"


def searched(capsys, *overrides: str) -> dict:
    """Key -> values and condition."""
    assert run_command(["sweep", *overrides, "--cfg", "job"]) == 0
    params = yaml.safe_load(capsys.readouterr().out)["search"]["params"]
    return {d.key: (d.every, dict(d.when)) for d in read_space(params).dimensions}


@pytest.mark.parametrize("typed", [[MODEL, WIDTH, UNITS], [UNITS, WIDTH, MODEL]])
def test_a_group_and_keys_below_it(capsys, typed):
    assert searched(capsys, *typed) == {
        "model": (("sasrec", "gru4rec"), {}),
        "model.hidden_dim": ((8, 16), {}),
        "model.recurrent_dim": ((8, 16), {"model": "gru4rec"}),
    }


RATE = "search.params.recipe.learning_rate=interval(0.001,0.1)"


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (
            [MODEL, "search.params.model.feedforward_dim=choice(16,32)"],
            "with model=gru4rec, too; give the value that it belongs to: "
            "'search.params.model.feedforward_dim={when: {model: VALUE}, space: ...}'",
        ),
        ([MODEL, "search.params.model.dropout=interval(0,2)"], "and < 1, got 2.0"),
        (["search.params.modle.hidden_dim=choice(4,8)"], "1 problem in the config"),
        ([RATE, "sweep.sampler=grid"], "recipe.learning_rate has infinitely many values"),
        ([WIDTH, "run_dir=x", "name=y"], "2 problems in the command"),
        ([WIDTH, "group=x"], "group: not allowed in a sweep: the trackers' group of all trials is"),
        ([WIDTH, "resume=auto"], "resume: not allowed in a sweep: the same command resumes"),
        ([WIDTH, "--multirun"], "--multirun: not allowed for sweep"),
    ],
)
def test_refused_before_anything_starts(tmp_path, monkeypatch, capsys, typed, message):
    monkeypatch.chdir(tmp_path)
    assert run_command(["sweep", *typed]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert ("give the value that it belongs to" in said) == (
        "give the value that it belongs to" in message
    )
    assert not list(tmp_path.iterdir())


def test_a_key_of_one_searched_model_alone_is_no_problem_of_the_default_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plan = Plan(
        folder="f", storage="s.journal", options={}, base=["model=sasrec"], config_dir=None,
        params={"model": "choice(gru4rec)", "model.recurrent_dim": "choice(8,16)"},
    )  # fmt: skip
    plan.check()


def test_what_is_typed_is_added_to_a_file(capsys):
    before = searched(capsys, "search=models")
    rate = "search.params.recipe.learning_rate=null"
    assert searched(capsys, WIDTH, "search=models", rate) == {
        **{key: found for key, found in before.items() if key != "recipe.learning_rate"},
        "model.hidden_dim": ((8, 16), {}),
    }
    assert before["model"] == (("sasrec", "gru4rec"), {})
    assert before["model.recurrent_dim"][1] == {"model": "gru4rec"}
