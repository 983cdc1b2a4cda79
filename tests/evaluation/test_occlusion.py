"""Occlusion against closed forms, and on a model whose use of every event is planted."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from recsys_lab.contracts import Batch, ListFeature
from recsys_lab.evaluation.attribution import scores_of
from recsys_lab.evaluation.occlusion import Replacements, occlusion
from recsys_lab.models.ranking import top_k
from tests.evaluation.test_attribution import DIM, ITEMS, Sum, history

ALL = Replacements(history(*range(ITEMS)), ITEMS)


def explained(model, batch, items, replacements=ALL, num_items=ITEMS):
    """Attributions and errors, (K, T) each."""
    return [
        x_KT.detach().numpy()
        for x_KT in occlusion(model, batch, items, num_items, replacements, at_once=7)
    ]


@pytest.mark.parametrize("events", [(1, 5, 9), (1,)])
def test_of_a_sum_it_is_each_events_product_above_that_of_the_other_items(events):
    model = Sum()
    found_KT, errors_KT = explained(model, history(*events), torch.tensor([7, 2]))
    table = model.items.weight.detach().numpy()
    for k, item in enumerate((7, 2)):
        for t, event in enumerate(events):
            others = [i for i in range(ITEMS) if i not in (item, event)]
            expected = table[item] @ (table[event] - table[others].mean(0))
            assert found_KT[k, t] == pytest.approx(expected, rel=1e-4, abs=1e-5)
    assert (errors_KT == 0).all()  # all items were used


def test_cosines_are_explained_where_they_rank():
    model, events = Sum(), [1, 5, 9]
    model.cosine = True
    found_KT, _ = explained(model, history(*events), torch.tensor([7]))
    table = model.items.weight.detach().numpy()

    def cosine(places):
        state = table[places].sum(0)
        return table[7] @ state / np.linalg.norm(table[7]) / np.linalg.norm(state)

    for t, event in enumerate(events):
        rest = events[:t] + events[t + 1 :]
        others = [i for i in range(ITEMS) if i not in (7, event)]
        expected = cosine(events) - np.mean([cosine([*rest, i]) for i in others])
        assert found_KT[0, t] == pytest.approx(expected, rel=1e-4, abs=1e-5)


class Columns:
    """The score of every item is the sum of what the batch says of the events."""

    window = 10

    def recommend(self, batch: Batch, k, exclude):
        owner_T = torch.repeat_interleave(torch.arange(batch.size), torch.tensor(batch.lengths))
        price_T, event_T = batch.features["item.price"], batch.features["event.number"]
        tags = batch.features["item.tags"]
        tags_T = torch.tensor(
            [float(codes.sum()) for codes in tags.codes.split(tags.offsets.diff().tolist())]
        )
        state_B = torch.zeros(batch.size).index_add(0, owner_T, price_T + tags_T + event_T)
        state_B = state_B + batch.features["user.age"]
        scores_BV = state_B.unsqueeze(1).repeat(1, ITEMS)
        return top_k(scores_BV, k, exclude, batch.users_B)


def test_a_replacement_brings_its_columns_and_the_event_keeps_its_own():
    prices = torch.arange(ITEMS) * 10.0
    rows = [[i] * (i % 3) for i in range(ITEMS)]  # the tags of each item: their sum is i (i % 3)

    def of_items(items: torch.Tensor):
        codes = [rows[i] for i in items.tolist()]
        offsets = torch.tensor([0, *map(len, codes)]).cumsum(0)
        tags = ListFeature(torch.tensor([c for row in codes for c in row]), offsets)
        return {"item.price": prices[items], "item.tags": tags}

    events = torch.tensor([4, 0, 8])
    own = {"event.number": torch.tensor([5.0, 6.0, 7.0]), "user.age": torch.tensor([30.0])}
    batch = replace(history(*events.tolist()), features={**of_items(events), **own})
    others = Replacements(replace(ALL.events, features=of_items(torch.arange(ITEMS))), ITEMS)
    found_KT, _ = explained(Columns(), batch, torch.tensor([11]), others)
    value = [10 * i + i * (i % 3) for i in range(ITEMS)]
    for t, event in enumerate(events.tolist()):
        mean = np.mean([value[i] for i in range(ITEMS) if i not in (11, event)])
        assert found_KT[0, t] == pytest.approx(value[event] - mean, rel=1e-5)


class Planted:
    """The score is a sum over places of weight x (item's product + a vector of the place).

    Places count from the start, so that to remove an event moves all later ones; a third of the
    places has no weight.
    """

    window = 60

    def __init__(self, num_items: int, length: int) -> None:
        rng = np.random.default_rng(0)
        self.weights = rng.gamma(1.0, 1.0, length) * (np.arange(length) % 3 > 0)
        self.table = rng.normal(size=(num_items, DIM))
        self.places = 3 * rng.normal(size=(length, DIM))

    def recommend(self, batch: Batch, k, exclude):
        states = [
            self.weights[: len(items)] @ (self.table[items] + self.places[: len(items)])
            for items in batch.items_T.numpy().reshape(batch.size, -1)
        ]
        scores_BV = torch.from_numpy(np.stack(states) @ self.table.T).float()
        return top_k(scores_BV, k, exclude, batch.users_B)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_it_ranks_events_as_a_planted_model_uses_them(seed):
    """With 64 of 400 items, the default; removal, which moves the later events, does not."""
    num_items, length = 400, 40
    model, rng = Planted(num_items, length), np.random.default_rng(seed)
    events = rng.choice(num_items, length, replace=False)
    items = rng.choice(num_items, 5, replace=False)
    place = int(model.weights.argmax())  # and there, an event that resembles the first item
    model.table[events[place]] = 2 * model.table[items[0]]
    drawn = rng.choice(num_items, 64, replace=False)
    batch, items_K = history(*events), torch.from_numpy(items)
    found_KT, errors_KT = explained(
        model, batch, items_K, Replacements(history(*drawn), num_items), num_items
    )
    use_KT = model.weights * (model.table[items] @ (model.table[events] - model.table.mean(0)).T)
    rank = spearmanr(found_KT.ravel(), use_KT.ravel()).statistic
    assert rank >= 0.9
    assert (np.abs(found_KT[:, model.weights == 0]) < 1e-4).all()  # of scores of about 100
    assert found_KT[0].argmax() == place
    # The sample of items differs from the whole catalogue as the standard errors say.
    used = model.weights > 0
    z_KT = ((found_KT - use_KT) / np.maximum(errors_KT, 1e-9))[:, used]
    assert 0.5 < np.sqrt(np.mean(z_KT**2)) < 1.5

    def removal(place):
        rest = history(*np.delete(events, place))
        return scores_of(model, rest, items_K, num_items)[0].numpy()

    whole = scores_of(model, batch, items_K, num_items)[0].numpy()
    removed_KT = np.stack([whole - removal(place) for place in range(length)], 1)
    assert spearmanr(removed_KT.ravel(), use_KT.ravel()).statistic < 0.5
