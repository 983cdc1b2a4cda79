"""Classes of one's own that lack what their kind needs: refused before data are read."""

import sys
from pathlib import Path
from textwrap import dedent

import pytest
import yaml
from omegaconf import OmegaConf

from recsys_lab.cli.main import run_command
from recsys_lab.config import UserError, build, build_chosen, config_dir
from recsys_lab.config.build import component_targets
from recsys_lab.contracts.own_parts import NEEDED, check_own_parts
from recsys_lab.losses.negatives import NEGATIVES
from recsys_lab.sweeps.launchers.base import Task, started
from recsys_lab.training.try_out import try_out
from tests.cli.checks.test_hostile import write

CLASSES = """
    from dataclasses import dataclass

    import torch
    from torch import nn

    from recsys_lab.data.splits.base import Split
    from recsys_lab.losses.negatives import NegativeSampler
    from recsys_lab.training.optimizers import OptimizerFactory
    from recsys_lab.training.schedules import Schedule


    @dataclass(frozen=True)
    class Empty:
        pass


    class Plain:
        Config = Empty

        def __init__(self, config):
            self.config = config

        count = close = lambda self, *_: 1

        def start(self, number, task):
            return self


    class States(nn.Module):
        Config = Empty

        def __init__(self, config, *, num_items):
            super().__init__()
            self.window = 5

        def training_states(self, batch):
            pass

        def item_table(self):
            pass


    class Whole(States):
        def recommend(self, batch, k, exclude):
            pass


    class Given(States):  # its method is set by __init__
        def __init__(self, config, *, num_items):
            super().__init__(config, num_items=num_items)
            self.recommend = Whole.recommend


    class Answers(nn.Module):  # it passes every name on
        Config = Empty

        def __getattr__(self, name):
            return getattr(super().__getattr__("model"), name)


    class Short(States):
        def recommend(self, batch, k):
            pass


    class Module(nn.Module):
        Config = Empty

        def __init__(self, config):
            super().__init__()


    class Loss(Module):
        def forward(self, states_ND, targets_N, table_VD):
            pass


    class Two(Module):
        def forward(self, states_ND, targets_N):
            pass


    class Counts(Loss):
        def read_counts(self):
            pass


    class NoSegments(Split):
        Config = Empty
        name = "mine"


    class Steps(torch.optim.Optimizer):
        def __init__(self, parameters, calls):
            super().__init__(parameters, {"lr": 0.1})
            self.calls = calls

        def step(self, closure=None):
            for _ in range(self.calls):
                closure()


    class Unasked(Steps):
        def step(self):
            pass


    class Makes(OptimizerFactory):
        @dataclass(frozen=True)
        class Config:
            calls: int

        def make(self, parameters, recipe):
            calls = self.config.calls
            return Steps(parameters, calls) if calls >= 0 else Unasked(parameters, 0)


    class Needs(Makes):  # other weights than those of the trial
        def make(self, parameters, recipe):
            return super().make(parameters[:7], recipe) if len(parameters) > 7 else 1 / 0


    class One(Schedule):
        Config = Empty

        def factor(self, step):
            return 1.0


    class Draws(NegativeSampler):
        Config = Empty

        def draw(self, targets_N, num_items):
            return targets_N
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("RECSYS_LAB_ALLOWED_TARGETS", "lacking")
    write("lacking/parts.py", dedent(CLASSES))
    yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0] == "lacking"]:
        del sys.modules[name]


def config(**parts: str):
    return OmegaConf.create(
        {group: {"_target_": f"lacking.parts.{name}"} for group, name in parts.items()}
    )


@pytest.mark.parametrize(
    ("group", "name", "message"),
    [
        ("model", "States", "parts.States lacks recommend(batch, k, exclude). What is needed:"),
        ("model", "Plain", "lacks window, recommend(batch, k, exclude), fit(data), arrays()"),
        ("model", "Module", "lacks window, recommend(batch, k, exclude), training_states(batch)"),
        ("model", "Short", "recommend(self, batch, k) must take (self, batch, k, exclude)"),
        ("loss", "Plain", "Plain lacks __call__(states_ND, targets_N, table_VD)"),
        ("loss", "Module", "Module lacks __call__(states_ND, targets_N, table_VD)"),
        (
            "loss",
            "Two",
            "__call__(self, states_ND, targets_N) must take (self, states_ND, targets_N",
        ),
        ("loss", "Counts", "read_counts(self) must take (self, counts_V)"),
        ("split", "Plain", "Plain: derive it from recsys_lab.data.splits.base.Split"),
        ("split", "NoSegments", "NoSegments lacks segments(log)"),
        ("data", "Plain", "Plain lacks source_key(), read_raw(scratch)"),
        ("engine", "Plain", "Plain lacks name, open(scratch)"),
        ("decoding", "Plain", "Plain lacks diagnostics, width, num_beams, read_codes(ids)"),
        ("launcher", "Module", "Module lacks count(wanted), start(number, task), close()"),
        ("semantic_ids", "Plain", "derive it from recsys_lab.semantic_ids.base.Quantiser"),
        ("evaluation", "Plain", "derive it from recsys_lab.evaluation.protocols.base.RankingPr"),
    ],
)
def test_what_is_lacking_is_told_with_what_is_needed(group, name, message):
    with pytest.raises(UserError) as told:
        check_own_parts(config(**{group: name}))
    assert f"{group}: lacking.parts.{name}" in str(told.value)
    assert message in str(told.value)


def test_all_problems_come_together_before_anything_is_made(capsys):
    write("conf/model/own.yaml", "_target_: lacking.parts.States\n")
    write("conf/loss/own.yaml", "_target_: lacking.parts.Plain\n")
    command = ["train", "--config-dir", "conf", "model=own", "loss=own", "tracking=none"]
    assert run_command(command) == 2
    said = capsys.readouterr().err
    assert "2 problems in the config" in said
    assert "  -> recommend(batch, k, exclude)  the k best items of each user" in said
    assert "-> __call__(states_ND, targets_N, table_VD)" in said
    assert not Path("prepared").exists()
    assert not Path("runs").exists()


@pytest.mark.parametrize("name", ["Whole", "Given", "Answers"])
def test_a_model_may_get_its_methods_elsewhere(name):
    check_own_parts(config(model=name, loss="Loss"))


def test_the_classes_of_the_lab_have_what_is_said_to_be_needed():
    """Each under a name of its own, as those of the lab are not looked at."""
    groups = {folder.name for folder in config_dir().iterdir() if folder.is_dir()}
    assert groups <= {"model", "experiment", "debug", *NEEDED}
    targets = {
        (group, node["_target_"])
        for group in sorted(groups)
        for file in (config_dir() / group).rglob("*.yaml")
        if "_target_" in (node := yaml.safe_load(file.read_text()))
    }
    lines = []
    for number, (_, target) in enumerate(sorted(targets)):
        module, _, name = target.rpartition(".")
        lines.append(f"from {module} import {name}\nclass C{number}({name}):\n    pass\n")
    write("lacking/copies.py", "".join(lines))
    for number, (group, _) in enumerate(sorted(targets)):
        check_own_parts(OmegaConf.create({group: {"_target_": f"lacking.copies.C{number}"}}))
    assert len(targets) > 50


def test_an_init_with_other_arguments_is_told():
    with pytest.raises(UserError, match=r"expected __init__\(self, config, \*, num_items\)"):
        build(config(model="Module").model, num_items=3)
    node = {"_target_": "lacking.parts.Draws"}
    build_chosen(NEGATIVES, node, number=3, shared=True)
    with pytest.raises(UserError, match=r"Draws: its __init__ takes .*shared: 'bool'"):
        build_chosen(NEGATIVES, node, number=3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"optimizer": ("Makes", {"calls": 0})}, "Steps.step called its closure 0 times"),
        ({"optimizer": ("Makes", {"calls": 2})}, "Steps.step called its closure 2 times"),
        ({"optimizer": ("Makes", {"calls": -1})}, "Unasked.step() must take the argument closure"),
        ({"optimizer": ("Makes", {"calls": 1})}, None),
        ({"optimizer": ("Needs", {"calls": 0})}, None),
        ({"schedule": ("One", {})}, "expected factor(self, step, total), which returns a number"),
    ],
)
def test_an_optimizer_and_a_schedule_are_tried(options, message):
    nodes = {
        k: {"_target_": f"lacking.parts.{name}", **more} for k, (name, more) in options.items()
    }
    values = yaml.safe_load((config_dir() / "recipe/default.yaml").read_text())
    recipe = build(OmegaConf.create({"recipe": {**values, "learning_rate": 1e-3, **nodes}}).recipe)
    if message is None:
        try_out(recipe)
    else:
        with pytest.raises(UserError) as told:
            try_out(recipe)
        assert message in str(told.value)


def test_a_compiler_is_looked_for_before_data_are_read(capsys, monkeypatch):
    command = ["train", "recipe.compile=true", "recipe.accelerator=cpu", "tracking=none"]
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(Path.cwd()))
    assert run_command(command) == 2
    assert "there is neither g++ nor clang++ (nor the variable CXX)" in capsys.readouterr().err
    assert not Path("prepared").exists()


def test_what_a_launcher_starts_is_a_job():
    launcher = build(config(launcher="Plain").launcher)
    with pytest.raises(UserError, match=r"Plain\.start returned a Plain without code, interrupt"):
        started(launcher, 0, Task([], "log", "."))


def test_the_components_of_a_config_are_found():
    cfg = OmegaConf.create({"a": {"_target_": "x.Y"}, "b": {"c": 1}, "d": 3, "e": "???", "f": None})
    assert component_targets(cfg) == {"a": "x.Y"}
