"""The keys of slices, by hand and against loops over a real log."""

import numpy as np
import polars as pl
import pytest

from recsys_lab.data.slice_keys import BANDS, popularity_bands, slice_keys


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
