"""Values of other frameworks, and typos: what is suggested works, or nothing is suggested."""

from __future__ import annotations

import re

import pytest
import yaml

from recsys_lab.cli.main import run_command
from recsys_lab.config import did_you_mean
from recsys_lab.config.help.keys import choices
from recsys_lab.config.help.value_habits import METRICS, VALUES, value_here
from recsys_lab.config.values import problem_with
from recsys_lab.evaluation.metrics.names import ACCURACY
from recsys_lab.training.optimizers import OPTIMIZERS
from recsys_lab.training.recipe import Recipe
from recsys_lab.training.schedules import SCHEDULES

HERE = re.compile(r"here it is (?:'([^']+)'|\w[\w.]*=([^\s;(]+?))\.? ")
NAMES = {"recipe.optimizer": OPTIMIZERS, "recipe.schedule": SCHEDULES, METRICS: ACCURACY}


@pytest.fixture
def refused(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> str:
        assert run_command([*arguments]) == 2
        return capsys.readouterr().err

    return run


def test_the_labs_values_exist_and_are_not_those_of_elsewhere():
    from typing import get_type_hints

    hints = get_type_hints(Recipe.Config, include_extras=True)
    for key, values in VALUES.items():
        for there, here in values.items():
            assert there == there.lower().replace("-", "_")
            if key in NAMES:
                assert here in NAMES[key].names
                assert there not in NAMES[key].names
            elif key.startswith("recipe."):
                assert problem_with(here, hints[key.removeprefix("recipe.")]) is None
                assert problem_with(there, hints[key.removeprefix("recipe.")]) is not None
            else:
                assert here in choices(key)
                assert there not in choices(key)


TYPED = {
    "loss=CE": "softmax",
    "loss_type=CE": "softmax",
    "criterion=BCEWithLogitsLoss": "bce",
    "loss_type=BPR": "bpr",
    "debug=default": "fast",
    "model=MostPop": "popularity",
    "evaluation=uni100": "sampled_candidates",
    "split=LS": "leave_one_out",
    "valid_metric=NDCG@10": "val/ndcg@10",
    "metric_for_best_model=eval_Hit@5": "val/hr@5",
    "recipe.monitor=Recall@20": None,  # not computed by default
    "recipe.monitor=Hit@20": "val/hr@20",
    "evaluation.metrics=[Hit]": "hr",
    "trainer.precision=16": "16-mixed",
    "lr_scheduler_type=constant_with_warmup": "constant",
    "device=cuda": "gpu",
    "callbacks.early_stopping.monitor=val/loss": None,
}


@pytest.mark.parametrize("typed", TYPED)
def test_values_of_other_frameworks(typed, refused):
    found = HERE.search(refused("train", typed))
    assert (found and (found[1] or found[2])) == TYPED[typed]


def test_a_metric_that_is_advised_is_computed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    metrics = ["evaluation.metrics=[recall,mrr]", "evaluation.ks=[3]"]
    assert run_command(["train", *metrics, "valid_metric=Recall@3"]) == 2
    assert "here it is recipe.monitor=val/recall@3 (" in capsys.readouterr().err
    assert run_command(["train", *metrics, "valid_metric=NDCG@10"]) == 2
    assert "here it is recipe.monitor, one of val/recall@3, val/mrr@3 (" in capsys.readouterr().err
    assert run_command(["train", *metrics, "recipe.monitor=val/recall@3", "--cfg", "job"]) == 0
    assert yaml.safe_load(capsys.readouterr().out)["recipe"]["monitor"] == "val/recall@3"


def test_options_knows_them_too(refused):
    assert "no choice 'CE'; here it is 'softmax'." in refused("options", "loss=CE")


def test_a_value_that_this_config_does_not_allow_is_not_named():
    assert value_here("loss", "CE", ["bce", "sce"]) is None
    assert value_here("seed", "CE", ["softmax"]) is None


def test_groups_of_a_sweep(refused):
    told = refused("train", "sweep.dir=x", "sweep.n_trials=3")
    assert "sweep.dir: no such key; here it is run_dir=x" in told
    assert "sweep.n_trials: no such key; sweep is a group of recsys-lab sweep only." in told
    told = refused("train", "search=sasrec")
    assert "search=sasrec: search is a group of recsys-lab sweep only." in told
    assert "sweep.foo: Sweep has no option 'foo'. Options:" in refused("sweep", "sweep.foo=1")


@pytest.mark.parametrize(
    ("typed", "options", "meant"),
    [
        ("sweep", ["seed", "model"], None),
        ("serve", ["seed", "sweep"], None),
        ("truncate", ["run", "name"], None),  # run is not a word of it
        ("blocklits", ["k", "users"], None),
        ("sead", ["seed", "split"], "seed"),
        ("SDG", ["SGD", "AdamW"], "SGD"),
        ("timestamp", ["user", "time"], "time"),
        ("layers", ["num_layers", "num_heads"], "num_layers"),
        ("ml-1m", ["movielens_1m", "movielens_10m"], "movielens_1m"),
        ("ndgc@10", ["ndcg@10", "hr@10"], "ndcg@10"),
    ],
)
def test_only_what_is_near_is_suggested(typed, options, meant):
    assert did_you_mean(typed, options) == (f"; did you mean {meant!r}?" if meant else ".")
