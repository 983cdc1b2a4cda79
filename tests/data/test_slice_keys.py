"""The keys of slices, by hand and against loops over a real log."""

import numpy as np
import polars as pl
import pytest

from recsys_lab.data import slice_columns as module
from recsys_lab.data.slice_columns import BANDS, popularity_bands, slice_keys


def test_bands_hold_a_third_of_the_events_each():
    # 90 events: 40 | 20 + 10 (begin within the second third) | the rest
    counts = np.array([10, 0, 40, 20, 5, 5, 5, 5])
    names = [BANDS[code] for code in popularity_bands(counts)]
    assert names == ["tail", "cold", "head", "middle", "tail", "tail", "tail", "tail"]


def test_keys_of_a_small_log(run, table):
    day = 86400
    rows = [("a", i, 1000 + 60 * n) for n, i in enumerate("pqrs")]
    rows += [("a", "p", 1000 + 3 * day), ("a", "q", 1000 + 3 * day + 10)]
    rows += [("b", i, 5000 + n) for n, i in enumerate("prs")]
    rows += [("b", "q", 5000 + 2 * 3600), ("b", "z", 5000 + 50 * day)]
    log = pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row")
    data = run(table(log.write_csv()))
    keys = slice_keys(data, "test")
    items = data.item_ids()
    got = {
        data.user_ids()[row["user"]]: (items[row["target"]], *list(row.values())[2:])
        for row in keys.iter_rows(named=True)
    }
    assert keys.columns[2:] == [
        "history_length", "target_popularity", "target_repeated", "since_last",
    ]  # fmt: skip
    # Training has p, r and s twice each, then q once: the last seventh of the events.
    assert got["a"] == ("q", "5-9", "tail", "yes", "under an hour")
    assert got["b"] == ("z", "1-4", "cold", "no", "30 days or more")


@pytest.mark.parametrize("phase", ["validation", "test"])
def test_keys_equal_loops(run, table, phase):
    generator = np.random.default_rng(0)
    log = pl.DataFrame(
        {
            "user_id": generator.integers(0, 30, 600),
            "item_id": generator.integers(0, 40, 600),
            "timestamp": np.sort(generator.integers(0, 10**7, 600)),
        }
    )
    data = run(table(log.write_csv()))
    keys = slice_keys(data, phase)
    assert len(keys) == len(data.segments(phase))
    for row, (user, start, end, _) in zip(
        keys.iter_rows(named=True), data.segments(phase), strict=True
    ):
        history = data.items[start:end].tolist()
        assert row["user"] == user
        assert row["target"] == data.items[end]
        low, _, high = row["history_length"].replace("+", "-1000").partition("-")
        assert int(low) <= len(history) <= int(high)
        assert (row["target_repeated"] == "yes") == (row["target"] in history)
        seconds = data.timestamps[end] - data.timestamps[end - 1]
        assert (row["since_last"] == "under an hour") == (seconds < 3600)
        assert (row["since_last"] == "under a week") == (86400 <= seconds < 7 * 86400)


DAY = 86400
MONDAY = 1_609_718_400
"""2021-01-04, the first day of the first ISO week of 2021; the three days before are of 2020's."""


def log_of_targets(*moments: int) -> str:
    """A log whose users' last events, the test targets, are at these moments."""
    rows = [
        (f"u{user:02}", item, moment - before * DAY)
        for user, moment in enumerate(moments)
        for item, before in (("p", 9), ("q", 8), ("r", 0))
    ]
    return pl.DataFrame(rows, ["user_id", "item_id", "timestamp"], orient="row").write_csv()


@pytest.mark.parametrize(
    ("period", "expected"),
    [
        ("week", ["2020-W53", "2020-W53", "2021-W01", "2021-W02"]),
        ("month", ["2020-12", "2021-01", "2021-01", "2021-01"]),
        ("day", ["2020-12-31", "2021-01-03", "2021-01-04", "2021-01-11"]),
    ],
)
def test_the_period_of_a_target_is_that_of_its_time_in_utc(run, table, period, expected):
    moments = (MONDAY - 3 * DAY - 1, MONDAY - 1, MONDAY, MONDAY + 7 * DAY)
    keys = slice_keys(run(table(log_of_targets(*moments))), "test", period)
    column = keys[f"target_{period}"]
    assert column.cast(pl.String).to_list() == expected
    assert column.dtype.categories.to_list() == list(dict.fromkeys(expected))


def test_only_the_latest_periods_have_their_own_slice(run, table, monkeypatch):
    monkeypatch.setattr(module, "LATEST_PERIODS", 2)
    data = run(table(log_of_targets(*(MONDAY + week * 7 * DAY for week in range(4)))))
    column = slice_keys(data, "test", "week")["target_week"]
    early = "before 2021-W03"
    assert column.cast(pl.String).to_list() == [early, early, "2021-W03", "2021-W04"]
    assert column.dtype.categories.to_list() == [early, "2021-W03", "2021-W04"]


def test_a_log_without_times_is_not_cut_by_them(run, table):
    log = pl.read_csv(log_of_targets(*range(10**6, 10**6 + 5)).encode()).drop("timestamp")
    data = run(table(log.write_csv(), timestamp_column=None))
    assert "target_week" not in slice_keys(data, "test", "week").columns
