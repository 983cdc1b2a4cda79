"""HSTU against loops over the paper's formulas, and what its published time bias reads."""

import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional as F

from recsys_lab.config import UserError
from recsys_lab.contracts import Batch
from tests.models.test_contracts import batch_of, histories, make


def by_loops(model, items, times, asking):
    """States of one history, event by event, from equations 1-3 of the paper."""
    config = model.config
    dim, heads, length = config.hidden_dim, config.num_heads, len(items)
    x = model.items.weight[items] * math.sqrt(dim) + model.positions.weight[:length]
    for unit in model.blocks:
        mixed = F.silu(F.layer_norm(x, (dim,), eps=1e-6) @ unit.project.weight.T)
        gate, value, query, key = mixed.split(dim, dim=1)
        read = torch.zeros_like(x)
        for head in range(heads):
            part = slice(head * dim // heads, (head + 1) * dim // heads)
            for i in range(length):
                for j in range(i + 1):
                    score = query[i, part] @ key[j, part] + unit.distance_bias[i - j]
                    if unit.time_bias is not None:
                        seconds = max(1, abs(asking[i] - times[j]))
                        score = score + unit.time_bias[int(math.log(seconds) / 0.301)]
                    read[i, part] += F.silu(score) / config.max_length * value[j, part]
        x = x + unit.out(gate * F.layer_norm(read, (dim,), eps=1e-6))
    return x


@pytest.mark.parametrize("time_bias", ["none", "past", "target"])
def test_states_equal_the_formulas(time_bias):
    model = make("hstu", time_bias=time_bias, init_std=0.3).double().eval()
    given = histories()
    batch = batch_of(given)
    states_ND, _ = model.training_states(batch)
    start = 0
    for history, times in zip(given, batch.timestamps_T.split(batch.lengths), strict=True):
        times = times.tolist()
        asking = times[1:] if time_bias == "target" else times[:-1]
        expected = by_loops(model, history[:-1], times[:-1], asking)
        got = states_ND[start : start + len(history) - 1]
        torch.testing.assert_close(got, expected)
        start += len(history) - 1


@pytest.mark.parametrize(
    ("time_bias", "reads"), [("none", False), ("past", False), ("target", True)]
)
def test_only_the_published_time_bias_reads_the_time_of_the_target(time_bias, reads):
    """The leak: a state that ranks the next item changes with the time at which it will come."""
    model = make("hstu", time_bias=time_bias, init_std=0.3).eval()
    batch = batch_of([[1, 2, 3, 4]])
    before, _ = model.training_states(batch)
    later = batch.timestamps_T.clone()
    later[-1] += 10**6
    moved = Batch(batch.users_B, batch.items_T, batch.offsets, batch.lengths, later)
    after, _ = model.training_states(moved)
    assert torch.equal(before[:-1], after[:-1])
    assert torch.equal(before[-1], after[-1]) is not reads


@pytest.mark.parametrize(
    ("time_bias", "reads"), [("none", False), ("past", False), ("target", True)]
)
def test_ranking_reads_a_time_to_come_only_as_published(time_bias, reads):
    """The leak again: who ranks is told when the event to be predicted comes."""
    model = make("hstu", time_bias=time_bias, init_std=0.3).double().eval()
    assert model.reads_next_time is reads
    batch = batch_of([[1, 2, 3, 4], [5, 6]])
    times = [part.tolist() for part in batch.timestamps_T.split(batch.lengths)]
    coming = [times[0][-1] + 50, times[1][-1] + 10**6]
    told = replace(batch, next_times_B=torch.tensor(coming))
    assert torch.equal(model.query_states(told), model.query_states(batch)) is not reads
    for row, items in enumerate([[1, 2, 3, 4], [5, 6]]):
        asking = [*times[row][1:], coming[row]] if reads else times[row]
        expected = by_loops(model, items, times[row], asking)
        torch.testing.assert_close(model.query_states(told)[row], expected[-1])


def test_an_unknown_next_time_is_taken_for_the_last_one():
    model = make("hstu", time_bias="target", init_std=0.3).double().eval()
    batch = batch_of([[1, 2, 3, 4]])
    times = batch.timestamps_T.tolist()
    expected = by_loops(model, [1, 2, 3, 4], times, [*times[1:], times[-1]])
    torch.testing.assert_close(model.query_states(batch)[0], expected[-1])


def test_ranking_as_published_sees_the_state_that_was_trained():
    model = make("hstu", time_bias="target", init_std=0.3).eval()
    batch = batch_of([[1, 2, 3, 4, 5]])
    trained_ND, _ = model.training_states(batch)
    history = batch.events(torch.arange(4), (4,))
    told = replace(history, next_times_B=batch.timestamps_T[-1:])
    torch.testing.assert_close(model.query_states(told)[0], trained_ND[-1])


def test_time_bias_without_timestamps_is_refused():
    given = batch_of(histories())
    without = Batch(given.users_B, given.items_T, given.offsets, given.lengths)
    for data in (without, SimpleNamespace(timestamps=None)):
        with pytest.raises(UserError, match=r"model\.time_bias: got past.*no timestamps.*use none"):
            make("hstu", time_bias="past").check_data(data)
        make("hstu").check_data(data)
    with pytest.raises(UserError, match=r"model\.time_bias: got past"):
        make("hstu", time_bias="past").training_states(without)
    make("hstu").training_states(without)
