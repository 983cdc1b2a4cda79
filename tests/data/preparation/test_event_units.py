"""Sessions and baskets, from the log to the slices."""

from __future__ import annotations

import re

import polars as pl
import pytest

from recsys_lab.config import UserError
from recsys_lab.data.slice_columns import slice_keys
from recsys_lab.data.splits.leave_one_out import LeaveOneOut

LOG = """user_id,item_id,timestamp,visit,receipt
a,1,0,v1,r1
a,2,60,v1,r1
a,3,7200,v2,r2
a,4,7260,v2,r3
a,1,90000,v3,
a,5,90001,v3,
b,1,0,v1,r1
b,2,600,v1,r2
b,3,2500,v2,r2
b,4,2500,v4,r4
b,4,4301,v3,r4
"""
TIED = "timestamp,visit\na,1,0,v1\na,2,0,v2\na,3,0,v1\nb,1,5,\nb,2,5,\nb,3,5,v1\n"


@pytest.fixture
def prepared(table, run, make):
    def prepare_it(content=LOG, session=None, basket=None, gap=None, unit="event", **options):
        wanted = {key: options.pop(key) for key in ("target",) if key in options}
        split = make(LeaveOneOut, "split", "leave_one_out", unit=unit, **wanted)
        reader = table(content, session_column=session, basket_column=basket)
        return run(reader, split=split, session_gap=gap, **options)

    return prepare_it


def test_sessions_of_a_column(prepared):
    data = prepared(session="visit", unit="session")
    assert data.sessions.tolist() == [0, 2, 4, 6, 8, 9, 10]
    assert data.segments("train").tolist() == [[0, 0, 2], [1, 6, 9]]
    assert data.segments("validation").tolist() == [[0, 0, 2, 4], [1, 6, 9, 10]]
    assert data.segments("test").tolist() == [[0, 0, 4, 6], [1, 6, 10, 11]]
    assert data.manifest["split"]["sessions"] == 7
    assert data.manifest["settings"]["split"]["unit"] == "session"
    table = pl.read_parquet(data.path / "interactions.parquet")
    assert table["session"].to_list() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 5, 6]
    keys = slice_keys(data, "test")
    assert keys["session_position"].to_list() == ["first", "second", "first"]
    assert "session_position" not in slice_keys(prepared(), "test").columns


def test_sessions_of_a_gap(prepared):
    """30 minutes without an event end a session, 1,800 s do not."""
    data = prepared(gap=30, unit="session", target="successive")
    assert data.sessions.tolist() == [0, 2, 4, 6, 8, 10]
    assert data.segments("test").tolist() == [[0, 0, 4, 5], [0, 0, 5, 6], [1, 6, 10, 11]]
    assert slice_keys(data, "test")["session_position"].to_list() == ["first", "second", "first"]
    assert data.manifest["settings"]["filter"]["session_gap"] == 30
    assert "session_gap" not in prepared().manifest["settings"]["filter"]


def test_baskets_of_a_column_and_of_the_time(prepared, tmp_path):
    receipts = prepared(basket="receipt", unit="basket")
    # Each event without a receipt is a basket.
    assert receipts.segments("test").tolist() == [[0, 0, 5, 6], [1, 6, 9, 11]]
    assert receipts.segments("validation").tolist() == [[0, 0, 4, 5], [1, 6, 7, 9]]
    assert receipts.manifest["split"]["baskets"] == 5 + 3
    said = "data.basket_column: 2 events have no basket id; each counts as a separate basket"
    assert said in receipts.manifest["warnings"]
    events = prepared(basket="receipt", root=tmp_path / "events")
    assert events.manifest["split"]["baskets"] == 5 + 3  # for the leak check
    assert len(events.segments("test")) == 2
    times = prepared(unit="basket", root=tmp_path / "times")
    assert times.segments("test").tolist() == [[0, 0, 5, 6], [1, 6, 10, 11]]
    assert times.segments("validation").tolist() == [[0, 0, 4, 5], [1, 6, 8, 10]]
    assert times.fingerprint != receipts.fingerprint


def test_ids_that_come_again_are_told(prepared):
    data = prepared("user_id,item_id," + TIED, session="visit")
    assert data.sessions.tolist() == [0, 1, 2, 3, 4, 5]
    first, second = [said for said in data.manifest["warnings"] if "session_column" in said]
    assert first == (
        "data.session_column: 1 of 6 sessions have the id of an earlier session of the same user, "
        "with another one between; each run of events counts as a session"
    )
    assert second.startswith("data.session_column: 2 events have no session id")


def test_other_sessions_are_another_dataset(prepared, tmp_path):
    first = prepared(session="visit", unit="session")
    moved = LOG.replace("a,2,60,v1", "a,2,60,v2")  # equal targets, items and times
    other = prepared(moved, session="visit", unit="session", root=tmp_path / "other")
    assert other.segments("test").tolist() == first.segments("test").tolist()
    assert other.fingerprint != first.fingerprint
    # Where the split does not read them, sessions change no number.
    plain = prepared(root=tmp_path / "plain").fingerprint
    assert prepared(session="visit", root=tmp_path / "known").fingerprint == plain


def test_filters_of_the_training_part_know_sessions(prepared):
    data = prepared(session="visit", unit="session", counts="training", max_history=1)
    assert data.segments("train").tolist() == [[0, 0, 1], [1, 5, 6]]
    assert data.sessions.tolist() == [0, 1, 3, 5, 6, 7]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"session": "visit", "gap": 30}, "filter.session_gap=30: the log already has sessions"),
        ({"unit": "session"}, "split.unit=session: the log has no sessions: name their column with "
         "data.session_column, or set filter.session_gap"),
        ({"session": "visits"}, "visit"),
    ],
)  # fmt: skip
def test_mistakes(prepared, options, said):
    with pytest.raises(UserError) as error:
        prepared(**options)
    assert said in str(error.value)


def test_a_gap_without_times(table, run):
    reader = table("user_id,item_id\na,1\na,2\na,3\nb,1\n", timestamp_column=None)
    with pytest.raises(UserError, match=r"filter.session_gap=30: the log has no times"):
        run(reader, session_gap=30)


def test_targets_in_the_receipt_of_the_event_before_are_told_with_a_cure(table, run, make, caplog):
    rows = [f"u{u},i{(3 * u + n) % 17},{86_400 * (n // 2) + u}" for u in range(9) for n in range(8)]
    log = "\n".join(["user_id,item_id,timestamp", *rows, ""])
    run(table(log))
    (said,) = [line for line in caplog.messages if line.startswith("same_basket (test): ")]
    assert "9 of 9 test targets (100.0%) are in the basket" in said
    assert said.endswith(". split.unit=basket predicts the whole next basket")
    option, value = re.search(r"split\.(\w+)=(\w+)", said).groups()
    data = run(table(log), split=make(LeaveOneOut, "split", "leave_one_out", **{option: value}))
    assert "same_basket" not in {leak["kind"] for leak in data.manifest["leaks"]}
    assert data.segments("test")[:, 2].tolist() == [8 * u + 6 for u in range(9)]
