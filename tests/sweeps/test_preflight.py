"""What a training step needs at least: against hand-made numbers and against what was measured."""

import math

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from recsys_lab.config import build, config_dir
from recsys_lab.contracts import Batch
from recsys_lab.sweeps.failures import cause_of, smaller_batch_helps
from recsys_lab.training.free_memory import _free_of_group, _free_of_machine, free_memory
from recsys_lab.training.memory_estimate import (
    CannotFit,
    MemoryEstimate,
    estimate_memory,
    events_per_batch,
)

GIBIBYTE = 1 << 30


def part(group, name, extras=None, **changes):
    node = {**OmegaConf.load(config_dir() / group / f"{name}.yaml"), **changes}
    return build(node, **(extras or {}))


def sasrec(num_items, **changes):
    return part("model", "sasrec", {"num_items": num_items}, **changes)


def needed(model, num_items, events, histories, loss="softmax", **recipe):
    made = part("recipe", "default", accelerator="cpu", **recipe)
    sizes = {"num_items": num_items, "events": events, "histories": histories}
    return estimate_memory(model, part("loss", loss), made, **sizes)


def test_hand_made_numbers():
    """A width of 4, one block with a hidden layer of 8, 100 items, histories of 10 events."""
    with torch.device("meta"):
        model = sasrec(100, hidden_dim=4, num_layers=1, feedforward_dim=8, max_length=10)
    found = needed(model, 100, events=30, histories=3)
    block = (4 * 12 + 12) + (4 * 4 + 4) + (4 * 8 + 8) + (8 * 4 + 4) + 2 * 8  # with two norms
    weights = 100 * 4 + 10 * 4 + block + 8
    assert (found.parameters, found.gradients, found.optimizer) == tuple(
        4 * weights * times for times in (1, 1, 2)
    )
    sgd = {
        "_target_": "recsys_lab.training.optimizers.TorchOptimizer",
        "name": "SGD",
        "options": {},
    }
    # Of an optimizer that does not state what it keeps nothing is assumed.
    assert needed(model, 100, events=30, histories=3, optimizer=sgd).optimizer == 0
    assert found.logits == 4 * 30 * 100
    # What the four layers and the two norms read; queries, keys and values.
    assert found.activations == 4 * 30 * (4 + 4 + 4 + 8 + 2 * 4 + 12)
    sparse = needed(model, 100, 30, 3, loss="sampled_softmax", sparse_embeddings=True)
    assert sparse.gradients == found.gradients - 4 * 100 * 4
    assert sparse.logits == 4 * 30 * (1 + 256)


def test_scores_in_memory():
    chunked = part("loss", "softmax", memory_mib=1, kernel="blocks")
    assert chunked.scores_in_memory(5000, 100_000, "cuda") == 2 * 100_000  # 1 MiB holds 2.6
    assert chunked.scores_in_memory(5, 100, "cuda") == 5 * 100
    buckets = part("loss", "sce", num_buckets=3, bucket_states=5, bucket_items=7)
    assert buckets.scores_in_memory(9, 9, "cpu") == 105
    sampled = part("loss", "bce", num_negatives=4)
    assert sampled.scores_in_memory(9, 9, "cpu") == 9 * 5

    def own(states_ND, targets_N, table_VD):  # somebody's loss, which says nothing of memory
        return (states_ND - table_VD[targets_N]).square().mean()

    model, recipe = sasrec(9), part("recipe", "default", accelerator="cpu")
    assert estimate_memory(model, own, recipe, num_items=9, events=9, histories=3).logits == 0


def test_events_of_a_batch():
    lengths = np.array([1, 3, 6, 20])  # the first has nothing to predict
    last = {"crop": "last", "prefixes": False}
    assert events_per_batch(lengths, window=8, batch_size=2, **last) == (7.5, 1.5)
    # Every beginning on its own: 1 + 2; 1 + ... + 5; 1 + ... + 8 and then 8 of 8 events.
    every = 3 + 15 + 36 + 11 * 8
    found = events_per_batch(lengths, window=8, batch_size=26, crop="sliding", prefixes=True)
    assert found == (every, 2 + 5 + 19)
    # Of the last window alone; and windows end to end, of 2, 5, and 3, 8 and 8 events.
    found = events_per_batch(lengths, window=8, batch_size=15, crop="random", prefixes=True)
    assert found == (3 + 15 + 36, 2 + 5 + 8)
    found = events_per_batch(lengths, window=8, batch_size=5, crop="sliding", prefixes=False)
    assert found == (2 + 5 + 19, 1 + 1 + 3)
    assert events_per_batch(np.array([1, 0]), window=8, batch_size=2, **last) == (0, 0)


