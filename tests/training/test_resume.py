"""A run that is stopped anywhere and continued ends bit for bit as one left alone."""

from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from rich.console import Console

from recsys_lab.config import Interrupted, UserError, build, config_dir
from recsys_lab.data.batches import EvaluationBatches, TrainingBatches
from recsys_lab.training import fit as fit_module
from recsys_lab.training.checkpoint_file import SealedCheckpointIO
from recsys_lab.training.cost import CostMonitor
from recsys_lab.training.fit import fit

USERS, ITEMS, EPOCHS = 24, 30, 4


class FakeData:
    """Twenty-four users with ten events each."""

    num_items = ITEMS
    items = np.random.default_rng(0).integers(0, ITEMS, USERS * 10).astype(np.int32)
    timestamps = None
    features = None
    dropped_targets = np.empty(0, dtype=np.int64)
    _ends: ClassVar[dict[str, tuple[int, ...]]] = {
        "train": (0, 8), "validation": (0, 8, 9), "test": (0, 9, 10),
    }  # fmt: skip

    def segments(self, phase: str) -> np.ndarray:
        users = np.arange(USERS)
        return np.stack([users, *(users * 10 + place for place in self._ends[phase])], 1)


def options(group: str, name: str, **changes) -> dict:
    return {**OmegaConf.load(config_dir() / group / f"{name}.yaml"), **changes}


def plain_loss(states_ND, targets_N, table_VD):
    return torch.nn.functional.cross_entropy(states_ND @ table_VD.T, targets_N)


def train(
    folder: Path,
    monkeypatch,
    stop_after: int | None,
    loss=plain_loss,
    console=None,
    **recipe_changes,
):
    """Train to the end, or until ``stop_after`` more steps were made."""
    torch.manual_seed(0)
    model = build(
        options("model", "sasrec", hidden_dim=8, feedforward_dim=8, max_length=8, dropout=0.3),
        num_items=ITEMS,
    )
    recipe = build(
        options(
            "recipe", "default", **{
                "max_epochs": EPOCHS, "batch_size": 5, "schedule": "cosine", "warmup_steps": 3,
                "accelerator": "cpu", **recipe_changes,
            },
        )
    )  # fmt: skip
    protocol = build(options("evaluation", "full_ranking"))
    data = FakeData()
    protocol.attach(data)
    asked = [0]

    def stop() -> bool:
        asked[0] += 1
        return stop_after is not None and asked[0] >= stop_after

    class Signal:
        def __enter__(self):
            return stop

        def __exit__(self, *_):
            return None

    monkeypatch.setattr(fit_module, "_stop_signal", Signal)
    return fit(
        model, loss, recipe, protocol,
        TrainingBatches(data, batch_size=5, window=9, seed=7),
        EvaluationBatches(data, "validation", batch_size=7, window=8, exclude_seen=True),
        folder, loggers=[], console=console or Console(quiet=True), on_epoch=len,
    ), model  # fmt: skip


def last_state(folder: Path) -> dict:
    return torch.load(folder / "last.ckpt", weights_only=True)


def dense_sparse_optimizer() -> dict:
    return {
        "loss": build(options("loss", "sampled_softmax", num_negatives=5)),
        "sparse_embeddings": True,
    }


def accumulating() -> dict:
    return {"accumulate_grad_batches": 2}


def averaging() -> dict:
    return {"ema_decay": 0.9, "weight_decay": 0.1, "weight_decay_on": "matrices"}


def judging_rarely() -> dict:
    return {"validate_every_epochs": 3}


