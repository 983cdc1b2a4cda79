"""Schedules by hand; options that cannot work are refused."""

import math
from dataclasses import dataclass

import pytest
import torch
from omegaconf import OmegaConf

from recsys_lab.config import UserError, build, class_of_chosen, config_dir
from recsys_lab.training.fit import _check
from recsys_lab.training.optimizers import OPTIMIZERS, OptimizerFactory
from recsys_lab.training.schedules import SCHEDULES, Schedule


def recipe(**changes):
    values = OmegaConf.load(config_dir() / "recipe" / "default.yaml")
    return build({**values, **changes})


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", {0: 0.25, 3: 1.0, 4: 1.0, 14: 1.0}),
        ("linear", {0: 0.25, 3: 1.0, 4: 1.0, 9: 0.5, 14: 0.0}),
        ("cosine", {0: 0.25, 3: 1.0, 4: 1.0, 9: 0.5, 14: 0.0}),
    ],
)
def test_rate(schedule, expected):
    rates = recipe(schedule=schedule, warmup_steps=4)
    for step, rate in expected.items():
        assert rates.rate(step, 14) == pytest.approx(rate), step


@pytest.mark.parametrize(
    ("schedule", "step", "rate"),
    [
        ("linear", 6, 0.8),  # 2 of the 10 steps after the warm-up
        ("cosine", 6, 0.9045084971874737),  # (1 + cos 36 degrees) / 2
        ("cosine", 12, 0.09549150281252627),  # (1 + cos 144 degrees) / 2
        ("linear", 99, 0.0),
    ],
)
def test_rate_between_its_ends(schedule, step, rate):
    assert recipe(schedule=schedule, warmup_steps=4).rate(step, 14) == pytest.approx(rate)


def test_a_warm_up_as_long_as_the_training_only_rises():
    rates = recipe(schedule="cosine", warmup_steps=5)
    assert [rates.rate(step, 5) for step in range(5)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])


def test_the_optimizer_follows_the_rate():
    made = recipe(schedule="linear", warmup_steps=2, learning_rate=0.1, accelerator="cpu")
    optimizer = made.optimizer(torch.nn.Linear(1, 1), None)
    scheduler = made.scheduler(optimizer, 6)
    used = []
    for _ in range(6):
        used.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert used == pytest.approx([0.05, 0.1, 0.1, 0.075, 0.05, 0.025])


def test_a_constant_rate_needs_no_scheduler():
    made = recipe(schedule="constant", warmup_steps=0, accelerator="cpu")
    optimizer = made.optimizer(torch.nn.Linear(1, 1), None)
    assert made.scheduler(optimizer, 6) is None
    assert type(optimizer) is torch.optim.Adam
    adamw = recipe(optimizer="adamw").optimizer(torch.nn.Linear(1, 1), None)
    assert type(adamw) is torch.optim.AdamW


def test_a_warm_up_that_outlasts_the_training_is_refused():
    _check(recipe(warmup_steps=100), 5)  # 20 epochs: the peak is reached at the end
    with pytest.raises(UserError, match=r"warmup_steps: got 101, expected at most 100"):
        _check(recipe(warmup_steps=101), 5)


def test_precision_on_a_cpu():
    assert recipe(accelerator="cpu").trainer_precision() == "32"
    assert recipe(precision="bf16-mixed").trainer_precision() == "bf16-mixed"
    with pytest.raises(UserError, match=r"16-mixed: half precision needs a GPU, .*use bf16-mixed"):
        recipe(precision="16-mixed", accelerator="cpu").trainer_precision()


def test_a_gpu_that_is_not_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert recipe(accelerator="auto").device() == recipe(accelerator="cpu").device() == "cpu"
    with pytest.raises(UserError, match=r"recipe.accelerator=gpu: torch finds no CUDA device"):
        recipe(accelerator="gpu").device()


def test_clipping_under_mixed_precision_gives_up_the_fused_form():
    """Lightning refuses a fused optimizer there, with an error in the middle of the first step."""
    for precision, clip, fused in (("32", 1.0, True), ("bf16-mixed", None, True),
                                   ("bf16-mixed", 1.0, False)):  # fmt: skip
        made = recipe(precision=precision, gradient_clip=clip, accelerator="cpu")
        assert made.optimizer(torch.nn.Linear(1, 1), None).defaults["fused"] is fused


TORCH = {"_target_": "recsys_lab.training.optimizers.TorchOptimizer"}


def test_any_optimizer_of_torch():
    node = {**TORCH, "name": "SGD", "options": {"momentum": 0.9}}
    made = recipe(optimizer=node, learning_rate=0.5, weight_decay=0.1)
    optimizer = made.optimizer(torch.nn.Linear(1, 1), None)
    assert type(optimizer) is torch.optim.SGD
    values = [optimizer.defaults[name] for name in ("lr", "momentum", "weight_decay")]
    assert values == [0.5, 0.9, 0.1]
    nadam = recipe(optimizer={**TORCH, "name": "NAdam", "options": {}}, beta1=0.5)
    assert nadam.optimizer(torch.nn.Linear(1, 1), None).defaults["betas"] == (0.5, 0.98)


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("SDG", {}, r"name: got 'SDG', not one of .*SGD.*did you mean 'SGD'"),
        ("LBFGS", {}, r"name: got 'LBFGS', not one of"),
        ("Optimizer", {}, r"name: got 'Optimizer', not one of"),
        ("SGD", {"beta": 1}, r"options: SGD does not take beta here; its options: .*momentum"),
        ("SGD", {"lr": 1}, r"options: SGD does not take lr here; .*\(the recipe gives lr, betas"),
        ("SGD", {"momentum": -1.0}, r"recipe\.optimizer: SGD: Invalid momentum value: -1\.0"),
    ],
)
def test_what_torch_has_not_is_refused(name, options, said):
    with pytest.raises(UserError, match=said):
        recipe(optimizer={**TORCH, "name": name, "options": options}).optimizer(
            torch.nn.Linear(1, 1), None
        )


class Odd(OptimizerFactory, Schedule):
    """Makes no optimizer, and rates that cannot be."""

    @dataclass(frozen=True)
    class Config:
        factor: float

    def make(self, parameters, _recipe):
        return [*parameters]

    def factor(self, _step, _total):
        return self.config.factor


@pytest.mark.parametrize("factor", [math.nan, -0.5, math.inf])
def test_what_one_of_your_own_may_not_do(monkeypatch, factor):
    monkeypatch.setenv("RECSYS_LAB_ALLOWED_TARGETS", __name__)
    node = {"_target_": f"{__name__}.Odd", "factor": factor}
    made = recipe(optimizer=node, schedule=node, warmup_steps=2, accelerator="cpu")
    with pytest.raises(UserError, match=r"recipe\.optimizer: Odd\.make returned a list, expected"):
        made.optimizer(torch.nn.Linear(1, 1), None)
    assert made.rate(0, 10) == 0.5
    with pytest.raises(UserError, match=rf"Odd: got factor {factor} at step 1 of 8, expected"):
        made.rate(3, 10)


@pytest.mark.parametrize("table", [OPTIMIZERS, SCHEDULES])
def test_every_name_has_a_class_of_its_kind(table):
    for name in table.names:
        kind = class_of_chosen(table, name)
        assert issubclass(kind, OptimizerFactory if table is OPTIMIZERS else Schedule)
