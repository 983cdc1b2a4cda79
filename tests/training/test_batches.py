"""Batches: order, place, windows, shards."""

import numpy as np
import pytest

from recsys_lab.data.batches import EvaluationBatches, TrainingBatches
from recsys_lab.data.splits.ranges import flat_index


class Log:
    """Users 0..4 with 3, 4, 5, 6, 7 events; item = event's place in the log, modulo 100."""

    lengths = np.array([3, 4, 5, 6, 7])
    ends = lengths.cumsum()
    items = np.arange(25, dtype=np.int32)
    timestamps = np.arange(25, dtype=np.int64) * 10
    dropped_targets = np.empty(0, dtype=np.int64)
    features = None

    def segments(self, phase):
        users, starts = np.arange(5), self.ends - self.lengths
        last = {"train": self.ends - 2, "validation": self.ends - 2, "test": self.ends - 1}[phase]
        columns = [users, starts, last]
        return np.stack(columns if phase == "train" else [*columns, last + 1], 1)


def batches(**changes) -> TrainingBatches:
    return TrainingBatches(Log(), **{"batch_size": 2, "window": 4, "seed": 0, **changes})


def test_each_epoch_shows_every_user_with_two_events_once():
    loader = batches()
    epochs = [[u for b in loader for u in b.users_B.tolist()] for _ in range(3)]
    for users in epochs:
        assert sorted(users) == [1, 2, 3, 4]  # user 0 has one training event: nothing to predict
    assert len({tuple(users) for users in epochs}) > 1
    assert len(loader) == 2


def test_order_depends_on_seed_and_epoch_alone():
    first, later = batches(), batches()
    list(first)
    later.load_state_dict({"epoch": 1, "batch": 0})
    assert [b.users_B.tolist() for b in first] == [b.users_B.tolist() for b in later]
    others = {tuple(u for b in batches(seed=s) for u in b.users_B.tolist()) for s in range(8)}
    assert len(others) > 1


def test_continues_from_a_place():
    whole = [b.items_T.tolist() for b in batches()]
    loader = batches()
    iterator = iter(loader)
    next(iterator)
    place = loader.state_dict()
    fresh = batches()
    fresh.load_state_dict(place)
    assert [b.items_T.tolist() for b in fresh] == whole[1:]


def test_a_batch_of_histories_that_begin_with_different_items():
    log = Log()
    log.items = log.items.copy()
    log.items[12] = log.items[3]  # users 1 and 3 begin with the same item
    loader = TrainingBatches(log, batch_size=2, window=9, seed=0)
    batch = loader.distinct(4)
    users = batch.users_B.tolist()
    assert len(users) == 3
    assert {2, 4} < {*users}
    assert loader.distinct(2).users_B.tolist() == users[:2]
    assert loader.state_dict() == {"epoch": 0, "batch": 0}


@pytest.mark.parametrize("taken", range(7))
def test_three_epochs_continue_exactly_from_every_place(taken):
    def stream(loader):
        for _ in range(3):
            yield from ((b.users_B.tolist(), b.items_T.tolist()) for b in loader)

    whole = list(stream(batches()))
    assert len(whole) == 6
    loader = batches()
    for _ in zip(range(taken), stream(loader), strict=False):
        pass
    fresh = batches()
    fresh.load_state_dict(loader.state_dict())
    rest = [(b.users_B.tolist(), b.items_T.tolist()) for _ in range(4) for b in fresh]
    assert rest[: 6 - taken] == whole[taken:]


def test_window_keeps_the_most_recent_events():
    found: dict[int, list[int] | None] = dict.fromkeys(range(5))
    for batch in batches(batch_size=1, window=3):
        found[batch.users_B.item()] = batch.items_T.tolist()
        assert batch.timestamps_T.tolist() == [10 * i for i in batch.items_T.tolist()]
        assert batch.lengths == (len(batch.items_T),)
    assert found == {0: None, 1: [3, 4], 2: [7, 8, 9], 3: [13, 14, 15], 4: [20, 21, 22]}


def test_evaluation_sees_the_whole_history_but_reads_the_window():
    (batch,) = EvaluationBatches(Log(), "test", batch_size=9, window=2, exclude_seen=True)
    assert batch.history.items_T.tolist() == [0, 1, 4, 5, 9, 10, 15, 16, 22, 23]
    assert batch.target_items.tolist() == [2, 6, 11, 17, 24]
    assert batch.target_rows.tolist() == [0, 1, 2, 3, 4]
    assert batch.seen_items[batch.seen_rows == 4].tolist() == [18, 19, 20, 21, 22, 23]


def test_validation_input_lacks_the_validation_item_and_test_input_has_it():
    (validation,) = EvaluationBatches(
        Log(), "validation", batch_size=9, window=None, exclude_seen=False
    )
    (test,) = EvaluationBatches(Log(), "test", batch_size=9, window=None, exclude_seen=False)
    assert validation.target_items[4].item() == 23
    assert 23 not in validation.history.items_T.tolist()
    assert 23 in test.history.items_T.tolist()
    assert len(test.seen_items) == 0


@pytest.mark.parametrize("world", [1, 2, 3])
def test_shards_are_disjoint_and_complete(world):
    """Batches are the ones of a single process: others could round scores differently."""
    shards = [
        EvaluationBatches(
            Log(), "test", batch_size=2, window=3, exclude_seen=True, shard=(rank, world)
        )
        for rank in range(world)
    ]
    found = [batch.history.users_B.tolist() for shard in shards for batch in shard]
    assert sorted(found) == [[0, 1], [2, 3], [4]]
    assert sum(map(len, shards)) == 3


def test_flat_index():
    assert flat_index(np.array([5, 0, 7]), np.array([8, 0, 9])).tolist() == [5, 6, 7, 7, 8]
