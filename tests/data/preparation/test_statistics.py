from __future__ import annotations

import json
import tracemalloc
from datetime import UTC, date, datetime
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from recsys_lab.config import UserError
from recsys_lab.data.preparation.statistics import (
    CURVE_POINTS,
    MAX_BINS,
    concentration,
    describe,
    distribution,
)
from recsys_lab.data.splits.base import FlatLog, Segments
from tests.data.splits.toys import DAY, log_of, logs, make

NOTHING = Segments(*(np.empty((0, width), dtype=np.int64) for width in (3, 4, 4)))
FAST = settings(max_examples=60, deadline=None)


def by_user(log):
    bounds = list(zip(log.offsets[:-1], log.offsets[1:], strict=True))
    return [log.items[start:end].tolist() for start, end in bounds]


def test_numbers_worked_out_by_hand():
    log = log_of([(0, 0), (0, 10), (1, DAY)], [(0, 5), (2, 2 * DAY)], [(1, 7)])
    rows = [[[0, 0, 1], [1, 3, 5]], [[0, 0, 1, 2]], [[0, 0, 2, 3]]]
    found = describe(log, Segments(*(np.array(part, dtype=np.int64) for part in rows)))

    assert found["history_length"] == {
        "min": 1, "q25": 1.5, "median": 2.0, "q75": 2.5, "p90": pytest.approx(2.8),
        "p99": pytest.approx(2.98), "max": 3, "mean": 2.0,
        "histogram": {"edges": [1, 2, 3, 4], "counts": [1, 1, 1]},
    }  # fmt: skip
    items = found["item_popularity"]
    assert (items["min"], items["median"], items["max"], items["mean"]) == (1, 2.0, 3, 2.0)
    # Popularities 1, 2, 3: 2 (1*1 + 2*2 + 3*3) / (3 * 6) - 4 / 3.
    assert items["gini"] == pytest.approx(2 / 9)
    assert items["top_1_percent_share"] == items["top_10_percent_share"] == 0.5
    assert items["curve"] == [[0.0, 0.0], [1 / 3, 3 / 6], [2 / 3, 5 / 6], [1.0, 1.0]]
    # Of 9 pairs, (0,0) (0,1) (1,0) (1,2) (2,1) occur; the first user has item 0 twice running.
    assert found["distinct_pairs"] == 5
    assert found["density"] == pytest.approx(5 / 9)
    assert found["sparsity"] == pytest.approx(4 / 9)
    assert found["repeat_share"] == found["consecutive_repeat_share"] == pytest.approx(1 / 6)
    assert found["time"] == {
        "first": "1970-01-01T00:00:00Z", "last": "1970-01-03T00:00:00Z", "days": 2.0,
        "events": {
            "unit": "day", "starts": ["1970-01-01", "1970-01-02", "1970-01-03"],
            "counts": [4, 1, 1],
        },
        "gap_seconds": {"q25": 10, "median": DAY - 10, "q75": DAY - 10},
    }  # fmt: skip
    assert found["split"] == {
        "train": {"users": 2, "events": 3, "median_history": 1.5},
        "validation": {"users": 1, "events": 1, "targets": 1, "median_history": 1.0},
        "test": {"users": 1, "events": 1, "targets": 1, "median_history": 2.0},
    }
    assert json.loads(json.dumps(found)) == found


def test_dropped_targets_are_not_counted():
    log = log_of([0, 1, 0, 1, 0, 1], [0, 0])
    test = np.array([[0, 0, 2, 6]])
    segments = Segments(
        np.array([[0, 0, 1], [1, 6, 8]]), np.array([[0, 0, 1, 2]]), test,
        dropped_targets=np.array([1, 3, 5]),
    )  # fmt: skip
    sizes = describe(log, segments)["split"]
    assert sizes["validation"]["targets"] == 0
    assert sizes["test"] == {"users": 1, "events": 2, "targets": 2, "median_history": 2.0}


