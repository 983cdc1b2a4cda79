from __future__ import annotations

import logging
import tempfile
from itertools import pairwise
from pathlib import Path

import narwhals as nw
import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys_lab.config import UserError
from recsys_lab.data.engines.polars import PolarsSession
from recsys_lab.data.preparation.encode_events import (
    FIRST_SECOND,
    LAST_SECOND,
    _ordered,
    order_events,
)
from recsys_lab.data.preparation.history_filters import HistoryFilters
from recsys_lab.data.preparation.row_counts import RowCounts
from recsys_lab.data.preparation.row_filters import Filters
from recsys_lab.data.preparation.write import write_arrays
from recsys_lab.data.raw import RawData
from tests.data.conftest import LOG, Given, build


def test_numeric_ids_sort_as_numbers(table, run):
    data = run(table("user_id,item_id,timestamp\n" + "10,100,1\n10,9,2\n10,20,3\n9,9,1\n"))
    assert data.user_ids() == [9, 10]
    assert data.item_ids() == [9, 20, 100]


def test_leading_zeros_keep_ids_apart(table, run):
    data = run(table("user_id,item_id,timestamp\n" + "u,007,1\nu,7,2\nu,8,3\nv,7,1\n"))
    assert data.item_ids() == ["007", "7", "8"]


def test_bad_rows_are_counted_by_reason(table, run, caplog):
    text = LOG + ",x,4\n ,x,4\na,,4\na,x,never\na,x,1\n,,\n"
    with caplog.at_level(logging.INFO):
        data = run(table(text))
    dropped = {c["reason"]: c["dropped"] for c in data.manifest["counts"] if c["dropped"]}
    assert dropped == {
        "missing user": 3,
        "missing item": 1,
        "unparseable timestamp": 1,
        "same user, item and time as an earlier row": 1,
    }
    assert data.num_interactions == 8
    assert "Dropped 3 rows (21.4%): missing user" in caplog.text
    assert data.fingerprint == run(table(LOG)).fingerprint


def test_duplicates_stay_when_asked(table, run):
    text = LOG + "a,x,1\n"
    assert run(table(text), drop_duplicates=False).num_interactions == 9
    # Without a time nothing says that a repeated pair is the same event.
    assert run(table(text, timestamp_column=None)).num_interactions == 9


def test_order_column_instead_of_time(table, run):
    text = "user_id,item_id,place\n" + "u,c,10\nu,b,9\nu,a,1\nv,a,1\nv,a,1\nv,a,2\n"
    data = run(table(text, timestamp_column=None, order_column="place"))
    assert data.items.tolist() == [0, 1, 2, 0, 0]
    assert data.timestamps is None
    assert not (data.path / "timestamps.npy").exists()
    last = data.manifest["counts"][-1]
    assert (last["dropped"], last["reason"]) == (1, "same user, item and order as an earlier row")


def test_milliseconds_order_events_within_a_second(table, run):
    base = 1_600_000_000_000
    rows = f"u,a,{base + 900}\nu,b,{base + 100}\nu,b,{base + 500}\nv,a,{base}\n"
    data = run(table("user_id,item_id,timestamp\n" + rows))
    assert data.items.tolist() == [1, 1, 0, 0]
    assert data.timestamps.tolist() == [1_600_000_000] * 4


def test_times_too_far_apart_to_pack_sort_alike():
    users, times = [2**31 - 1, 0, 0, 0], [LAST_SECOND, LAST_SECOND, FIRST_SECOND, 0]
    frame = pl.LazyFrame({"user": users, "timestamp": times, "row": [0, 1, 2, 3]})
    frame = frame.with_columns(pl.col("row").alias("place"))
    for rows in (frame, frame.sort("row", descending=True)):
        ordered = _ordered(PolarsSession(), nw.from_native(rows), ["timestamp"])
        assert ordered.collect()["place"].to_list() == [2, 3, 1, 0]