@pytest.mark.parametrize(
    ("stops", "how"),
    [
        ((1,), dict),
        ((5,), dict),
        ((3, 4, 6), dict),
        ((2, 1, 1, 1, 9), dict),
        ((3, 4), dense_sparse_optimizer),
        ((1, 3), accumulating),
        ((2, 6), averaging),
        ((2, 16), judging_rarely),  # the last epoch, which is not the third or sixth, is resumed
    ],
)
def test_stopped_and_continued_equals_left_alone(tmp_path, monkeypatch, stops, how):
    whole, _ = train(tmp_path / "whole", monkeypatch, None, **how())
    for steps in stops:
        with pytest.raises(Interrupted):
            train(tmp_path / "parts", monkeypatch, steps, **how())
    parts, _ = train(tmp_path / "parts", monkeypatch, None, **how())
    assert parts.history == whole.history
    assert parts.best_epoch == whole.best_epoch
    mine, reference = last_state(tmp_path / "parts"), last_state(tmp_path / "whole")
    assert mine["global_step"] == reference["global_step"]
    assert reference["global_step"] == EPOCHS * (3 if how is accumulating else 5)
    for name, value in reference["state_dict"].items():
        assert torch.equal(mine["state_dict"][name], value), name
    best = (tmp_path / "parts" / "best.safetensors").read_bytes()
    assert best == (tmp_path / "whole" / "best.safetensors").read_bytes()


def watched(keeper) -> list[int]:
    return [row["epoch"] for row in keeper.history if "val/ndcg@10" in row]


@pytest.mark.parametrize(
    ("every", "epochs"), [(1, [0, 1, 2, 3]), (2, [1, 3]), (3, [2, 3]), (9, [3])]
)
def test_the_last_epoch_is_validated_whatever_the_interval(tmp_path, monkeypatch, every, epochs):
    keeper, _ = train(tmp_path, monkeypatch, None, validate_every_epochs=every)
    assert [row["epoch"] for row in keeper.history] == list(range(EPOCHS))
    assert watched(keeper) == epochs
    assert keeper.best_epoch in epochs


def test_still_improving_looks_at_validated_epochs_alone(tmp_path, monkeypatch):
    keeper, _ = train(tmp_path, monkeypatch, None, validate_every_epochs=2)
    values = {0: None, 1: 0.1, 2: None, 3: 0.2, 4: None}
    keeper.history = [
        {"epoch": epoch} | ({} if value is None else {"val/ndcg@10": value})
        for epoch, value in values.items()
    ]
    keeper.best_epoch = 3
    assert keeper.still_improving
    keeper.best_epoch = 1
    assert not keeper.still_improving


def test_patience_counts_epochs_not_validations(tmp_path, monkeypatch):
    """Without learning nothing gets better, so the third epoch after the best is the last."""
    frozen = {"learning_rate": 1e-12, "patience": 3, "max_epochs": 9}
    keeper, _ = train(tmp_path, monkeypatch, None, validate_every_epochs=2, **frozen)
    assert keeper.best_epoch == 1
    assert watched(keeper) == [1, 3, 5]
    assert not keeper.still_improving


def test_a_run_that_patience_has_ended_stays_ended(tmp_path, monkeypatch):
    frozen = {"learning_rate": 1e-12, "patience": 2, "max_epochs": 9}
    first, _ = train(tmp_path, monkeypatch, None, **frozen)
    again, _ = train(tmp_path, monkeypatch, None, **frozen)
    assert len(first.history) == 3
    assert again.finished
    assert again.history == first.history


def test_the_state_in_a_checkpoint_has_the_names_that_it_always_had(tmp_path, monkeypatch):
    """Runs that an older version stopped go on: these names are a file format."""
    train(tmp_path, monkeypatch, None, max_epochs=1)
    state = last_state(tmp_path)
    assert set(state["callbacks"]["Keeper"]) == {
        "history", "best_value", "best_epoch", "best_digest", "waited", "place", "random",
    }  # fmt: skip
    assert CostMonitor().state_key == "Meter"
    assert set(CostMonitor().state_dict()) == {
        "events", "steps", "step_seconds", "wait_seconds", "counted_events", "counted_flops",
        "joules",
    }  # fmt: skip
    del state["callbacks"]["Keeper"]
    SealedCheckpointIO().save_checkpoint(state, tmp_path / "last.ckpt")
    with pytest.raises(UserError, match=r"last\.ckpt: has weights but no state of the run"):
        train(tmp_path, monkeypatch, None, max_epochs=2)