def test_a_log_without_times_and_a_split_without_rows():
    found = describe(log_of([0], [1]), NOTHING)
    assert found["time"] is None
    assert found["split"]["test"] == {
        "users": 0, "events": 0, "targets": 0, "median_history": None,
    }  # fmt: skip


def test_no_gap_where_nobody_has_two_events():
    assert describe(log_of([(0, 3)], [(1, 5)]), NOTHING)["time"]["gap_seconds"] is None


def test_repeats_that_do_not_follow_each_other():
    # Item 0 comes again with 1 between, then at once: two repeats, one of them consecutive.
    found = describe(log_of([0, 1, 0, 0], [0]), NOTHING)
    assert found["repeat_share"] == 2 / 5
    assert found["consecutive_repeat_share"] == 1 / 5


@FAST
@given(logs(), st.integers(1, 30))
def test_every_chunk_size_gives_what_numpy_gives_at_once(log, chunk):
    found = describe(log, NOTHING, chunk=chunk)
    users = by_user(log)
    pairs = {(user, item) for user, items in enumerate(users) for item in items}
    follow = [a == b for items in users for a, b in pairwise(items)]
    total = len(log.items)
    assert found["distinct_pairs"] == len(pairs)
    assert found["repeat_share"] == pytest.approx(1 - len(pairs) / total)
    assert found["consecutive_repeat_share"] == pytest.approx(sum(follow) / total)
    assert found["item_popularity"]["mean"] == pytest.approx(total / log.num_items)
    times = [log.timestamps[a:b] for a, b in zip(log.offsets, log.offsets[1:], strict=False)]
    gaps = np.concatenate([np.diff(part) for part in times])
    expected = np.quantile(gaps, [0.25, 0.5, 0.75], method="lower").tolist() if len(gaps) else None
    got = found["time"]["gap_seconds"]
    assert (None if got is None else list(got.values())) == expected
    series = found["time"]["events"]
    assert series["unit"] == "day"
    days = [datetime.fromtimestamp(time, UTC).date().isoformat() for time in log.timestamps]
    assert series["counts"] == [days.count(day) for day in series["starts"]]
    assert sum(series["counts"]) == total


@FAST
@given(logs())
def test_the_sizes_of_a_split_are_those_of_its_rows(log):
    try:
        parts = make("leave_one_out", cold_items="drop").segments(log)
    except UserError:  # no user has three events, or every target is cold
        reject()
    sizes = describe(log, parts)["split"]
    assert sizes["test"]["targets"] == parts.counts["test_targets"]
    assert sizes["validation"]["targets"] == parts.counts["validation_targets"]
    assert sizes["test"]["median_history"] == np.median(parts.test[:, 2] - parts.test[:, 1])


@FAST
@given(
    st.lists(st.integers(-(2**61), 2**61), min_size=1, max_size=20), st.integers(1, 7), st.data()
)
def test_times_of_any_size(values, chunk, data):
    parts = data.draw(st.integers(1, len(values)))
    users = [sorted(part.tolist()) for part in np.array_split(values, parts)]
    log = log_of(*([(0, time) for time in user] for user in users))
    time = describe(log, NOTHING, chunk=chunk)["time"]
    assert len(time["events"]["counts"]) == len(time["events"]["starts"]) <= MAX_BINS
    assert sum(time["events"]["counts"]) == len(values)
    assert time["days"] == pytest.approx((max(values) - min(values)) / DAY)
    gaps = sorted(b - a for user in users for a, b in pairwise(user))
    if gaps:
        ranks = [int(share * (len(gaps) - 1)) for share in (0.25, 0.5, 0.75)]
        assert list(time["gap_seconds"].values()) == [gaps[rank] for rank in ranks]


