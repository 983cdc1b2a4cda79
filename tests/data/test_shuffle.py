"""The order of an epoch: every number once, whatever the length, in an order without a pattern."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys_lab.data import shuffle as order
from recsys_lab.data.batches import TrainingBatches
from recsys_lab.data.shuffle import Computed, shuffle_of


@settings(deadline=None)
@given(st.integers(1, 5000), st.lists(st.integers(0, 2**32), min_size=1, max_size=2))
def test_every_number_stands_there_once(length, seed):
    assert sorted(Computed(length, seed)[0:length]) == list(range(length))


@settings(deadline=None)
@given(st.integers(1, 3000), st.integers(1, 700), st.integers(1, 500), st.data())
def test_pieces_are_pieces_of_the_whole(length, size, block, data):
    whole = Computed(length, [3])[0:length]
    computed = Computed(length, [3])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(order, "BLOCK", block)
        for start in data.draw(st.lists(st.integers(0, length), max_size=6)):
            assert computed[start : start + size].tolist() == whole[start : start + size].tolist()


def test_a_million_have_no_pattern():
    """Each figure within five deviations of that of random permutations."""
    n = 1_000_003
    first, second = (Computed(n, [0, epoch])[0:n] for epoch in (0, 1))
    places = np.arange(n)
    deviation = 1 / np.sqrt(n)
    for one, other in ((first, places), (first[1:], first[:-1]), (first, second)):
        assert abs(np.corrcoef(one, other)[0, 1]) < 5 * deviation
    assert (first == places).sum() < 8  # one is expected
    assert (first == second).sum() < 8
    cells = np.histogram2d(places, first, bins=32)[0]
    expected = n / 32**2
    chi = ((cells - expected) ** 2 / expected).sum()
    freedom = 31**2
    assert abs(chi - freedom) < 5 * np.sqrt(2 * freedom)


def test_which_comes_first_is_drawn_evenly():
    n, seeds = 10, 4000
    counts = np.bincount([Computed(n, [seed])[0:1][0] for seed in range(seeds)], minlength=n)
    assert abs(counts - seeds / n).max() < 5 * np.sqrt(seeds / n)


def test_short_epochs_keep_the_order_that_they_had():
    """Recorded studies can be made again."""
    want = np.random.default_rng([7, 2]).permutation(1000)
    assert shuffle_of(1000, [7, 2])[10:20].tolist() == want[10:20].tolist()


class Endless:
    """Three users with histories of a billion events, of which no array is made."""

    items = np.broadcast_to(np.int32(5), 3 * 10**9)
    timestamps = None
    dropped_targets = np.empty(0, dtype=np.int64)
    features = None

    def segments(self, phase):
        assert phase == "train"
        return np.array([[u, u * 10**9, (u + 1) * 10**9] for u in range(3)])


def test_memory_does_not_grow_with_the_number_of_prefixes():
    def loader():
        return TrainingBatches(
            Endless(), batch_size=128, window=5, seed=1, prefixes=True, crop="sliding"
        )

    tracemalloc.start()
    try:
        batches = loader()
        assert batches.num_histories == 3 * (10**9 - 1)
        first = [batch for batch, _ in zip(batches, range(4), strict=False)]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 16 << 20  # a list would take 24 GB
    assert all(1 < length <= 5 for batch in first for length in batch.lengths)
    later = loader()
    later.load_state_dict({"epoch": 0, "batch": 2})
    assert next(iter(later)).users_B.tolist() == first[2].users_B.tolist()
    later.load_state_dict({"epoch": 1, "batch": 0})
    assert next(iter(later)).users_B.tolist() != first[0].users_B.tolist()
