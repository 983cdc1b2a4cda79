"""Schedules by hand; options that cannot work are refused."""

import pytest
import torch
from omegaconf import OmegaConf

from recsys_lab.config import UserError, build, config_dir
from recsys_lab.training.fit import _check


def recipe(**changes):
    values = OmegaConf.load(config_dir() / "recipe" / "default.yaml")
    return build({**values, **changes})


def protocol():
    return build(OmegaConf.load(config_dir() / "evaluation" / "full_ranking.yaml"))


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


def test_monitor_must_be_computed():
    with pytest.raises(UserError, match=r"recipe.monitor: got 'test/ndcg@10'.*val/ndcg@10"):
        _check(recipe(monitor="test/ndcg@10"), protocol(), 5)


def test_a_warm_up_that_outlasts_the_training_is_refused():
    _check(recipe(warmup_steps=100), protocol(), 5)  # 20 epochs: the peak is reached at the end
    with pytest.raises(UserError, match=r"warmup_steps: got 101, more than the 100 steps"):
        _check(recipe(warmup_steps=101), protocol(), 5)


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
