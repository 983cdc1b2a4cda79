from __future__ import annotations

import logging
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys_lab.config import UserError
from recsys_lab.data.events import order_events
from recsys_lab.data.filters import Filters
from recsys_lab.data.raw import RawData
from recsys_lab.data.split import LeaveOneOut, repeated_target_share

from .conftest import LOG


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
        "exact duplicate": 1,
    }
    assert data.num_interactions == 8
    assert "Dropped 3 rows: missing user" in caplog.text
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
    assert [c["dropped"] for c in data.manifest["counts"]][-1] == 1  # same user, item and place


def test_milliseconds_order_events_within_a_second(table, run):
    base = 1_600_000_000_000
    rows = f"u,a,{base + 900}\nu,b,{base + 100}\nu,b,{base + 500}\nv,a,{base}\n"
    data = run(table("user_id,item_id,timestamp\n" + rows))
    assert data.items.tolist() == [1, 1, 0, 0]
    assert data.timestamps.tolist() == [1_600_000_000] * 4


def test_times_too_far_apart_to_pack_sort_alike():
    times = [2**62, -(2**62), 0, 2**62]
    frame = pl.DataFrame({"user_id": [2, 1, 1, 1], "item_id": [1, 2, 3, 4], "timestamp": times})
    result = order_events(RawData(frame), Filters(Filters.Config(True, 0, 0)))
    assert result.column("item").tolist() == [1, 2, 3, 0]


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


events = st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=60)


@given(events, st.integers(0, 4), st.integers(0, 4))
def test_k_core_is_the_largest_stable_set(pairs, min_user, min_item):
    users = np.array([u for u, _ in pairs], dtype=np.int32)
    items = np.array([i for _, i in pairs], dtype=np.int32)
    got, _ = Filters(Filters.Config(True, min_user, min_item)).k_core(users, items)
    alive = set(range(len(pairs)))
    while True:  # the definition: remove one offending event at a time
        bad = [
            e
            for e in alive
            if sum(pairs[o][0] == pairs[e][0] for o in alive) < min_user
            or sum(pairs[o][1] == pairs[e][1] for o in alive) < min_item
        ]
        if not bad:
            break
        alive.discard(bad[0])
    assert set(np.flatnonzero(got).tolist()) == alive


rows = st.lists(
    st.tuples(
        st.one_of(st.none(), st.sampled_from(["", " ", "a", "b", "c", "d"])),
        st.one_of(st.none(), st.integers(0, 5)),
        st.one_of(st.none(), st.integers(0, 4)),
    ),
    max_size=40,
)


@settings(max_examples=150, deadline=None)
@given(rows, st.integers(0, 3), st.integers(0, 3), st.booleans())
def test_every_row_is_kept_or_counted_once(log, min_user, min_item, drop):
    frame = pl.DataFrame(
        log,
        schema={"user_id": pl.String, "item_id": pl.Int64, "timestamp": pl.Int64},
        orient="row",
    )
    filters = Filters(Filters.Config(drop, min_user, min_item))
    good = [r for r in log if r[0] and r[0].strip() and r[1] is not None and r[2] is not None]
    unique = list(dict.fromkeys(good)) if drop else good
    try:
        result = order_events(RawData(frame, dropped={"too old": 7}), filters)
    except UserError as error:
        message = str(error)
    else:
        message = ""
    if message:
        assert "no interaction is left of" in message
        assert not good or max(min_user, min_item) > 1
        return
    counts = result.counts
    assert counts[0]["rows"] == len(log) + 7
    for before, after in pairwise(counts):
        assert before["rows"] - after["dropped"] == after["rows"]
    last = counts[-1]
    left = result.frame.to_native()
    assert last["rows"] == len(left) == counts[0]["rows"] - sum(c["dropped"] for c in counts)
    assert last["users"] == left["user"].n_unique() == len(result.user_ids)
    assert last["items"] == left["item"].n_unique() == len(result.item_ids)
    if max(min_user, min_item) <= 1:  # the reference: Python's stable sort of what is good
        users, items = result.user_ids.to_pylist(), result.item_ids.to_pylist()
        got = [(users[u], items[i], t) for u, i, t in left.iter_rows()]
        assert got == sorted(unique, key=lambda r: (r[0], r[2]))


def test_any_narwhals_engine_gives_the_same(table):
    raw = table(LOG).read_raw()
    filters = Filters(Filters.Config(True, 0, 2))
    ours = order_events(raw, filters)
    other = order_events(RawData(raw.interactions.to_arrow()), filters)
    assert other.counts == ours.counts
    for name in ("user", "item", "timestamp"):
        assert other.column(name).tolist() == ours.column(name).tolist()
    assert other.item_ids.to_pylist() == ours.item_ids.to_pylist()


def test_repeated_target_share_by_hand():
    items = np.array([1, 2, 1, 3, 4, 5, 6, 6, 5], dtype=np.int32)
    offsets = np.array([0, 3, 6, 9])
    phases = LeaveOneOut(LeaveOneOut.Config()).segments(offsets)
    assert repeated_target_share(items, phases.test) == pytest.approx(1 / 3)  # only user 0's 1
    assert repeated_target_share(items, phases.validation) == pytest.approx(1 / 3)  # user 2's 6
    several = np.array([[0, 0, 1, 3], [2, 6, 6, 8]])  # targets 2, 1 after 1; 6, 6 after nothing
    assert repeated_target_share(items, several) == pytest.approx(1 / 4)
