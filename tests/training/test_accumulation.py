"""A step of several batches has the gradient of one batch that holds all of them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from rich.console import Console
from torch.nn import functional as F

from recsys_lab.config import build
from recsys_lab.data.batches import EvaluationBatches, TrainingBatches
from recsys_lab.training.fit import fit
from recsys_lab.training.module import SequentialModule
from recsys_lab.training.recipe import Recipe
from tests.training.test_resume import options

LENGTHS = (9, 3, 2, 8, 5, 4, 9, 2, 3, 7, 6)
ITEMS, RATE = 15, 0.5


class Unequal:
    """Eleven users with training histories of very different lengths, and two events more."""

    num_items = ITEMS
    items = np.random.default_rng(0).integers(0, ITEMS, sum(LENGTHS) + 22).astype(np.int32)
    timestamps = None
    features = None
    dropped_targets = np.empty(0, dtype=np.int64)

    def segments(self, phase: str) -> np.ndarray:
        lengths = np.asarray(LENGTHS)
        starts = np.cumsum(lengths + 2) - lengths - 2
        ends = starts + lengths
        columns = {
            "train": (starts, ends),
            "validation": (starts, ends, ends + 1),
            "test": (starts, ends + 1, ends + 2),
        }[phase]
        return np.stack([np.arange(len(lengths)), *columns], 1)


def model_of(name):
    torch.manual_seed(0)
    sizes = {"hidden_dim": 8, "feedforward_dim": 8, "max_length": 9, "dropout": 0.0}
    wanted = options("model", name)
    return build({**wanted, **{k: v for k, v in sizes.items() if k in wanted}}, num_items=ITEMS)


def batches(size):
    return TrainingBatches(Unequal(), batch_size=size, window=10, seed=3)


def softmax(states_ND, targets_N, table_VD):
    return F.cross_entropy(states_ND @ table_VD.T, targets_N)


def trained(folder, monkeypatch, size, accumulate, epochs=2, loss=softmax, **recipe_changes):
    """Weights after some epochs of plain gradient descent, which shows a gradient's size."""

    def plain(self, model, loss):
        del self, loss
        return torch.optim.SGD(model.parameters(), RATE)

    monkeypatch.setattr(Recipe, "optimizer", plain)
    changes = {"max_epochs": epochs, "accelerator": "cpu", "patience": None, **recipe_changes}
    changes |= {"batch_size": size, "accumulate_grad_batches": accumulate}
    recipe, data, model = (
        build(options("recipe", "default", **changes)),
        Unequal(),
        model_of("sasrec"),
    )
    protocol = build(options("evaluation", "full_ranking"))
    protocol.attach(data)
    fit(
        model, loss, recipe, protocol, batches(size),
        EvaluationBatches(data, "validation", batch_size=7, window=9, exclude_seen=True),
        folder, loggers=[], console=Console(quiet=True), on_epoch=len,
    )  # fmt: skip
    last = torch.load(folder / "last.ckpt", weights_only=True)["state_dict"]
    return {name.removeprefix("model."): value for name, value in last.items()}


@pytest.mark.parametrize(("size", "accumulate"), [(3, 4), (2, 6), (4, 3), (1, 50)])
def test_one_step_equals_that_of_one_big_batch(tmp_path, monkeypatch, size, accumulate):
    """Groups of unequal batches, the last of them smaller, and more asked for than there are."""
    parts = trained(tmp_path / "parts", monkeypatch, size, accumulate)
    whole = trained(tmp_path / "whole", monkeypatch, 11, 1)
    for name, value in whole.items():
        torch.testing.assert_close(parts[name], value, atol=1e-6, rtol=1e-5, msg=name)


@pytest.mark.parametrize("clip", [None, 0.05])
def test_the_last_shorter_group_counts_in_full(tmp_path, monkeypatch, clip):
    """Batches of 3, 3, 3 and 2 users, by hand: groups of three batches and of one."""
    got = trained(tmp_path, monkeypatch, 3, 3, epochs=1, gradient_clip=clip)
    model, given = model_of("sasrec"), list(batches(3))
    optimizer = torch.optim.SGD(model.parameters(), RATE)
    for group in (given[:3], given[3:]):
        states, targets = zip(*(model.training_states(batch) for batch in group), strict=True)
        loss = softmax(torch.cat(states), torch.cat(targets), model.item_table())
        optimizer.zero_grad()
        loss.backward()
        if clip is not None:
            assert torch.nn.utils.clip_grad_norm_(model.parameters(), clip) > clip
        optimizer.step()
    for name, value in model.state_dict().items():
        torch.testing.assert_close(got[name], value, atol=1e-6, rtol=1e-5, msg=name)


def test_a_step_of_one_batch_is_left_to_the_last_bit(tmp_path, monkeypatch):
    got = trained(tmp_path, monkeypatch, 4, 1, epochs=1)
    model = model_of("sasrec")
    optimizer = torch.optim.SGD(model.parameters(), RATE)
    for batch in batches(4):
        states_ND, targets_N = model.training_states(batch)
        optimizer.zero_grad()
        softmax(states_ND, targets_N, model.item_table()).backward()
        optimizer.step()
    for name, value in model.state_dict().items():
        assert torch.equal(got[name], value), name


def test_sparse_gradients_of_item_vectors_are_scaled_too(tmp_path, monkeypatch):
    def loss(states_ND, targets_N, table_VD):
        rows_ND = F.embedding(targets_N, table_VD, sparse=True)
        return -(states_ND * rows_ND).sum(1).mean()

    parts = trained(tmp_path / "parts", monkeypatch, 3, 4, epochs=1, loss=loss)
    whole = trained(tmp_path / "whole", monkeypatch, 11, 1, epochs=1, loss=loss)
    for name, value in whole.items():
        torch.testing.assert_close(parts[name], value, atol=1e-6, rtol=1e-5, msg=name)


def test_a_batch_without_an_event_that_counts_moves_nothing():
    """Its gradients are zeros, and the others of a step are as if it were not there."""
    model = model_of("sasrec")
    recipe = build(options("recipe", "default", accumulate_grad_batches=2))
    protocol = build(options("evaluation", "full_ranking"))
    protocol.attach(Unequal())
    loss = build(options("loss", "softmax"))
    [batch] = batches(len(LENGTHS))
    counts_T = torch.zeros(len(batch.items_T), dtype=torch.bool)
    nothing = replace(batch, supervised_T=counts_T)
    counts_T = counts_T.clone()
    counts_T[3:20] = True
    some = replace(batch, supervised_T=counts_T)

    def gradient(*parts):
        model.zero_grad()
        module = SequentialModule(model, loss, recipe, protocol, 1)
        for part in parts:
            (module.training_step(part, 0) / 2).backward()  # as Lightning does
        module.on_before_optimizer_step(None)
        return module, torch.cat([p.grad.flatten() for p in model.parameters()])

    module, zeros = gradient(nothing, nothing)
    assert not zeros.any()
    assert (module.mean_loss, module.loss_steps) == (0.0, 0)
    states_ND, targets_N = model.training_states(batch)
    followers_N = torch.ones(len(batch.items_T), dtype=torch.bool)
    followers_N[batch.offsets[:-1]] = False
    keep_N = counts_T[followers_N]
    model.zero_grad()
    loss(states_ND[keep_N], targets_N[keep_N], model.item_table()).backward()
    wanted = torch.cat([p.grad.flatten() for p in model.parameters()])
    for parts in ((some, nothing), (nothing, some)):
        module, found = gradient(*parts)
        torch.testing.assert_close(found, wanted)
        assert module.loss_steps == 1
