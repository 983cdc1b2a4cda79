"""How-tos of parts of one's own, followed to the letter in a folder outside of the lab."""

import json
import os
import re
import shlex
import sys
from pathlib import Path

import polars as pl
import pytest
from omegaconf import OmegaConf

from recsys_lab.cli.main import run_command
from recsys_lab.config import UserError, build, config_dir
from recsys_lab.config.own_modules import find_allowed_modules_in
from recsys_lab.evaluation.metrics.registry import accuracy_names
from tests.cli.flow import COUNTS, SMALL, in_shop, record

HOW_TO = Path(__file__).parents[3] / "docs/how-to"
FILE = re.compile(r"^`([\w./]+)`[^\n]*\n\n```(?:python|yaml)\n(.*?)```", re.DOTALL | re.MULTILINE)
CONSOLE = re.compile(r"```console\n(.*?)```", re.DOTALL)


def follow(name: str) -> list[str]:
    """Write the files of a how-to; its commands, without the program's name."""
    text = (HOW_TO / f"{name}.md").read_text()
    for file, content in FILE.findall(text):
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        Path(file).write_text(content)
    lines = [line for block in CONSOLE.findall(text) for line in block.splitlines()]
    return [line.removeprefix("recsys-lab ") for line in lines if line.startswith("recsys-lab ")]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("RECSYS_LAB_ALLOWED_TARGETS", "my_metrics,my_losses")
    for name in ("my_metrics", "my_losses"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    with in_shop(tmp_path, monkeypatch):
        yield tmp_path


@pytest.mark.usefixtures("folder")
def test_metrics_a_loss_and_a_sampler_of_ones_own(capsys):
    [with_metrics, other] = follow("add-a-metric")
    [with_loss, with_sampler, *sweeps] = follow("add-a-loss")
    extra = shlex.split(with_loss)[3:]  # behind the verb and the folder of configs
    small = [*SMALL, "tracking=none", "recipe.max_epochs=3", "evaluation.ks=[5,10]"]
    assert run_command([*shlex.split(with_metrics), *extra, *small, "run_dir=own"]) == 0
    values = record("own")
    assert {"ndcg@5", "effort@5", "effort@10", "unseen@10"} <= {*values["test"]}
    epochs = [epoch["val/effort@10"] for epoch in values["epochs"]]
    assert values["validation"]["effort@10"] == min(epochs) < max(epochs)
    rows = pl.read_parquet("own/test_users.parquet")
    ranks = rows["rank"].fill_null(11).to_numpy()
    weights = 0.5 ** ((ranks[:, None] > 0) * range(10) / 5)
    read = (weights * (range(10) < ranks[:, None] - 1)).sum(1) / weights[0].sum()
    assert rows["effort@10"].to_numpy() == pytest.approx(read)
    assert values["test"]["effort@10"] == pytest.approx(read.mean())
    noted = values["metrics"]["effort@10"]
    assert noted["value"] == "my_metrics.Effort half_life=5.0"
    assert noted["higher_is_better"] is False
    assert values["config"]["loss"]["sampling"] == {
        "_target_": "my_losses.Frequent",
        "min_events": 2,
    }
    _compared(with_metrics, values, capsys)
    # The other commands of the how-tos are valid configs.
    for command in (other, with_sampler, *sweeps):
        assert run_command([*shlex.split(command), "--cfg", "job"]) == 0
    capsys.readouterr()


def _compared(command, values, capsys):
    """A second run, of a model that is fitted, against the first."""
    assert (
        run_command([*shlex.split(command)[:4], *COUNTS, "run_dir=pop", "evaluation.ks=[5,10]"])
        == 0
    )
    capsys.readouterr()
    assert run_command(["compare", "own", "pop", "metric=effort@10", "output=compared"]) == 0
    said = capsys.readouterr().out
    assert "effort@10 ↓" in said
    found = json.loads(Path("compared/comparison.json").read_text())
    assert {"effort@10", "unseen@10"} <= {metric["name"] for metric in found["metrics"]}
    # An edit of the class makes another metric of it.
    pop = record("pop")
    pop["metrics"]["effort@10"]["content"] = "0" * 16
    Path("pop/run.json").write_text(json.dumps({**pop, "digest": None}))
    assert run_command(["compare", "own", "pop", "metric=effort@10"]) == 2
    assert "effort@10 has different definitions in the runs" in " ".join(
        capsys.readouterr().err.split()
    )
    assert run_command(["evaluate", "own"]) == 0
    assert values == record("own")
    _of_another_file(capsys)


def _of_another_file(capsys):
    """The file of the metrics is edited, then removed."""
    file = Path("my_metrics.py")
    file.write_text(file.read_text().replace("0.5 **", "0.7 **"))
    del sys.modules["my_metrics"]
    assert run_command(["evaluate", "own"]) == 1
    said = " ".join(capsys.readouterr().err.split())
    assert said.endswith("my_metrics.py (my_metrics.Effort) has changed since the run")
    file.unlink()
    del sys.modules["my_metrics"]
    assert run_command(["evaluate", "own"]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert (
        "own: there is no module 'my_metrics', which the run uses in evaluation.metrics[1]" in said
    )
    assert f"the current folder, {Path.cwd()}" in said


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
            "my_metrics.Listed is no metric: derive it from recsys_lab.evaluation.",
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
