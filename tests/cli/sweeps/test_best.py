"""The best config of a sweep: the command that is printed runs it, to the same number."""

import re
import shlex
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from recsys_lab.cli.main import run_command
from recsys_lab.config import config_dir
from recsys_lab.sweeps.best_config import experiment
from recsys_lab.sweeps.plan import Plan
from tests.cli.flow import SMALL, record

EXPERIMENT = """\
# @package _global_
defaults:
  - override /loss: bce
recipe:
  batch_size: 8
"""
RATE = "search.params.recipe.learning_rate=choice(0.003,0.03)"
MORE = ["tracking=none", "sweep.workers=1", "sweep.n_trials=2", "sweep.pruner=none"]
BASE = [text for text in SMALL if "batch_size" not in text]


def best_again(capfd, *overrides: str) -> tuple[dict, dict]:
    """Records of the best trial of a sweep and of the command that it prints."""
    assert run_command(["sweep", "--config-dir", "conf", *overrides, *MORE]) == 0
    said = capfd.readouterr().out
    number = re.search(r"\*(\d+) ", said)[1]
    [folder] = Path("sweeps").glob(f"*/trials/{int(number):04d}")
    [command] = re.findall(r"retrain and test the best config: recsys-lab (train .*)", said)
    assert run_command([*shlex.split(command), "run_dir=again"]) == 0
    return record(folder), record("again")


@pytest.mark.usefixtures("in_process")
def test_an_experiment_of_the_sweep_is_in_it(shop, capfd):
    (shop / "conf/experiment").mkdir(parents=True)
    (shop / "conf/experiment/mine.yaml").write_text(EXPERIMENT)
    groups = ["experiment=mine", "search.params.model=choice(gsasrec,gru4rec)"]
    base = [text for text in BASE if not text.startswith("model.feedforward")]
    trial, again = best_again(capfd, *base, *groups, "model=sasrec", "sweep.name=my sweep")
    assert again["config"]["recipe"]["batch_size"] == 8
    assert again["config"]["loss"] == trial["config"]["loss"]
    assert "bce" in again["config"]["loss"]["_target_"]
    assert again["config"]["model"] == trial["config"]["model"]
    assert again["validation"] == trial["validation"]
    text = (shop / "sweeps/my sweep/configs/experiment/best.yaml").read_text()
    keys = [key for choice in yaml.safe_load(text)["defaults"] for key in choice]
    assert len(keys) == len(set(keys))
    assert "override /loss" in keys


@pytest.mark.usefixtures("in_process")
def test_the_user_s_own_configs_are_beside_it(shop, capfd):
    (shop / "conf/model").mkdir(parents=True)
    mine = (config_dir() / "model/sasrec.yaml").read_text().replace("dropout: ", "dropout: 0.0  #")
    (shop / "conf/model/mymodel.yaml").write_text(mine)
    (shop / "conf/recipe").mkdir()
    usual = (config_dir() / "recipe/default.yaml").read_text()
    (shop / "conf/recipe/mine.yaml").write_text(usual.replace("beta2: 0.98", "beta2: 0.9"))
    (shop / "conf/model/unused.yaml").write_text(mine)
    own = ["model=mymodel", "recipe=mine", "sweep.name=own"]
    trial, again = best_again(capfd, *SMALL, *own, RATE)
    assert again["config"]["model"]["dropout"] == 0.0
    assert again["config"]["recipe"]["beta2"] == 0.9
    assert again["validation"] == trial["validation"]
    assert not (shop / "sweeps/own/configs/model/unused.yaml").exists()


def test_weights_to_begin_with_fit_every_trial(shop, capfd):
    (shop / "conf").mkdir()
    assert run_command(["train", *SMALL, "tracking=none", "run_dir=first"]) == 0
    capfd.readouterr()
    begin = ["sweep", *BASE, *MORE, "init_from=first", "sweep.name=s"]
    wide = "search.params.model.hidden_dim=choice(8,16)"
    assert run_command([*begin, wide, "search.params.model.dropout=choice(0.1,0.2)"]) == 2
    said = capfd.readouterr().err
    assert "which cannot use its weights: model.hidden_dim=16. Remove" in said
    assert "Remove search.params.model.hidden_dim from the space" in said
    assert not Path("sweeps/s/study.journal").exists()
    group = [text for text in begin if not text.startswith("model.feedforward")]
    group += ["model=sasrec", "search.params.model=choice(gsasrec,gru4rec)"]
    assert run_command(group) == 2
    assert "model=gru4rec" in capfd.readouterr().err
    assert run_command([*begin, "search.params.seed=choice(1,2)", "model.hidden_dim=16"]) == 2
    assert "can use its weights: model.hidden_dim (8 there, 16 here)" in capfd.readouterr().err
    base = (*BASE, "init_from=first")
    plan = Plan(str(shop / "s"), "", {"name": "s"}, {}, base=base, config_dir=None)
    trial = SimpleNamespace(number=0, values=[0.5], params={"seed": 2}, user_attrs={})
    best = yaml.safe_load(experiment(plan, trial))
    assert (best["init_from"], best["seed"]) == (str(shop / "first"), 2)


@pytest.mark.usefixtures("in_process")
def test_codes_are_made_once_for_the_trials_that_share_them(shop, capfd):
    (shop / "conf").mkdir()
    trial, again = best_again(
        capfd,
        *BASE,
        "model=generative_decoder",
        "model.num_layers=1",
        "semantic_ids=random",
        "search.params.semantic_ids.codes=choice(8)",
        RATE,
        "sweep.sampler=grid",
        "decoding=exact",
    )
    assert len(list((shop / "prepared/semantic_ids").glob("random_codes-*"))) == 1
    assert again["validation"] == trial["validation"]
    assert again["identity"]["semantic_ids"] == trial["identity"]["semantic_ids"]
