"""What holds for each generative model of the config group, made small."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml

from recsys_lab.config import build, config_dir
from recsys_lab.config.schema import has_method
from recsys_lab.contracts import SemanticIds
from recsys_lab.evaluation.protocols.base import check_lists
from recsys_lab.training.memory_estimate import kept_per_event, kept_per_target
from tests.models.generative.tables import batch_of, beam, exact

ITEMS, SIZES = 30, (5, 4, 3)
HISTORIES = [[1, 2], [4], [6, 7, 8, 9, 10], [3]]
SMALL = {"hidden_dim": 16, "feedforward_dim": 24, "max_length": 6}
SEEN = (torch.tensor([0, 0, 1, 2, 2, 3]), torch.tensor([1, 2, 4, 6, 7, 3]))


def options(name):
    values = yaml.safe_load((config_dir() / "model" / f"{name}.yaml").read_text())
    values.pop("defaults", None)  # choices of other groups
    return {key: SMALL.get(key, value) for key, value in values.items()}


def generators():
    """Names of all generative models but those that need weights of their own."""
    names = sorted(path.stem for path in (config_dir() / "model").glob("*.yaml"))
    made = {name: options(name) for name in names}
    return [
        name
        for name, values in made.items()
        if has_method(values["_target_"], "read_semantic_ids") and "???" not in values.values()
    ]


def made(name, decoding):
    """A model with random weights; the first three items share their codes."""
    generator = torch.Generator().manual_seed(3)
    codes_VL = torch.stack([torch.randint(n, (ITEMS,), generator=generator) for n in SIZES], 1)
    codes_VL[:3] = codes_VL[0]
    vectors_VE = torch.randn(ITEMS, 7, generator=generator).numpy()
    ids = SemanticIds(codes_VL, SIZES, vectors_VE, "0")
    torch.manual_seed(0)
    model = build(options(name), num_items=ITEMS)
    decoding.read_codes(ids)
    data = SimpleNamespace(training_item_counts=lambda: np.ones(ITEMS, np.int64))
    model.read_semantic_ids(ids, data, decoding)
    return model.eval()


@pytest.mark.parametrize("exclude", [None, SEEN])
@pytest.mark.parametrize("name", generators())
@torch.inference_mode()
def test_as_many_beams_as_items_give_the_exact_lists(name, exclude):
    wanted = made(name, exact(7)).recommend(batch_of(HISTORIES), 20, exclude)
    found = made(name, beam(ITEMS)).recommend(batch_of(HISTORIES), 20, exclude)
    check_lists(found, 20, exclude, ITEMS, name)
    assert torch.equal(found.items_BK, wanted.items_BK)
    torch.testing.assert_close(found.scores_BK, wanted.scores_BK)


@pytest.mark.parametrize("name", generators())
@torch.inference_mode()
def test_lists_of_few_beams_are_valid_and_do_not_depend_on_the_batch(name):
    model = made(name, beam(20))
    together = model.recommend(batch_of(HISTORIES), 8, SEEN)
    check_lists(together, 8, SEEN, ITEMS, name)
    for row, history in enumerate(HISTORIES):
        mine = SEEN[1][SEEN[0] == row]
        alone = model.recommend(batch_of([history], [row]), 8, (torch.zeros_like(mine), mine))
        assert torch.equal(alone.items_BK[0], together.items_BK[row])
        torch.testing.assert_close(alone.scores_BK[0], together.scores_BK[row])


@pytest.mark.parametrize("name", generators())
def test_the_memory_of_all_tokens_of_an_event_is_estimated(name):
    """By what a training step keeps for the backward pass, without the weights."""
    model, kept = made(name, exact(7)), {}
    weights = {weight.data_ptr() for weight in model.parameters()}

    def pack(tensor):
        if tensor.is_floating_point() and tensor.data_ptr() not in weights:
            kept[tensor.data_ptr()] = tensor.numel()
        return tensor

    histories, events = 200, 6
    batch = batch_of([[1 + place for place in range(events + 1)]] * histories)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss, _ = model.training_loss(batch)
    del loss
    estimated = histories * (events * kept_per_event(model) + kept_per_target(model))
    # A lower bound; of TIGER's layers it counts what their matrix products read.
    least = 0.5 if name == "generative_decoder" else 0.2
    assert least < estimated / sum(kept.values()) < 1
