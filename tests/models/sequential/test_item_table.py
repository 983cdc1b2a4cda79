"""The table of all items' vectors is made once an evaluation, and never an old one is used."""

import copy

import pytest
import torch
from omegaconf import OmegaConf
from torch.nn import functional as F

from recsys_lab.config import build, config_dir
from tests.models.inputs.test_inputs import attached
from tests.models.test_contracts import V, batch_of, histories, make

SOURCES = {"features": ["kind", "tags", "price"], "fusion": "gate"}


def counted(model_name="sasrec", **changes):
    """A model in evaluation, and the number of times that a table was made of its sources."""
    model = attached(model_name, **{**SOURCES, **changes}).eval()
    made = []
    tables = [model.items] if model.output is None else [model.items, model.output]
    for table in tables:
        table.register_forward_hook(lambda _, given, __: made.append(len(given[0]) == V))
    return model, lambda: sum(made)


def fresh(model):
    """The table without anything kept."""
    again = copy.deepcopy(model)
    for module in again.modules():
        module._forward_hooks.clear()
    with torch.enable_grad():
        return again.item_table().detach()


def adam(model):
    """The optimizer that training has, whose kernel changes weights behind Python's back."""
    values = OmegaConf.load(config_dir() / "recipe" / "default.yaml")
    return build({**values, "learning_rate": 0.05, "accelerator": "cpu"}).optimizer(model, None)


@pytest.mark.parametrize("model_name", ["sasrec", "gsasrec"])  # one table, and another to score by
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_one_table_serves_all_batches_of_an_evaluation(model_name, mode):
    model, made = counted(model_name)
    with mode():
        for seed in range(5):
            batch = batch_of(histories(seed))
            lists = model.recommend(batch, V, None)
            scores_BV = model.query_states(batch) @ fresh(model).T
            got = scores_BV.gather(1, lists.items_BK)
            torch.testing.assert_close(got, lists.scores_BK)
    assert made() == 1


def test_each_change_of_the_weights_makes_a_new_one():
    model, made = counted()
    optimizer = adam(model)

    def evaluated():
        with torch.inference_mode():
            return model.item_table().clone()

    def step(training=True):
        model.train(training)
        states_ND, targets_N = model.training_states(batch_of(histories()))
        F.cross_entropy(states_ND @ model.item_table().T, targets_N).backward()
        optimizer.step()
        model.eval()

    def load():
        model.load_state_dict({k: v + 0.1 for k, v in model.state_dict().items()})

    before = evaluated()
    for change in (step, load, lambda: step(training=False), model.double):
        change()
        seen = made()
        after = evaluated()
        assert made() == seen + 1, change
        assert not torch.equal(after, before), change
        torch.testing.assert_close(after, fresh(model), atol=0, rtol=0)
        evaluated()
        assert made() == seen + 1, change
        before = after


def test_the_table_of_an_evaluation_is_not_trained_on():
    model, _ = counted()
    with torch.inference_mode():
        model.item_table()
    for training in (True, False):  # a gradient is wanted in either
        model.train(training)
        model.zero_grad()
        model.item_table().square().sum().backward()
        assert all(p.grad.abs().sum() > 0 for p in model.items.parameters() if p.dim() > 1)


def test_weights_made_in_inference_mode_are_read_anew():
    with torch.inference_mode():
        model = attached(**SOURCES).eval()
        before = model.item_table().clone()
        next(model.items.parameters()).mul_(2)
        assert not torch.equal(model.item_table(), before)


def test_plain_tables_need_none():
    model = make("sasrec").eval()
    with torch.inference_mode():
        assert model.item_table().data_ptr() == model.items.weight.data_ptr()