def test_years_that_no_calendar_has_are_dropped(run):
    times = [FIRST_SECOND, FIRST_SECOND - 1, LAST_SECOND, LAST_SECOND + 1, 2**62, 0, 0]
    frame = pl.DataFrame({"user_id": [1] * 6 + [2], "item_id": range(7), "timestamp": times})
    data = run(Given(interactions=frame))
    assert data.timestamps.tolist() == [FIRST_SECOND, 0, LAST_SECOND, 0]
    counts = {c["reason"]: c["dropped"] for c in data.manifest["counts"]}
    assert counts["timestamp outside the years 1 to 9999"] == 3


def test_k_core_by_hand(table, run):
    # Item d has one event; without it user w has two; without w item c has one; and so on.
    rows = ["u,a,1", "u,b,2", "u,a,3", "v,a,1", "v,b,2", "v,b,3", "w,c,1", "w,a,2", "w,d,3"]
    rows += ["u,c,4"]
    data = run(
        table("\n".join(["user_id,item_id,timestamp", *rows])), min_user_count=3, min_item_count=2
    )
    assert data.user_ids() == ["u", "v"]
    assert data.item_ids() == ["a", "b"]
    last = data.manifest["counts"][-1]
    assert (last["rows"], last["users"], last["items"], last["dropped"]) == (6, 2, 2, 4)
    assert last["reason"].startswith("user with fewer than 3 or item with fewer than 2 events (")


rows = st.lists(
    st.tuples(
        st.one_of(st.none(), st.sampled_from(["", " ", "a", "b", "c", "d"])),
        st.one_of(st.none(), st.integers(0, 5)),
        st.one_of(st.none(), st.integers(0, 4)),
    ),
    max_size=40,
)


@settings(max_examples=60, deadline=None)
@given(rows, st.integers(0, 3), st.integers(0, 3), st.booleans())
def test_every_row_is_kept_or_counted_once(log, min_user, min_item, drop):
    frame = pl.DataFrame(
        log,
        schema={"user_id": pl.String, "item_id": pl.Int64, "timestamp": pl.Int64},
        orient="row",
    )
    options = {
        "drop_duplicates": drop,
        "min_user_count": min_user,
        "min_item_count": min_item,
    }
    good = [r for r in log if r[0] and r[0].strip() and r[1] is not None and r[2] is not None]
    unique = list(dict.fromkeys(good)) if drop else good
    raw = RawData(frame, dropped={"too old": 7})
    row_counts = RowCounts()
    filters = build(Filters, "filter", "default", max_bad_rows=1.0, **options)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            coded = order_events(PolarsSession(), raw, filters, row_counts, folder)
            trim = HistoryFilters(
                coded.columns, *(len(coded.values[k]) for k in ("user", "item")), part=5
            )
            trim.apply(filters, row_counts)
        except UserError as error:
            said = str(error)
        else:
            said = ""
        if said:
            assert "no interaction is left of" in said
            assert not good or max(min_user, min_item) > 1
            return
        arrays = write_arrays(coded, trim, folder, folder)
        users, items = arrays.user_ids.to_pylist(), arrays.item_ids.to_pylist()
        lengths = np.diff(arrays.offsets)
        left = [
            (users[u], items[i], t)
            for u, i, t in zip(
                np.repeat(np.arange(len(users)), lengths),
                arrays.items.tolist(),
                arrays.timestamps.tolist(),
                strict=True,
            )
        ]
    counts = row_counts.counts
    assert counts[0]["rows"] == len(log) + 7
    for before, after in pairwise(counts):
        assert before["rows"] - after["dropped"] == after["rows"]
    last = counts[-1]
    assert last["rows"] == len(left) == counts[0]["rows"] - sum(c["dropped"] for c in counts)
    assert last["users"] == len({r[0] for r in left}) == len(users)
    assert last["items"] == len({r[1] for r in left}) == len(items)
    if max(min_user, min_item) <= 1:  # the reference: Python's stable sort of what is good
        assert left == sorted(unique, key=lambda r: (r[0], r[2]))