@pytest.mark.parametrize(
    ("first", "last", "unit", "start", "bars"),
    [
        ("2020-01-01", "2020-04-29", "day", "2020-01-01", 120),
        ("2020-01-01", "2020-04-30", "week", "2019-12-30", 18),  # a Monday
        ("2020-01-15", "2022-06-01", "month", "2020-01-01", 30),
        ("2000-02-01", "2012-06-01", "quarter", "2000-01-01", 50),
        ("1950-05-05", "2020-06-01", "year", "1950-01-01", 71),
        ("1895-05-05", "2020-06-01", "10 years", "1890-01-01", 14),
    ],
)
def test_the_series_takes_the_shortest_unit_that_fits(first, last, unit, start, bars):
    ends = [np.datetime64(day, "s").astype(int).item() for day in (first, last)]
    time = describe(log_of([(0, ends[0]), (0, ends[1])]), NOTHING)["time"]
    assert time["events"]["unit"] == unit
    assert time["events"]["starts"][0] == start
    assert len(time["events"]["starts"]) == bars
    assert time["events"]["counts"][0] == time["events"]["counts"][-1] == 1
    assert time["days"] == (date.fromisoformat(last) - date.fromisoformat(first)).days


@FAST
@given(hnp.arrays(np.int64, st.integers(1, 60), elements=st.integers(0, 10**7)))
def test_distributions_are_those_of_numpy(counts):
    found = distribution(counts)
    named = {"q25": 25, "median": 50, "q75": 75, "p90": 90, "p99": 99}
    assert [found[name] for name in named] == np.percentile(counts, [*named.values()]).tolist()
    assert (found["min"], found["max"]) == (counts.min(), counts.max())
    edges = found["histogram"]["edges"]
    heights, _ = np.histogram(counts, edges)  # numpy's last bin is closed: the edge is above all
    assert found["histogram"]["counts"] == heights.tolist()
    assert edges == sorted(set(edges))
    assert edges[0] <= counts.min()
    assert counts.max() < edges[-1]
    assert heights[0] > 0
    assert heights[-1] > 0
    assert len(edges) <= 50


@FAST
@given(hnp.arrays(np.int64, st.integers(1, 300), elements=st.integers(0, 1000)).filter(np.any))
def test_concentration_is_what_its_definitions_say(counts):
    found = concentration(counts)
    differences = np.abs(counts[:, None] - counts[None, :]).mean()
    assert found["gini"] == pytest.approx(differences / (2 * counts.mean()), abs=1e-9)
    falling = sorted(counts.tolist(), reverse=True)
    for key, percent in (("top_1_percent_share", 1), ("top_10_percent_share", 10)):
        top = -(-len(falling) * percent // 100)
        assert found[key] == pytest.approx(sum(falling[:top]) / sum(falling))
    curve = np.array(found["curve"])
    assert 2 <= len(curve) <= CURVE_POINTS
    assert curve[0].tolist() == [0, 0]
    assert curve[-1].tolist() == [1, 1]
    assert (np.diff(curve, axis=0) >= 0).all()
    assert (curve[:, 1] >= curve[:, 0] - 1e-12).all()  # the most popular come first


def test_memory_mapped_arrays_give_the_same(tmp_path):
    rng = np.random.default_rng(7)
    lengths = rng.integers(3, 40, 200)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    items = rng.integers(0, 50, offsets[-1]).astype(np.int32)
    times = np.concatenate([np.sort(rng.integers(0, 10**9, size)) for size in lengths])
    log = FlatLog(items, offsets, times, 50)
    split = make("leave_one_out").segments(log)
    for name in ("items", "offsets", "timestamps"):
        np.save(tmp_path / f"{name}.npy", getattr(log, name))
    mapped = FlatLog(
        *(np.load(tmp_path / f"{name}.npy", mmap_mode="r")
          for name in ("items", "offsets", "timestamps")), 50,
    )  # fmt: skip
    assert describe(mapped, split, chunk=101) == describe(log, split)


def test_memory_is_that_of_a_chunk_not_of_the_log():
    users, each = 2_000, 500
    times = np.tile(np.arange(each, dtype=np.int64) * 1000, users)
    items = (np.arange(users * each) * 7919 % 1000).astype(np.int32)
    log = FlatLog(items, np.arange(0, users * each + 1, each), times, 1000)
    split = make("leave_one_out").segments(log)
    tracemalloc.start()
    try:
        describe(log, split, chunk=5_000)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 3_000_000  # the log has 12 MB; counters of 2^16 gaps are the largest part
