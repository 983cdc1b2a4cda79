"""The whole training loop on torch's meta device, where a wait of the host for a value raises."""

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.accelerators import CPUAccelerator
from pytorch_lightning.strategies import SingleDeviceStrategy
from rich.console import Console

from recsys_lab.config import build
from recsys_lab.data.batches import TrainingBatches
from recsys_lab.tracking.epoch_logger import EpochLogger
from recsys_lab.training import fit as fit_module
from recsys_lab.training import step_log
from recsys_lab.training.cost import CostMonitor
from recsys_lab.training.recipe import Recipe
from recsys_lab.training.step_log import StepLog
from tests.training.test_accumulation import Unequal, batches, model_of
from tests.training.test_resume import options

META = torch.device("meta")


class EnoughError(Exception):
    """Ends a training before its epoch does, whose mean loss is read."""


class Enough(pl.Callback):
    def on_train_batch_end(self, trainer, *_):
        if trainer.global_step == 4:
            raise EnoughError


class MetaAccelerator(CPUAccelerator):
    def setup_device(self, device):
        assert device == META


class MetaStrategy(SingleDeviceStrategy):
    def teardown(self):
        """Leave the model there."""


@pytest.fixture(autouse=True)
def _on_meta(monkeypatch):
    def trainer(real=pl.Trainer, **given):
        del given["accelerator"], given["devices"]
        return real(**given, strategy=MetaStrategy(META, accelerator=MetaAccelerator()))

    monkeypatch.setattr(fit_module.pl, "Trainer", trainer)
    # It waits once, before the first step.
    for loop in ("fit_loop", "evaluation_loop"):
        name = f"pytorch_lightning.loops.{loop}.has_len_all_ranks"
        monkeypatch.setattr(name, lambda *_: True)
    monkeypatch.setattr(Recipe, "allows_fused", property(lambda _: False))  # there is none on meta


@pytest.mark.parametrize("resident", [False, True])
@pytest.mark.parametrize("name", ["sasrec", "bert4rec"])
def test_steps_do_not_wait(tmp_path, monkeypatch, name, resident):
    """With everything that is done in or between them: accumulation, clipping, schedule, average,
    values for the trackers, the cost and the progress."""
    copied, read = [], []
    monkeypatch.setattr(
        step_log,
        "fetch_later",
        lambda values: copied.append(values.device) or (lambda: read.append(0) or [0.0, 0.0]),
    )
    wanted = {
        "batch_size": 1, "accumulate_grad_batches": 2, "gradient_clip": 1.0, "schedule": "cosine",
        "ema_decay": 0.9, "accelerator": "cpu", "checkpoint_every_steps": 100, "log_every": 2,
    }  # fmt: skip
    recipe = build(options("recipe", "default", **wanted))
    protocol, data = build(options("evaluation", "full_ranking")), Unequal()
    protocol.attach(data)
    loader = batches(1)
    if resident:
        loader = TrainingBatches(data, batch_size=1, window=10, seed=3, device=META)
    model, loss = model_of(name), build(options("loss", "sampled_softmax"))
    with pytest.raises(EnoughError):
        fit_module.fit(
            model, loss, recipe, protocol, loader, (), tmp_path,
            loggers=[EpochLogger("x", lambda *_: None)], console=Console(quiet=True),
            on_epoch=len, callbacks=[CostMonitor(), StepLog(2), Enough()],
        )  # fmt: skip
    assert copied == [META, META]  # of the second and the fourth step
    assert len(read) == 2  # the last one when the training ends
    assert next(model.parameters()).device == META


def test_a_wait_in_a_step_would_be_seen(tmp_path):
    recipe = build(options("recipe", "default", accelerator="cpu"))
    protocol = build(options("evaluation", "full_ranking"))
    protocol.attach(Unequal())

    steps = []

    def loss(states_ND, targets_N, table_VD):
        steps.append(0)
        total = torch.nn.functional.cross_entropy(states_ND @ table_VD.T, targets_N)
        return total * (1 if total > 0 else 2)

    with pytest.raises(RuntimeError, match=r"item\(\) cannot be called on meta"):
        fit_module.fit(
            model_of("sasrec"), loss, recipe, protocol, batches(1), (), tmp_path, loggers=[],
            console=Console(quiet=True), on_epoch=len, callbacks=[Enough()],
        )  # fmt: skip
    assert steps == [0]
