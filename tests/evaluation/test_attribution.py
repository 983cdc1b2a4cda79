"""Attributions against closed forms, and their faithfulness on a trained model."""

import re
import sys

import numpy as np
import pytest
import torch
from torch import nn

from recsys_lab.config import UserError, install_hint
from recsys_lab.contracts import Batch
from recsys_lab.evaluation import attribution
from recsys_lab.evaluation.attribution import integrated_gradients, scores_of
from recsys_lab.models.sequential.dot_product import DotProductModel
from tests.models.test_contracts import LENGTHS, NAMES, batch_of, make

ITEMS, DIM = 12, 4


class Sum(DotProductModel):
    """The state is a weighted sum of the events' vectors: every attribution is known."""

    window = 10

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.items = nn.Embedding(ITEMS, DIM)
        self.blocks = nn.ModuleList()

    def query_states(self, batch: Batch) -> torch.Tensor:
        x_TD = self.embed(batch)
        place_T = torch.cat([torch.arange(n) for n in batch.lengths]) + 1.0
        owner_T = torch.repeat_interleave(torch.arange(batch.size), torch.tensor(batch.lengths))
        weighted_TD = place_T.unsqueeze(1) * x_TD if self.by_rank else x_TD
        return torch.zeros(batch.size, DIM).index_add(0, owner_T, weighted_TD)

    by_rank = False


class Squares(Sum):
    """The state is the sum of squared vectors: not linear."""

    def embed(self, batch: Batch) -> torch.Tensor:
        return super().embed(batch) ** 2


class Steep(Sum):
    """Every number of a vector is nothing below a half of it, and one above."""

    def embed(self, batch: Batch) -> torch.Tensor:
        half_TD = self.items.weight[batch.items_T].detach() / 2
        return torch.sigmoid(400 * (super().embed(batch) - half_TD) * half_TD.sign())


def history(*items: int) -> Batch:
    return Batch(
        torch.tensor([3]), torch.tensor(items), torch.tensor([0, len(items)]), (len(items),)
    )


def test_integrated_gradients_of_a_weighted_sum_are_each_events_own_product():
    model, items = Sum(), torch.tensor([7, 2])
    model.by_rank = True
    found_KT = integrated_gradients(model, history(1, 5, 9), items)
    table = model.items.weight.detach().numpy()
    expected = table[[7, 2]] @ (table[[1, 5, 9]] * np.array([[1.0], [2.0], [3.0]])).T
    np.testing.assert_allclose(found_KT, expected, rtol=1e-4, atol=1e-5)


def test_integrated_gradients_sum_to_the_score_above_the_baseline():
    model, batch, items = Squares(), history(1, 5, 9, 5), torch.tensor([0, 7, 2])
    found_KT = integrated_gradients(model, batch, items)
    scores_K = scores_of(model, batch, items, ITEMS)[0]  # zero vectors score zero
    np.testing.assert_allclose(found_KT.sum(1), scores_K.detach(), rtol=1e-4, atol=1e-5)
    # d/da of the squared path is 2 a x^2: its integral is x^2, times the item's vector.
    table = model.items.weight.detach().numpy()
    expected = table[[0, 7, 2]] @ (table[[1, 5, 9, 5]] ** 2).T
    np.testing.assert_allclose(found_KT, expected, rtol=1e-4, atol=1e-5)


def test_steps_are_added_until_the_attributions_sum_to_the_score(monkeypatch):
    model, items = Steep(), torch.tensor([7, 2])
    found_KT = integrated_gradients(model, history(1, 5, 9), items)
    scores_K = scores_of(model, history(1, 5, 9), items, ITEMS)[0].detach()
    assert ((found_KT.sum(1) - scores_K).abs() <= 0.01 * found_KT.abs().sum(1) + 1e-4).all()
    monkeypatch.setattr(attribution, "_STEPS", (16,))
    with pytest.raises(UserError, match=r"Steep differ from the score .* even with 16 steps; use"):
        integrated_gradients(model, history(1, 5, 9), items)


@pytest.mark.parametrize("name", NAMES)
def test_integrated_gradients_of_every_model_sum_to_what_its_history_adds(name):
    model, items = make(name).eval(), torch.tensor([30, 38])
    events = list(range(LENGTHS[0]))
    batch = batch_of([events])
    found_K = integrated_gradients(model, batch, items).sum(1)
    with torch.no_grad():
        whole_K = scores_of(model, batch, items, len(model.items.weight))[0]
        model.items.weight[events] = 0.0  # the two items that are scored keep their vectors
        none_K = scores_of(model, batch, items, len(model.items.weight))[0]
    np.testing.assert_allclose(found_K, whole_K - none_K, rtol=0.02, atol=1e-3)


def test_what_cannot_be_explained_is_told(monkeypatch):
    with pytest.raises(UserError, match="object has no gradients"):
        integrated_gradients(object(), history(1, 2), torch.tensor([2]))
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    with pytest.raises(UserError, match=re.escape(install_hint("explain"))):
        integrated_gradients(Sum(), history(1, 2), torch.tensor([2]))
