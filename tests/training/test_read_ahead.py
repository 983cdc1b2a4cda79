"""Batches read in a thread: overlap by the order of events, places, errors; and on the device."""

import threading
from dataclasses import fields
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from recsys_lab.contracts import ListFeature
from recsys_lab.contracts.read_ahead import DEPTH, ReadAhead, ResumableReadAhead, read_ahead
from recsys_lab.data.batches import TrainingBatches
from recsys_lab.data.features.store import Lists
from recsys_lab.data.formats.npy import map_npy
from tests.training.test_batches import Log, batches

LONG = 30  # seconds, for what happens at once


class Source:
    """Numbers 0 .. n - 1, which tells how many were read."""

    def __init__(self, number):
        self.number = number
        self.read = [threading.Event() for _ in range(number)]

    def __len__(self):
        return self.number

    def __iter__(self):
        for number, event in enumerate(self.read):
            event.set()
            yield number

    @property
    def count(self):
        return sum(event.is_set() for event in self.read)


def threads():
    return [thread for thread in threading.enumerate() if thread.name == "read-ahead"]


def same(number):
    return number


def test_the_next_ones_are_read_while_one_is_used():
    source = Source(9)
    ahead = ReadAhead(source, same)
    assert len(ahead) == 9
    for number in ahead:
        # The use of this one does not end before the next ones are read.
        following = min(number + DEPTH, 8)
        assert source.read[following].wait(LONG), f"{following} was not read ahead"
        assert source.count <= number + 1 + DEPTH + 1  # the waiting ones, and one in the thread
    assert number == 8
    assert not threads()


def test_each_is_prepared_in_the_thread():
    names = []
    list(ReadAhead(Source(3), lambda _: names.append(threading.current_thread().name)))
    assert names == ["read-ahead"] * 3


def test_the_thread_ends_with_a_loop_that_is_left():
    for number in ReadAhead(Source(100), same):
        if number == 2:
            break
    assert not threads()


def test_an_error_is_raised_where_its_item_would_be():
    def three_at_most(number):
        if number == 3:
            raise ValueError("the disk is gone")
        return number

    taken = iter(ReadAhead(Source(9), three_at_most))
    assert [next(taken) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="the disk is gone"):
        next(taken)
    assert not threads()


@pytest.mark.parametrize("taken", range(1, 7))
def test_the_place_is_that_of_what_was_taken(taken):
    """Not of what was read: a resumed run must not lose the batches in between."""
    loader = batches()
    whole = [batch.items_T.tolist() for _ in range(3) for batch in loader]
    ahead = ResumableReadAhead(batches(), same)
    stream = (batch.items_T.tolist() for _ in range(3) for batch in ahead)
    got = [next(stream) for _ in range(taken)]
    place = ahead.state_dict()
    assert place == {"epoch": (taken - 1) // 2, "batch": (taken - 1) % 2 + 1}
    stream.close()
    fresh = ResumableReadAhead(batches(), same)
    fresh.load_state_dict(place)
    rest = [batch.items_T.tolist() for _ in range(3) for batch in fresh]
    assert (got + rest)[:6] == whole


def test_a_cpu_reads_as_before():
    given = batches()
    assert read_ahead(given, "cpu") is given


COLUMNS = {
    "event.kind": np.arange(25, dtype=np.int32) % 3,
    "event.price": np.linspace(0, 1, 25, dtype=np.float32),
    "item.brand": np.arange(100, dtype=np.int32) % 7,
    "item.tags": Lists(np.arange(150, dtype=np.int32), np.arange(101) * 3 // 2),
    "user.age": np.linspace(20, 60, 5, dtype=np.float32),
    "user.clubs": Lists(np.arange(5, dtype=np.int32), np.array([0, 0, 2, 2, 3, 5])),
}


class WithColumns(Log):
    features = SimpleNamespace(column=COLUMNS.__getitem__)


def equal(one, other):
    assert type(one) is type(other)
    if isinstance(one, torch.Tensor):
        assert (one.dtype, one.shape) == (other.dtype, other.shape)
        assert other.device.type == "meta" or torch.equal(one, other)
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for key, value in one.items():
            equal(value, other[key])
    elif isinstance(one, ListFeature):
        equal(one.codes, other.codes)
        equal(one.offsets, other.offsets)
    else:
        assert one == other


def loaders(data, device, **changes):
    options = {"batch_size": 3, "window": 4, "seed": 3, **changes}
    return (
        TrainingBatches(data, **options),
        TrainingBatches(data, **options, device=torch.device(device)),
    )


@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize("crop", ["last", "random", "sliding"])
def test_batches_of_the_device_equal_those_of_the_host(device, crop):
    data = WithColumns()
    supervised = np.arange(25) % 2 == 0
    host, resident = loaders(
        data, device, crop=crop, features=tuple(COLUMNS), supervised=supervised
    )
    pairs = [pair for _ in range(2) for pair in zip(host, resident, strict=True)]
    assert len(pairs) >= 4
    for one, other in pairs:
        assert other.items_T.device.type == device
        for field in fields(one):
            equal(getattr(one, field.name), getattr(other, field.name))
    assert host.state_dict() == resident.state_dict()


def test_so_do_those_of_a_memory_mapped_log_without_times(tmp_path):
    np.save(tmp_path / "items.npy", Log.items)
    data = Log()
    data.items, data.timestamps = map_npy(tmp_path / "items.npy"), None
    for one, other in zip(*loaders(data, "cpu"), strict=True):
        assert torch.equal(one.items_T, other.items_T)
        assert other.timestamps_T is None
