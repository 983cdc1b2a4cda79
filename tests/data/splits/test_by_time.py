"""global_temporal and rolling, by hand: on toy logs and on users of the real MovieLens-100k."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from recsys_lab.config import UserError
from recsys_lab.data.splits.base import FlatLog
from recsys_lab.data.splits.ranges import draw, time_at_share
from tests.data.splits.toys import DAY, in_items, log_of, make

# Validation cut 10, test cut 20 (both times belong to what comes after).
TOY = log_of(
    [(1, 1), (2, 9), (3, 10), (4, 19), (5, 20), (6, 20), (7, 30)],
    [(1, 5), (2, 20)],
    [(3, 11), (4, 12), (1, 21)],
    [(5, 25), (6, 26)],
    [(2, 2), (3, 3)],
)
CUTS = {"test_start": "1970-01-01T00:00:20", "test_quantile": None}
CUTS |= {"validation_start": "1970-01-01T00:00:10", "validation_quantile": None}


@pytest.mark.parametrize(
    ("target", "validation", "test"),
    [
        (
            "first",
            {0: ([1, 2], [3])},
            {0: ([1, 2, 3, 4], [5]), 1: ([1], [2]), 2: ([3, 4], [1])},
        ),
        (
            "last",
            {0: ([1, 2, 3], [4]), 2: ([3], [4])},
            {0: ([1, 2, 3, 4, 5, 6], [7]), 1: ([1], [2]), 2: ([3, 4], [1]), 3: ([5], [6])},
        ),
        (
            "all",
            {0: ([1, 2], [3, 4])},
            {0: ([1, 2, 3, 4], [5, 6, 7]), 1: ([1], [2]), 2: ([3, 4], [1])},
        ),
    ],
)
def test_targets_by_hand(target, validation, test):
    segments = make("global_temporal", **CUTS, target=target).segments(TOY)
    found = in_items(TOY, segments)
    assert found["train"] == {0: [1, 2], 1: [1], 4: [2, 3]}
    assert found["validation"] == validation
    assert found["test"] == test
    counts = segments.counts
    assert (counts["validation_cut_time"], counts["test_cut_time"]) == (10, 20)
    assert counts["users_without_targets"] == 1  # user 4
    assert counts["test_users_without_history"] == (0 if target == "last" else 1)  # user 3
    assert counts["validation_users_without_history"] == (0 if target == "last" else 1)  # user 2
    # User 2's history is read for test; user 3 is read with "last" alone; "first" leaves 6, 7.
    assert counts["events_unused"] == {"first": 2 + 2, "last": 0, "all": 2}[target]
    assert counts["cold_test_users"] == (2 if target == "last" else 1)


def test_random_targets_are_events_after_the_cut():
    places = {0: range(4, 7), 1: range(8, 9), 2: range(11, 12), 3: range(12, 14)}
    seen = set()
    for seed in range(20):
        split = make("global_temporal", **CUTS, target="random", seed=seed)
        rows = split.segments(TOY).test
        assert rows.tolist() == split.segments(TOY).test.tolist()
        for user, start, end, target_end in rows.tolist():
            assert end in places[user]
            assert target_end == end + 1
            assert start == TOY.offsets[user]
            seen.add(end)
    assert seen == {4, 5, 6, 8, 11, 13}  # user 3's first event has no history


def test_draws_are_equal_on_every_machine():
    # splitmix64 written again in Python's integers.
    def mix(state, key):
        word = (1 << 64) - 1
        state = (state + 0x9E3779B97F4A7C15 * (key + 1)) & word
        state = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 & word
        state = (state ^ (state >> 27)) * 0x94D049BB133111EB & word
        return state ^ (state >> 31)

    users = np.array([0, 1, 5, 2**31])
    assert draw(7, 1, users).tolist() == [mix(mix(int(u), 7), 1) for u in users]
    assert int(draw(0, 0, np.array([0]))[0]) == mix(0xE220A8397B1DCDAF, 0)  # published first value


@pytest.mark.parametrize("cold", ["keep", "drop", "report"])
def test_cold_users(cold):
    segments = make("global_temporal", **CUTS, cold_users=cold).segments(TOY)
    found = in_items(TOY, segments)
    users = {0, 1} if cold == "drop" else {0, 1, 2, 3}
    assert set(found["test"]) == users
    assert set(found["validation"]) == ({0} if cold == "drop" else {0, 2})
    assert segments.counts.get("cold_test_users") == (2 if cold == "report" else None)
    assert segments.counts.get("dropped_cold_test_users") == (2 if cold == "drop" else None)


def test_validation_by_users():
    split = make("global_temporal", **CUTS, validation="users", validation_users=0.5)
    segments = split.segments(TOY)
    found = in_items(TOY, segments)
    before = {0: [1, 2, 3, 4], 1: [1], 2: [3, 4], 4: [2, 3]}  # users 0, 2, 4 have two
    assert len(found["validation"]) == 1  # floor(0.5 * 3)
    ((held, row),) = found["validation"].items()
    assert held in (0, 2, 4)
    assert row == (before[held][:-1], before[held][-1:])
    assert found["train"] == {user: items for user, items in before.items() if user != held}
    assert set(found["test"]) == {0, 1, 2, 3}
    assert segments.counts["cold_test_users"] == 1  # user 3; the held-out user is not cold
    assert segments.counts["cold_validation_users"] == 0
    assert split.held_out_phases == ("validation",)
    assert "validation_quantile" not in split.settings()


def test_quantiles():
    # Times of TOY in order: 1 2 3 5 9 10 11 12 19 20 20 20 21 25 26 30; event 9 of 16 is at 20.
    split = make("global_temporal", test_quantile=0.6, validation_quantile=5 / 16)
    counts = split.segments(TOY).counts
    assert (counts["validation_cut_time"], counts["test_cut_time"]) == (10, 20)


def test_time_at_share_is_the_sorted_one():
    random = np.random.default_rng(0)
    for span in (3, 1000, 10**10):
        rows = [np.sort(random.integers(-span, span, n)) for n in (0, 5, 100, 1, 1000)]
        times = np.concatenate(rows)
        offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
        for share in (0, 0.1, 0.5, 0.999, 1):
            want = np.sort(times)[min(int(share * len(times)), len(times) - 1)]
            assert time_at_share(times, offsets[:-1], offsets[1:], share) == want


def test_rolling_by_hand():
    day = [1, 5, 8, 9, 12, 15, 17, 19, 20]
    log = log_of(
        [(i, d * DAY) for i, d in enumerate(day)],
        [(0, 7 * DAY), (1, 13 * DAY), (2, 14 * DAY), (3, 18 * DAY)],
    )
    # The end is day 20 + 1 s, so windows of 4 days start 1 s after days 12 and 16.
    options = {"num_windows": 2, "window_days": 4, "validation_days": 4}
    older = make("rolling", **options, window=0, target="all")
    assert in_items(log, older.segments(log)) == {
        "train": {0: [0, 1, 2], 1: [0]},
        "validation": {0: ([0, 1, 2], [3, 4])},  # days 9 and 12
        "test": {0: ([0, 1, 2, 3, 4], [5]), 1: ([0], [1, 2])},
    }
    assert older.segments(log).counts["events_unused"] == 3 + 1
    assert older.windows(log)[0] == (None, 8 * DAY + 1, 12 * DAY + 1, 16 * DAY + 1)
    newer = make("rolling", **options, window=1, target="last", train_days=4)
    assert in_items(log, newer.segments(log)) == {
        "train": {0: [3, 4]},  # days 9 and 12; day 8 is before
        "validation": {0: ([3, 4], [5]), 1: ([1], [2])},
        "test": {0: ([3, 4, 5, 6, 7], [8]), 1: ([1, 2], [3])},
    }
    counts = newer.segments(log).counts
    assert counts["cold_validation_users"] == counts["cold_test_users"] == 1  # user 1


def test_rolling_windows_touch_and_end_where_told():
    split = make("rolling", num_windows=3, window_days=2, validation_days=1, end="1970-01-20",
                 window=0)  # fmt: skip
    windows = split.windows(TOY)
    assert [w.test_start // DAY for w in windows] == [13, 15, 17]
    assert [w.test_end // DAY for w in windows] == [15, 17, 19]
    assert [w.validation_start // DAY for w in windows] == [12, 14, 16]


@pytest.mark.parametrize("name", ["global_temporal", "rolling"])
def test_no_times(name):
    options = {"window": 0} if name == "rolling" else {}
    with pytest.raises(UserError) as error:
        make(name, **options).segments(log_of([1, 2, 3], [1, 2, 3]))
    assert f"split={name}: this split cuts by time and the log has no timestamps" in str(
        error.value
    )
    assert "data.timestamp_column" in str(error.value)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("global_temporal", {"test_start": "2020-01-01"},
         "split.test_start=2020-01-01 and split.test_quantile=0.9 both give the test cut: set one "
         "of them to null"),
        ("global_temporal", {"test_quantile": None},
         "split.test_start and split.test_quantile are both null: set one, e.g. "
         "split.test_quantile=0.9"),
        ("global_temporal", {"validation_quantile": None},
         "split.validation_start and split.validation_quantile are both null"),
        ("global_temporal", {"test_start": "soon", "test_quantile": None},
         "split.test_start=soon: not a valid date; expected e.g. 2024-12-31"),
        ("rolling", {"window": 3},
         "split.window=3: there are split.num_windows=3 windows; allowed are 0 (the oldest) to 2"),
        ("rolling", {"end": "never"}, "split.end=never: not a valid date"),
    ],
)  # fmt: skip
def test_wrong_options(name, options, message):
    with pytest.raises(UserError) as error:
        make(name, **options)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("global_temporal", {"validation_quantile": 0.9},
         "the validation cut (1970-01-01 00:00:26) is not before the test cut (1970-01-01 "
         "00:00:26). Lower split.validation_start or split.validation_quantile"),
        ("global_temporal", {"test_start": "2020-01-01", "test_quantile": None},
         "split=global_temporal: no test target is left. The log runs from 1970-01-01 00:00:01 to "
         "1970-01-01 00:00:30; test cut: 2020-01-01 00:00:00, validation cut: 1970-01-01 00:00:21"),
        ("rolling", {}, "split=rolling: a dataset has one window, and split.window=null means "
         "all. Set split.window to one of 0 (the oldest) to 2"),
        ("rolling", {"window": 0}, "split=rolling: no event to train on is left. The log runs "
         "from 1970-01-01 00:00:01"),
    ],
)  # fmt: skip
def test_wrong_for_this_log(name, options, message):
    with pytest.raises(UserError) as error:
        make(name, **options).segments(TOY)
    assert message in str(error.value)


@pytest.fixture(scope="module")
def movielens() -> tuple[FlatLog, list[int]]:
    """MovieLens-100k with its own item numbers, and the raw id of every user."""
    file = (Path(__file__).parents[3] / "../shared/data/ml-100k/ml-100k.inter").resolve()
    if not file.is_file():
        pytest.skip(f"the shared data set {file.name} is not at {file}")
    names = ["user", "item", "rating", "time"]
    table = pl.read_csv(file, separator="\t", new_columns=names).with_columns(
        pl.col("time").cast(pl.Int64)
    )
    table = table.sort("user", "time", maintain_order=True)
    sizes = table.group_by("user", maintain_order=True).len()
    offsets = np.concatenate([[0], np.cumsum(sizes["len"].to_numpy())]).astype(np.int64)
    items = table["item"].cast(pl.Int32).to_numpy()
    log = FlatLog(items, offsets, table["time"].to_numpy(), int(items.max()) + 1)
    return log, sizes["user"].to_list()


DATES = {"validation_start": "1998-03-07", "validation_quantile": None}
DATES |= {"test_start": "1998-04-01", "test_quantile": None}

# User 810, read off the file by eye: 15 ratings up to 1998-02-04 (times 879895233 .. 886614969),
# 8 in March (890083124 .. 891294039), 3 in April (891873660, 891873686, 891873739).
BEFORE = [294, 288, 321, 323, 243, 881, 873, 289, 678, 878, 313, 304, 328, 333, 876]
MARCH = [301, 879, 300, 902, 342, 269, 286, 339]
APRIL = [338, 331, 326]


@pytest.mark.parametrize(
    ("target", "validation", "test"),
    [
        ("first", (BEFORE, MARCH[:1]), (BEFORE + MARCH, APRIL[:1])),
        ("last", (BEFORE + MARCH[:-1], MARCH[-1:]), (BEFORE + MARCH + APRIL[:-1], APRIL[-1:])),
        ("all", (BEFORE, MARCH), (BEFORE + MARCH, APRIL)),
    ],
)
def test_movielens_user_810(movielens, target, validation, test):
    log, users = movielens
    segments = make("global_temporal", **DATES, target=target).segments(log)
    found, user = in_items(log, segments), users.index(810)
    assert found["train"][user] == BEFORE
    assert found["validation"][user] == validation
    assert found["test"][user] == test


def test_movielens_counts(movielens):
    log, _ = movielens
    segments = make("global_temporal", **DATES, target="last").segments(log)
    # Counted in the file by another way: 9,359 ratings of 162 users are of April 1998.
    april = log.timestamps >= 891388800
    assert april.sum() == 9359
    owners = np.repeat(np.arange(len(log.offsets) - 1), np.diff(log.offsets))
    assert len(np.unique(owners[april])) == 162
    assert len(segments.test) + segments.counts["test_users_without_history"] == 162
    trained = sum(end - start for _, start, end in segments.train.tolist())
    assert trained == (log.timestamps < 889228800).sum()


def test_movielens_quantile(movielens):
    log, _ = movielens
    counts = make("global_temporal").segments(log).counts
    # Line 90,001 and 80,001 of the file sorted by time (sort -n).
    assert counts["test_cut_time"] == 891382309
    assert counts["validation_cut_time"] == 889237269
