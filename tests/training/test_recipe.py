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


def test_monitor_must_be_computed():
    with pytest.raises(UserError, match=r"recipe.monitor: got 'test/ndcg@10'.*val/ndcg@10"):
        _check(recipe(monitor="test/ndcg@10"), protocol())


def test_an_epoch_must_be_validated():
    with pytest.raises(UserError, match="validate_every: got 30, more than the 20 epochs"):
        _check(recipe(validate_every=30), protocol())


def test_precision_on_a_cpu():
    assert recipe(accelerator="cpu").trainer_precision() == "32"
    assert recipe(precision="bf16-mixed").trainer_precision() == "bf16-mixed"


def test_clipping_under_mixed_precision_gives_up_the_fused_form():
    """Lightning refuses a fused optimizer there, with an error in the middle of the first step."""
    parameters = [torch.nn.Parameter(torch.zeros(1))]
    for precision, clip, fused in (("32", 1.0, True), ("bf16-mixed", None, True),
                                   ("bf16-mixed", 1.0, False)):  # fmt: skip
        made = recipe(precision=precision, gradient_clip=clip, accelerator="cpu")
        assert made.optimizer(parameters).defaults["fused"] is fused
