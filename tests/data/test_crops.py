"""Which stretches of histories are trained on, against plain loops over them."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys_lab.data.batches import TrainingBatches
from recsys_lab.data.crops import Crops
from recsys_lab.training.memory_estimate import events_per_batch

LENGTHS = st.lists(st.integers(2, 30), min_size=1, max_size=6)


def crops_of(lengths, window, crop, one_target=False, seed=0):
    ends = np.cumsum(lengths) + 100
    starts = ends - np.asarray(lengths)
    made = Crops(starts, ends, window=window, crop=crop, one_target=one_target, seed=seed)
    return made, starts, ends


def stretches(crops, epoch=0):
    rows, starts, ends = crops(np.arange(len(crops)), epoch)
    return list(zip(rows.tolist(), starts.tolist(), ends.tolist(), strict=True))


@settings(max_examples=60, deadline=None)
@given(LENGTHS, st.integers(2, 12), st.booleans())
def test_sliding_makes_every_event_but_the_first_a_target_once(lengths, window, one_target):
    crops, starts, ends = crops_of(lengths, window, "sliding", one_target)
    targets, last = Counter(), {}
    for row, start, end in stretches(crops):
        assert starts[row] <= start < end - 1 < ends[row]
        assert end - start <= window
        if one_target:
            assert start == max(starts[row], end - window)  # all that is read before the target
        targets.update([end - 1] if one_target else range(start + 1, end))
        last[row] = (start, end)
    expected = [place for s, e in zip(starts, ends, strict=True) for place in range(s + 1, e)]
    assert targets == Counter(expected)
    assert last == {
        row: (max(s, e - window), e) for row, (s, e) in enumerate(zip(starts, ends, strict=True))
    }


@settings(max_examples=60, deadline=None)
@given(LENGTHS, st.integers(2, 12))
def test_last_is_the_latest_window_and_its_beginnings(lengths, window):
    crops, starts, ends = crops_of(lengths, window, "last")
    whole = [
        (row, max(s, e - window), e) for row, (s, e) in enumerate(zip(starts, ends, strict=True))
    ]
    assert stretches(crops) == whole
    one_target, _, _ = crops_of(lengths, window, "last", one_target=True)
    expected = [(row, s, end) for row, s, e in whole for end in range(s + 2, e + 1)]
    assert stretches(one_target) == expected


@settings(max_examples=60, deadline=None)
@given(LENGTHS, st.integers(2, 12), st.integers(0, 5))
def test_random_windows_are_whole_and_their_beginnings_belong_together(lengths, window, epoch):
    crops, starts, ends = crops_of(lengths, window, "random")
    windows = stretches(crops, epoch)
    for row, start, end in windows:
        assert starts[row] <= start
        assert end <= ends[row]
        assert end - start == min(window, lengths[row])
    one_target, _, _ = crops_of(lengths, window, "random", one_target=True)
    expected = [(row, start, e) for row, start, end in windows for e in range(start + 2, end + 1)]
    assert stretches(one_target, epoch) == expected


def test_random_windows_are_everywhere_alike_and_others_each_epoch():
    crops, starts, _ = crops_of([20] * 50, 5, "random")
    places = [[s - starts[row] for row, s, _ in stretches(crops, epoch)] for epoch in range(40)]
    counts = np.bincount(np.concatenate(places), minlength=16)
    assert len(counts) == 16
    assert (abs(counts - 125) < 5 * 125**0.5).all()
    assert len({tuple(row) for row in places}) == 40
    assert places[3] == [s - starts[row] for row, s, _ in stretches(crops, 3)]
    other, _, _ = crops_of([20] * 50, 5, "random", seed=1)
    assert stretches(other, 3) != stretches(crops, 3)


class Log:
    """Users with 3 to 14 training events; an item is its event's place."""

    lengths = np.array([3, 14, 8, 1, 9])
    items = np.arange(35, dtype=np.int32)
    timestamps = None
    features = None
    dropped_targets = np.empty(0, dtype=np.int64)

    def segments(self, phase):
        assert phase == "train"
        ends = self.lengths.cumsum()
        return np.stack([np.arange(5), ends - self.lengths, ends], 1)


@pytest.mark.parametrize("crop", ["last", "random", "sliding"])
@pytest.mark.parametrize("prefixes", [False, True])
def test_batches_go_on_from_a_place_and_their_size_is_foreseen(crop, prefixes):
    def loader():
        return TrainingBatches(Log(), batch_size=3, window=5, seed=2, crop=crop, prefixes=prefixes)

    whole = loader()
    epochs = [[batch.items_T.tolist() for batch in whole] for _ in range(2)]
    later = loader()
    later.load_state_dict({"epoch": 1, "batch": 1})
    assert [batch.items_T.tolist() for batch in later] == epochs[1][1:]
    inputs = sum(len(items) for items in epochs[0]) - whole.num_histories  # last ones are targets
    events, histories = events_per_batch(
        Log.lengths, window=4, batch_size=3, crop=crop, prefixes=prefixes
    )
    assert histories * len(whole) == pytest.approx(whole.num_histories)
    assert events * len(whole) == pytest.approx(inputs)
