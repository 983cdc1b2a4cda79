"""Metrics of one's own that cannot be are refused, and those that can stand beside the lab's."""

import os
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from recsys_lab.cli.main import run_command
from recsys_lab.config import UserError, build, config_dir
from recsys_lab.config.own_modules import find_allowed_modules_in
from recsys_lab.evaluation.metrics.registry import accuracy_names
from tests.cli.flow import COUNTS, SMALL, in_shop, record


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("RECSYS_LAB_ALLOWED_TARGETS", "my_metrics")
    monkeypatch.delitem(sys.modules, "my_metrics", raising=False)
    with in_shop(tmp_path, monkeypatch):
        yield tmp_path


BAD = """
from recsys_lab.evaluation.metrics import ListMetric, PerUserMetric, ValueMetric
import torch

class Base(PerUserMetric):
    name = "mine"
    higher_is_better = True
    def per_user(self, hits_BK, num_targets_B):
        return hits_BK.any(1).double()

class Nameless(Base):
    name = ""
class Labs(Base):
    name = "ndcg"
class Former(Base):
    name = "calibration"
class Undirected(PerUserMetric):
    name, per_user = "mine", Base.per_user
class Unweighed(ValueMetric):
    name = "mine"
    def per_user(self, gains_BK, values_BT):
        return gains_BK.sum(1)
class Broken(Base):
    def __init__(self, config, **given):
        raise ValueError("no such file")
class Abstract(PerUserMetric):
    name, higher_is_better = "mine", True
class Short(Base):
    least_k = 2
class Raises(Base):
    def per_user(self, hits_BK, num_targets_B):
        raise RuntimeError("no such luck")
class Wide(Base):
    def per_user(self, hits_BK, num_targets_B):
        return hits_BK.double()
class NoNumber(Base):
    def per_user(self, hits_BK, num_targets_B):
        return torch.full((len(hits_BK),), torch.nan)
class Listed(ListMetric):
    name, higher_is_better = "listed", True
    def per_list(self, items_BK, batch):
        return items_BK
class Unmade(Listed):
    __init__ = Broken.__init__
class Undefined(Base):
    def per_user(self, hits_BK, num_targets_B):
        return torch.full((len(hits_BK),), torch.nan if len(hits_BK) > 3 else 1.0)
class Other(Base):
    name = "other"
"""


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["Nameless"], "my_metrics.Nameless: got name '', expected letters"),
        (["Labs"], "the name 'ndcg' is that of a metric of the lab; choose another one"),
        (["Former"], "the name 'calibration' is that of a metric of the lab"),
        (
            ["Undirected"],
            "my_metrics.Undirected: the direction is not set: set higher_is_better = True or False",
        ),
        (["Unweighed"], "my_metrics.Unweighed: the direction is not set: set higher_is_better ="),
        (["Broken"], "my_metrics.Broken: fails when it is made (ValueError: no such file)"),
        (["Abstract"], "lacks the method per_user"),
        (["Short"], "got k=1, expected at least 2"),
        (["Raises"], "fails on 3 artificial users (RuntimeError: no such luck)"),
        (["Wide"], "(ValueError: mine: got values of shape (3, 1), expected (3,))"),
        (["NoNumber"], "got nan for 3 artificial users, expected a finite number"),
        (["Base", "Base"], "two metrics have the name 'mine'; leave one out, or give one of"),
        (
            ["Listed"],
            "my_metrics.Listed is a metric of evaluation.beyond_accuracy",
        ),
    ],
)
@pytest.mark.usefixtures("folder")
def test_a_metric_that_cannot_be_is_refused_before_data_are_read(overrides, message):
    Path("my_metrics.py").write_text(BAD)
    find_allowed_modules_in(os.getcwd())
    options = OmegaConf.load(config_dir() / "evaluation/full_ranking.yaml")
    nodes = [{"_target_": f"my_metrics.{name}"} for name in overrides]
    with pytest.raises(UserError) as refused:
        build({**options, "metrics": ["ndcg", *nodes]})
    assert message in str(refused.value)


@pytest.mark.usefixtures("folder")
def test_a_metric_beyond_accuracy_that_fails_is_refused_before_training(capsys):
    Path("my_metrics.py").write_text(BAD)
    mine = "evaluation.beyond_accuracy=[{_target_:my_metrics.Listed}]"
    assert run_command(["train", mine, *COUNTS]) == 2
    assert "my_metrics.Listed: fails on 3 artificial users (ValueError" in capsys.readouterr().err
    assert run_command(["train", mine.replace("Listed", "Unmade"), *COUNTS]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "evaluation.beyond_accuracy: my_metrics.Unmade: fails when it is made (Value" in said


@pytest.mark.usefixtures("folder")
def test_a_subclass_with_another_name_stands_beside_its_base():
    Path("my_metrics.py").write_text(BAD)
    find_allowed_modules_in(os.getcwd())
    options = OmegaConf.load(config_dir() / "evaluation/full_ranking.yaml")
    nodes = [{"_target_": f"my_metrics.{name}"} for name in ("Base", "Other")]
    config = build({**options, "metrics": nodes}).config
    assert {"mine@10", "other@10"} <= {*accuracy_names(config.metrics, config.ks)}


@pytest.mark.usefixtures("folder")
def test_a_monitored_metric_that_no_user_has_is_named(capsys):
    Path("my_metrics.py").write_text(BAD)
    mine = "evaluation.metrics=[ndcg,{_target_:my_metrics.Undefined}]"
    small = [*SMALL, "tracking=none", "recipe.max_epochs=1", "run_dir=run"]
    assert run_command(["train", mine, "recipe.monitor=val/mine@10", *small]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "recipe.monitor=val/mine@10 (my_metrics.Undefined): was NaN in every validation" in said
    assert record("run")["status"] == "failed"
