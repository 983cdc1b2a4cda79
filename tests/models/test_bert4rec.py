"""BERT4Rec: what is hidden, what is seen, and that it learns."""

import pytest
import torch
from torch.nn import functional as F

from recsys_lab.config import UserError
from recsys_lab.models.layers import draw_hidden

from .test_contracts import LENGTHS, V, batch_of, histories, make


def drawn(model, batch):
    return draw_hidden(batch, model.config.mask_probability, model.config.last_probability)


def test_hidden_events_are_as_many_as_asked_for():
    model = make("bert4rec", mask_probability=0.3, last_probability=0.0, max_length=60)
    batch = batch_of([[1] * 50] * 400)
    hidden_BL = drawn(model, batch).view(400, 50)
    share = float(hidden_BL.float().mean())
    assert abs(share - 0.3) < 4 * (0.3 * 0.7 / 20_000) ** 0.5
    model = make("bert4rec", mask_probability=0.3, last_probability=1.0)
    hidden_BL = drawn(model, batch).view(400, 50)
    assert hidden_BL[:, -1].all()
    assert int(hidden_BL.sum()) == 400


def test_each_history_has_a_hidden_event():
    model = make("bert4rec", mask_probability=0.01, last_probability=0.0)
    for seed in range(20):
        torch.manual_seed(seed)
        hidden_T = drawn(model, batch_of(histories()))
        assert all(part.any() for part in hidden_T.split(LENGTHS))


def test_targets_are_the_hidden_events():
    model = make("bert4rec").eval()
    batch = batch_of(histories())
    torch.manual_seed(3)
    hidden_T = drawn(model, batch)
    torch.manual_seed(3)
    states_ND, targets_N = model.training_states(batch)
    assert torch.equal(targets_N, batch.items_T[hidden_T])
    assert states_ND.shape == (int(hidden_T.sum()), 16)


def states(model, given, hidden):
    from recsys_lab.models.layers import Rectangle

    batch = batch_of(given)
    rectangle = Rectangle.of(batch.lengths, batch.items_T.device)
    x_TD = torch.where(torch.tensor(hidden)[:, None], model.hidden_event, model.embed(batch))
    return model._states(x_TD, rectangle)


def test_a_hidden_event_is_not_seen_and_both_sides_are():
    model = make("bert4rec").eval()
    hidden = [False, False, True, False, False]
    before = states(model, [[1, 2, 3, 4, 5]], hidden)
    assert torch.equal(before, states(model, [[1, 2, 9, 4, 5]], hidden))
    for changed in ([8, 2, 3, 4, 5], [1, 2, 3, 4, 8]):
        assert not torch.allclose(before[2], states(model, [changed], hidden)[2])


def test_ranking_is_finding_a_hidden_last_event():
    """The query is the training state when the event after the history is the hidden one."""
    model = make("bert4rec", last_probability=1.0).eval()
    given = [history[:8] for history in histories()]
    training_ND, _ = model.training_states(batch_of([[*history, 7] for history in given]))
    torch.testing.assert_close(model.query_states(batch_of(given)), training_ND)


def test_companions_in_the_batch_change_nothing():
    model = make("bert4rec").eval()
    given = [history[:8] for history in histories()]
    together = model.query_states(batch_of(given))
    for row, history in enumerate(given):
        alone = model.query_states(batch_of([history]))
        torch.testing.assert_close(together[row], alone[0], atol=1e-6, rtol=1e-5)


def test_overfits_one_batch_and_reaches_every_parameter():
    model = make("bert4rec", dropout=0.0, last_probability=1.0)
    batch = batch_of(histories())
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(80):
        states_ND, targets_N = model.training_states(batch)
        loss = F.cross_entropy(states_ND @ model.item_table().T, targets_N)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.1
    for name, parameter in model.named_parameters():
        assert parameter.grad.abs().sum() > 0, name


def test_parameter_count_equals_the_closed_form():
    model = make("bert4rec", num_layers=3)
    d, f, length = 16, 32, 9
    block = (3 * d * d + 3 * d) + (d * d + d) + (d * f + f) + (f * d + d) + 4 * d
    head = d * d + d + 2 * d
    total = V * d + d + length * d + 2 * d + 3 * block + head
    assert sum(p.numel() for p in model.parameters()) == total


def test_heads_that_do_not_divide_the_width_are_refused():
    with pytest.raises(UserError, match="hidden_dim: got 16, which 3 heads cannot share"):
        make("bert4rec", num_heads=3)
