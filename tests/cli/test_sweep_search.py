"""What is searched, as it is typed and as it stands in files: every key counts, in any order."""

import pytest
import yaml

from recsys_lab.cli.main import run_command
from recsys_lab.sweeps.space import read_space

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


def test_what_is_typed_is_added_to_a_file(capsys):
    before = searched(capsys, "search=models")
    rate = "search.params.recipe.learning_rate=null"
    assert searched(capsys, WIDTH, "search=models", rate) == {
        **{key: found for key, found in before.items() if key != "recipe.learning_rate"},
        "model.hidden_dim": ((8, 16), {}),
    }
    assert before["model"] == (("sasrec", "gru4rec"), {})
    assert before["model.recurrent_dim"][1] == {"model": "gru4rec"}
