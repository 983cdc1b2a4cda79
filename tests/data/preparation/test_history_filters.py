"""Filters by neighbours and counts, against their definitions."""

from __future__ import annotations

from itertools import groupby

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys_lab.config import UserError
from recsys_lab.data.preparation.history_filters import HistoryFilters
from recsys_lab.data.preparation.row_counts import RowCounts
from recsys_lab.data.preparation.row_filters import Filters
from tests.data.conftest import build

# Few users and items: many ties, repeats and rare ones.
logs = st.lists(st.tuples(*[st.integers(0, 5)] * 3), min_size=1, max_size=50).map(
    lambda log: sorted(log, key=lambda event: (event[0], event[2]))
)


def trimmed(log, part, kinds=None, **options):
    users, items, times = (np.array(column) for column in zip(*log, strict=True))
    columns = {
        "user": users.astype(np.int32),
        "item": items.astype(np.int32),
        "timestamp": times,
    }
    if kinds is not None:
        columns["kind"] = np.array(kinds)
    defaults = {"drop_duplicates": False}
    filters = build(Filters, "filter", "default", **{**defaults, **options})
    row_counts = RowCounts()
    row_counts.read(len(log))
    trim = HistoryFilters(columns, 6, 6, part=part)
    try:
        trim.apply(filters, row_counts)
    except UserError:
        return []
    kept = [event for event, keep in zip(log, trim.keep_T, strict=True) if keep]
    assert row_counts.rows == len(kept)
    assert trim.user_counts.tolist() == [sum(e[0] == u for e in kept) for u in range(6)]
    assert trim.item_counts.tolist() == [sum(e[1] == i for e in kept) for i in range(6)]
    return kept


@given(logs, st.integers(1, 60))
def test_parts_hold_whole_users(log, part):
    users = np.array([user for user, _, _ in log], dtype=np.int32)
    trim = HistoryFilters({"user": users, "item": users}, 6, 6, part=part)
    parts = list(trim.parts())
    assert [start for start, _ in parts] == [0, *(end for _, end in parts[:-1])]
    assert parts[-1][1] == len(log)
    for start, end in parts:
        assert start < end
        assert end == len(log) or users[end - 1] != users[end]
        assert end - start <= part or len(set(users[start:end])) == 1


@given(logs, st.integers(1, 60))
def test_duplicates(log, part):
    assert trimmed(log, part, drop_duplicates=True) == list(dict.fromkeys(log))


@given(logs, st.integers(1, 60), st.data())
def test_events_of_another_type_are_no_duplicates(log, part, data):
    kind = data.draw(st.sampled_from([st.integers(-1, 1), st.sampled_from([0.5, 2.0, 1e9])]))
    kinds = data.draw(st.lists(kind, min_size=len(log), max_size=len(log)))
    want = [event for event, _ in dict.fromkeys(zip(log, kinds, strict=True))]
    assert trimmed(log, part, kinds, drop_duplicates=True) == want


@given(logs, st.integers(1, 60))
def test_consecutive_repeats(log, part):
    want = [next(group) for _, group in groupby(log, key=lambda event: event[:2])]
    assert trimmed(log, part, drop_consecutive_repeats=True) == want


@given(logs, st.integers(1, 60), st.integers(1, 5))
def test_last_events_of_a_history(log, part, limit):
    want = [e for _, group in groupby(log, key=lambda e: e[0]) for e in list(group)[-limit:]]
    assert trimmed(log, part, max_history=limit) == want


@given(logs, st.integers(1, 60), st.integers(0, 4), st.integers(0, 4))
def test_k_core_is_the_largest_stable_set(log, part, min_user, min_item):
    alive = set(range(len(log)))
    while True:  # the definition: remove one offending event at a time
        bad = [
            e
            for e in alive
            if sum(log[o][0] == log[e][0] for o in alive) < min_user
            or sum(log[o][1] == log[e][1] for o in alive) < min_item
        ]
        if not bad:
            break
        alive.discard(bad[0])
    got = trimmed(log, part, min_user_count=min_user, min_item_count=min_item)
    assert got == [log[e] for e in sorted(alive)]


@given(logs, st.integers(2, 4), st.integers(2, 4))
def test_counts_taken_once(log, min_user, min_item):
    left = [e for e in log if sum(o[1] == e[1] for o in log) >= min_item]
    want = [e for e in left if sum(o[0] == e[0] for o in left) >= min_user]
    got = trimmed(log, 7, min_user_count=min_user, min_item_count=min_item, iterative=False)
    assert got == want


def test_options_work_in_their_order(run, table):
    # Repeats go before the history is cut: of a a b c c the last two events are b c.
    rows = ["u,a,1", "u,a,2", "u,b,3", "u,c,4", "u,c,5", "v,a,1", "v,b,2", "v,c,3"]
    text = "\n".join(["user_id,item_id,timestamp", *rows])
    data = run(table(text), drop_consecutive_repeats=True, max_history=3)
    assert data.items.tolist() == [0, 1, 2, 0, 1, 2]
    steps = [(c["step"], c["rows"], c["dropped"]) for c in data.manifest["counts"]]
    assert steps[-2:] == [("repeats", 6, 2), ("history", 6, 0)]


def test_nothing_left_is_an_error(run, table):
    with pytest.raises(UserError, match=r"fewer than 9 or item .* events \(2 passes\): 3"):
        run(table("user_id,item_id,timestamp\nu,a,1\nu,b,2\nv,a,1\n"), min_user_count=9)


def test_a_sample_of_users_is_drawn_from_those_that_the_other_filters_keep(run, table, tmp_path):
    """Its users keep all of their events; it has a fingerprint of its own."""
    rows = [f"u{user:02},{item},{item}" for user in range(30) for item in range(1 + user % 7)]
    text = "\n".join(["user_id,item_id,timestamp", *rows])
    plain = run(table(text), min_user_count=3)
    data = run(table(text), root=tmp_path / "sample", min_user_count=3, sample_users=8)
    assert data.num_users == 8
    lengths = {user: 1 + int(user[1:]) % 7 for user in plain.user_ids()}
    assert set(data.user_ids()) < set(lengths)
    assert np.diff(data.offsets).tolist() == [lengths[user] for user in data.user_ids()]
    last = data.manifest["counts"][-1]
    assert (last["step"], last["reason"]) == ("sample", "user not in the sample of 8")
    assert last["dropped"] == plain.num_interactions - data.num_interactions
    assert data.manifest["settings"]["filter"]["sample_users"] == 8
    assert "sample_users" not in plain.manifest["settings"]["filter"]
    assert data.fingerprint != plain.fingerprint
    # The sample depends on the users alone; one of more users than there are is everybody.
    more = text + "\nu90,1,1\nu91,1,1"
    again = run(table(more), root=tmp_path / "more", min_user_count=3, sample_users=8)
    assert again.user_ids() == data.user_ids()
    everybody = run(table(text), root=tmp_path / "all", min_user_count=3, sample_users=10_000)
    assert everybody.user_ids() == plain.user_ids()