def measured(make, num_items, lengths):
    """Peak bytes of two steps, in Lightning's order, by torch's own account."""
    batch = Batch(
        users_B=torch.arange(len(lengths)),
        items_T=torch.randint(num_items, (sum(lengths),)),
        offsets=torch.tensor([0, *np.cumsum(lengths)]),
        lengths=tuple(lengths),
    )
    with torch.profiler.profile(profile_memory=True) as profile:
        model, loss = make(), part("loss", "softmax")
        optimizer = part("recipe", "default", accelerator="cpu").optimizer(model, loss)
        for _ in range(2):
            value = loss(*model.training_states(batch), model.item_table())
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            del value
    events = profile.profiler.kineto_results.events()
    changes = [event.nbytes() for event in events if event.name() == "[memory]"]
    return int(np.cumsum(changes).max())


@pytest.mark.parametrize(
    ("num_items", "users", "length", "changes"),
    [
        (20_000, 4, 10, {"hidden_dim": 64}),  # nearly all of it weights
        (100, 32, 40, {"hidden_dim": 64, "num_layers": 3}),  # nearly all of it activations
    ],
)
def test_what_was_measured_lies_within_a_factor_of_two_above(num_items, users, length, changes):
    lengths = [length + 1] * users
    peak = measured(lambda: sasrec(num_items, **changes), num_items, lengths)
    with torch.device("meta"):
        model = sasrec(num_items, **changes)
    bound = needed(model, num_items, users * length, users).total
    assert bound <= peak <= 2 * bound


def test_refused_only_where_it_surely_cannot_be():
    small = MemoryEstimate(GIBIBYTE, GIBIBYTE, 2 * GIBIBYTE, GIBIBYTE // 2, GIBIBYTE // 4)
    assert small.total == 4.75 * GIBIBYTE
    small.refuse(small.total)
    with pytest.raises(CannotFit) as caught:
        small.refuse(small.total - 1)
    said = (
        "cannot fit: needs about 4.75 GiB (parameters with gradients and optimizer 4.00 GiB, "
        "logits 0.50 GiB, activations 0.25 GiB), 4.75 GiB free"
    )
    assert str(caught.value) == cause_of(caught.value) == said
    assert smaller_batch_helps(caught.value)
    with pytest.raises(CannotFit) as caught:
        small.refuse(3 * GIBIBYTE)
    assert not smaller_batch_helps(caught.value)


def test_free_memory_of_machine_and_container(tmp_path):
    file = tmp_path / "meminfo"
    file.write_text("MemTotal: 9 kB\nMemAvailable: 300 kB\nSwapTotal: 90 kB\nSwapFree: 20 kB\n")
    assert _free_of_machine(file) == 320 << 10
    assert _free_of_machine(tmp_path / "absent") > 0
    assert _free_of_group(tmp_path) > 1 << 60  # no container
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.stat").write_text("anon 300\nfile 600\n")
    assert _free_of_group(tmp_path) == 700
    (tmp_path / "memory.max").write_text("max\n")
    assert _free_of_group(tmp_path) > 1 << 60
    assert 0 < free_memory("cpu") < 1 << 50


def test_causes_of_failures():
    cpu = RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried ...")
    for error in (MemoryError("no"), torch.OutOfMemoryError("CUDA out of memory."), cpu):
        assert cause_of(error).startswith("out of memory: ")
        assert smaller_batch_helps(error)
    assert cause_of(ValueError("wrong")) == "ValueError: wrong"
    assert not smaller_batch_helps(ValueError("wrong"))


def test_two_half_batches_have_the_gradient_of_a_whole_one():
    """Of losses that are means: exact where both halves have as many positions."""
    torch.manual_seed(0)
    model = sasrec(30, hidden_dim=8, max_length=5, dropout=0.0)
    loss = part("loss", "softmax")
    items = torch.randint(30, (4, 6))

    def gradient(*parts):
        model.zero_grad()
        for rows in parts:
            count = len(rows)
            batch = Batch(
                torch.arange(count), rows.flatten(), 6 * torch.arange(count + 1), (6,) * count
            )
            value = loss(*model.training_states(batch), model.item_table())
            (value / len(parts)).backward()  # as Lightning does with accumulate_grad_batches
        return torch.cat([weight.grad.flatten() for weight in model.parameters()])

    torch.testing.assert_close(gradient(items[:2], items[2:]), gradient(items))
    assert math.isfinite(float(gradient(items).sum()))
