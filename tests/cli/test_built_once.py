"""How often each component of a run is made from its config."""

from collections import Counter
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf
from rich.console import Console

from recsys_lab.config.targets import import_class
from recsys_lab.experiment import memory_check
from recsys_lab.experiment.recording import recorded
from recsys_lab.experiment.run import TrialRun
from recsys_lab.models.sequential.dot_product import DotProductModel
from recsys_lab.training.memory_estimate import CannotFit
from tests.cli.flow import SMALL, in_shop, record, train

OF_DATA = ("data", "filter", "split", "engine")
OF_THE_RUN = ("inputs", "recipe", "evaluation", "loss", "tracking")
SHORT = ["recipe.max_epochs=1", "loss=sampled_softmax", "loss.num_negatives=4"]


@pytest.fixture(autouse=True, scope="module")
def first(tmp_path_factory):
    """A run, in a folder that all tests here work in."""
    with pytest.MonkeyPatch.context() as patch, in_shop(tmp_path_factory.mktemp("once"), patch):
        assert train(*SHORT, "run_dir=first") == 0
        yield


@pytest.fixture
def made(monkeypatch):
    """How often the classes of the first run's config are constructed, by config group."""
    counts: Counter[str] = Counter()
    cfg = OmegaConf.load("first/config.yaml")
    for group in ("model", *OF_DATA, *OF_THE_RUN):
        count(monkeypatch, counts, group, import_class(cfg[group]._target_))
    return counts


def count(monkeypatch, counts, group, cls):
    init = cls.__init__

    def counting(self, *args, **kwargs):
        counts[group] += 1
        init(self, *args, **kwargs)

    monkeypatch.setattr(cls, "__init__", counting)


def test_a_run_makes_each_component_once(made):
    assert train(*SHORT, "run_dir=second") == 0
    assert made == dict.fromkeys(("model", *OF_DATA, *OF_THE_RUN), 1)
    assert record("second")["test"] == record("first")["test"]


def test_a_refit_makes_a_second_model_and_loss(made):
    """They begin as the first did, and learn from other data."""
    assert train(*SHORT, "run_dir=again", "recipe.refit=true") == 0
    once = dict.fromkeys((*OF_DATA, *OF_THE_RUN), 1)
    assert made == {**once, "model": 2, "loss": 2}


def trial(folder: str) -> None:
    cfg = OmegaConf.load("first/config.yaml")
    cfg.run_dir = folder
    prepared = Path(record("first")["data"]["path"])
    recorded(cfg, Path(folder), Console(quiet=True), TrialRun(), prepared)


def test_a_trial_asks_for_the_shapes_with_one_more_model(made):
    trial("trial")
    assert made == {**dict.fromkeys(OF_THE_RUN, 1), "model": 2}  # data: prepared before
    assert record("trial")["validation"] == record("first")["validation"]


def test_a_trial_that_cannot_fit_is_refused_before_its_model_takes_memory(made, monkeypatch):
    monkeypatch.setattr(memory_check, "free_memory", lambda _: 1000)
    seen = []
    monkeypatch.setattr(torch, "manual_seed", seen.append)  # before weights are drawn
    with pytest.raises(CannotFit, match="cannot fit: needs about"):
        trial("large")
    assert made["model"] == 1
    assert not seen


def test_a_fitted_model_has_no_loss(made):
    assert train("model=popularity", "run_dir=fitted", base=SMALL[:2]) == 0
    once = dict.fromkeys((*OF_DATA, *OF_THE_RUN), 1)
    assert made == {name: count for name, count in once.items() if name != "loss"}


def test_a_model_without_what_every_model_has_is_refused_when_it_is_built(monkeypatch, capsys):
    monkeypatch.delattr(DotProductModel, "recommend")
    assert train(*SHORT, "run_dir=lacking") == 2
    told = capsys.readouterr().err
    assert "SASRec lacks recommend(batch, k, exclude). What is needed:" in told
    assert "load_arrays(arrays, data)" in told
    assert not Path("lacking/checkpoints").exists()
