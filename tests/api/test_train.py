"""Training in this process: the command line's run, and nothing of Hydra left behind."""

import json
import sys
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig

import recsys_lab
from recsys_lab.config import config_dir
from tests.cli.flow import COUNTS, in_shop, train

OWN_MODEL = '''
from dataclasses import dataclass

import torch

from recsys_lab.models.ranking import top_k


class Newest:
    """Ranks the items that were met first at the end of the log first."""

    window = 1

    @dataclass(frozen=True)
    class Config:
        """No options."""

    def __init__(self, config, *, num_items):
        self.scores_V = torch.zeros(num_items)

    def fit(self, data):
        self.scores_V = torch.from_numpy(data.training_item_counts()).float().neg()

    def recommend(self, batch, k, exclude):
        return top_k(self.scores_V.repeat(batch.size, 1), k, exclude, batch.users_B)

    def arrays(self):
        return {"scores": self.scores_V.numpy()}

    def load_arrays(self, arrays, data):
        self.scores_V = torch.from_numpy(arrays["scores"])
'''


@pytest.fixture
def shop(tmp_path, monkeypatch):
    with in_shop(tmp_path, monkeypatch):
        yield tmp_path


def test_the_run_is_that_of_the_command_line(shop):
    assert train("run_dir=typed", base=COUNTS) == 0
    run = recsys_lab.train([*COUNTS, "run_dir=called"])
    typed = recsys_lab.load(shop / "typed")
    assert run.path == shop / "called"
    assert run.metrics == typed.metrics
    assert {**run.config, "run_dir": 0} == {**typed.config, "run_dir": 0}
    assert run.record["identity"] == typed.record["identity"]
    assert run.record["command"] == ["recsys-lab", "train", *COUNTS, "run_dir=called"]
    assert run.per_user().equals(typed.per_user())
    assert run.recommend([["i0"]]).equals(typed.recommend([["i0"]]))


def test_it_can_be_called_again_beside_a_hydra_of_ones_own(shop):
    argv, config = list(sys.argv), HydraConfig.instance().cfg
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        mine = GlobalHydra.instance().hydra
        first = recsys_lab.train(COUNTS)
        second = recsys_lab.train([*COUNTS, "model.window_days=null", "seed=1"])
        assert GlobalHydra.instance().hydra is mine
        assert compose("train", ["seed=7"]).seed == 7
    assert first.path != second.path
    assert first.path.is_relative_to(shop / "runs")
    assert HydraConfig.instance().cfg is config
    assert sys.argv == argv
    assert recsys_lab.find_runs("runs")["seed"].sort().to_list() == [0, 1]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["modle=sasrec", "recipe.max_epochs=no"], "2 problems in the config"),
        (["data=table", "data.path=absent.csv"], "absent.csv"),
        (["--multirun", "seed=0,1"], "train: got --multirun; expected overrides key=value"),
        (["hydra.mode=MULTIRUN", "seed=0,1"], "got hydra.mode=MULTIRUN; .* of a single run"),
    ],
)
@pytest.mark.usefixtures("shop")
def test_mistakes_are_user_errors(overrides, message):
    config = HydraConfig.instance().cfg
    with pytest.raises(recsys_lab.UserError, match=message):
        recsys_lab.train(overrides)
    assert not GlobalHydra.instance().is_initialized()
    assert HydraConfig.instance().cfg is config


def test_a_failure_is_raised_as_it_is(shop, monkeypatch):
    def broken(*_):
        raise ZeroDivisionError("in the middle")

    monkeypatch.setattr("recsys_lab.experiment.run._fit", broken)
    with pytest.raises(ZeroDivisionError, match="in the middle"):
        recsys_lab.train([*COUNTS, "run_dir=failed"])
    run = recsys_lab.load(shop / "failed")
    assert "failed" in repr(run)
    with pytest.raises(recsys_lab.UserError, match="status is 'failed', so it has no trained"):
        run.recommend([["i0"]])
    with pytest.raises(recsys_lab.UserError, match="status is 'failed'"):
        run.per_user()


def test_a_model_of_ones_own_is_restored(shop, monkeypatch):
    Path("face_models.py").write_text(OWN_MODEL)
    Path("conf/model").mkdir(parents=True)
    Path("conf/model/newest.yaml").write_text("_target_: face_models.Newest\n")
    monkeypatch.syspath_prepend(shop)
    monkeypatch.setenv("RECSYS_LAB_ALLOWED_TARGETS", "face_models")
    run = recsys_lab.train([*COUNTS[:2], "tracking=none", "model=newest"], config_dir="conf")
    assert run.record["name"] == "Newest"
    length = run.config["evaluation"]["max_k"]
    found = run.recommend(run.dataset.histories("test"), k=length)
    lists = found.group_by("user_id", maintain_order=True).agg("item_id")["item_id"]
    assert lists.to_list() == run.per_user()["item_ids"].to_list()
    json.dumps(run.record)
