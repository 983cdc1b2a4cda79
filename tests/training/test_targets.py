"""How often an item is a target, against what training steps really draw."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from recsys_lab.config import UserError, build
from recsys_lab.contracts import Batch
from recsys_lab.data.batches import TrainingBatches
from recsys_lab.losses.negatives import InBatch
from recsys_lab.training.targets import (
    count_targets,
    expected_targets,
    supervised_events,
    supervised_positions,
)
from tests.training.test_resume import options

USERS, ITEMS, LENGTH = 40, 12, 9


class Log:
    """Item 0 opens every history, and item 1 stands outside of a window of six events."""

    num_items = ITEMS
    timestamps = None
    features = None
    dropped_targets = np.empty(0, dtype=np.int64)

    def __init__(self) -> None:
        share = 1 / np.arange(1, ITEMS - 1)
        draw = np.random.default_rng(0).choice
        rows = draw(np.arange(2, ITEMS), (USERS, LENGTH), p=share / share.sum())
        rows[:, 0], rows[:, 1] = 0, 1
        rows[::3, -1] = 2  # the last events are others
        self.items = rows.astype(np.int32).ravel()

    def segments(self, phase: str) -> np.ndarray:
        assert phase == "train"
        starts = np.arange(USERS) * LENGTH
        return np.stack([np.arange(USERS), starts, starts + LENGTH], 1)


def small(name, **changes):
    sizes = {"hidden_dim": 8, "feedforward_dim": 8, "num_layers": 1, **changes}
    wanted = options("model", name)
    return build({**wanted, **{k: v for k, v in sizes.items() if k in wanted}}, num_items=ITEMS)


def batches(model, seed=0):
    prefixes = getattr(model, "one_target", False)
    return TrainingBatches(
        Log(), batch_size=20, window=model.window + 1, seed=seed, prefixes=prefixes
    )


MODELS = {
    "sasrec": {"max_length": 5},
    "bsarec": {"max_length": 5},
    "bert4rec": {"max_length": 7, "mask_probability": 0.3, "last_probability": 0.25},
    "transformer": {
        "max_length": 7, "architecture": "bert", "objective": "cloze", "mask_probability": 0.05,
    },
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_the_expected_number_is_the_mean_of_what_epochs_have(name):
    model = small(name, **MODELS[name])
    torch.manual_seed(0)
    expected_V = expected_targets(model, batches(model).first_epoch(), ITEMS)
    epochs, seen_V = 60, torch.zeros(ITEMS)
    loader = batches(model, seed=1)
    with torch.no_grad():
        for _ in range(epochs):
            for batch in loader:
                _, targets_N = model.training_states(batch)
                seen_V += torch.bincount(targets_N, minlength=ITEMS)
    tolerance = 4 * (expected_V / epochs).sqrt() + 1e-9
    assert ((seen_V / epochs - expected_V).abs() <= tolerance).all()
    if name in ("sasrec", "bsarec"):  # nothing is drawn: the count is exact
        assert torch.equal(seen_V.double() / epochs, expected_V)
        assert expected_V[0] == 0  # a first event is no target


def test_the_correction_is_that_of_what_is_drawn_in_the_batch():
    """Not of the events: item 0 is in every history, and never a target."""
    model, k = small("sasrec", max_length=5), 50
    loader = batches(model)
    sampler = InBatch(number=k, shared=True)
    sampler.read_targets(expected_targets(model, loader.first_epoch(), ITEMS))
    torch.manual_seed(0)
    seen_V, stated_V, steps = torch.zeros(ITEMS), torch.zeros(ITEMS), 0
    with torch.no_grad():
        for _ in range(150):
            for batch in loader:
                drawn = sampler.draw(model.training_states(batch)[1], ITEMS)
                seen_V += torch.bincount(drawn.items, minlength=ITEMS)
                stated_V[drawn.items] = drawn.log_expected.exp()
                steps += 1
    mean_V = seen_V / steps
    assert mean_V[0] == mean_V[1] == 0
    torch.testing.assert_close(stated_V[2:], mean_V[2:], rtol=0.06, atol=0.01)


def test_the_place_in_the_training_stays_as_it_is():
    loader = batches(small("sasrec"))
    left_alone = [batch.items_T.tolist() for batch in batches(small("sasrec"))]
    place = loader.state_dict()
    assert [batch.items_T.tolist() for batch in loader.first_epoch()] == left_alone
    assert loader.state_dict() == place
    assert [batch.items_T.tolist() for batch in loader] == left_alone
    assert [batch.items_T.tolist() for batch in loader.first_epoch()] == left_alone


class Typed(Log):
    """Every third event may be a target."""

    is_target = np.arange(USERS * LENGTH) % 3 == 2


def typed(model, **changes):
    prefixes = getattr(model, "one_target", False)
    return TrainingBatches(
        Typed(), batch_size=20, window=model.window + 1, seed=0, prefixes=prefixes,
        supervised=Typed.is_target, **changes,
    )  # fmt: skip


@pytest.mark.parametrize("name", ["sasrec", "bsarec", "gru4rec", "transformer"])
def test_the_loss_asks_for_target_events_alone(name):
    """The events of the window that may be targets, counted one by one."""
    model = small(name, max_length=5)
    wanted_V = torch.zeros(ITEMS)
    for start in range(0, USERS * LENGTH, LENGTH):
        for place in range(start + LENGTH - 5, start + LENGTH):
            wanted_V[Typed().items[place]] += bool(Typed.is_target[place])
    seen_V = torch.zeros(ITEMS)
    for batch in typed(model):
        _, targets_N = model.training_states(batch)
        keep_N = supervised_positions(model, batch)
        seen_V += torch.bincount(targets_N[keep_N], minlength=ITEMS)
    assert torch.equal(seen_V, wanted_V)
    assert torch.equal(expected_targets(model, typed(model), ITEMS).float(), wanted_V)


def test_what_cloze_draws_cannot_be_restricted():
    model = small("bert4rec", **MODELS["bert4rec"])
    with pytest.raises(UserError, match=r"supervise=target_events: BERT4Rec predicts randomly"):
        supervised_positions(model, next(iter(typed(model))))


def test_nothing_to_ask_for_is_refused():
    recipe = build({**options("recipe", "default"), "supervise": "target_events"})
    data = Typed()
    assert supervised_events(data, build(options("recipe", "default"))) is None
    assert supervised_events(data, recipe) is Typed.is_target
    data.is_target = np.arange(USERS * LENGTH) % LENGTH == 0
    with pytest.raises(UserError, match="no training event is of these types"):
        supervised_events(data, recipe)
    data.is_target = None
    with pytest.raises(UserError, match=r"split.target_events=null\); name types there"):
        supervised_events(data, recipe)


def test_targets_of_a_model_with_its_own_loss():
    """Each event but the first, or the last alone; those of them that are supervised."""
    lengths = (3, 2)
    offsets = torch.tensor([0, 3, 5])
    batch = Batch(torch.arange(2), torch.arange(5), offsets, lengths)
    every, last = SimpleNamespace(), SimpleNamespace(one_target=True)
    assert (count_targets(every, batch), count_targets(last, batch)) == (3, 2)
    some = replace(batch, supervised_T=torch.tensor([1, 1, 0, 1, 1]) > 0)
    assert (count_targets(every, some), count_targets(last, some)) == (2, 1)
