"""Conditions on single rows, by hand."""

from __future__ import annotations

import polars as pl
import pytest

from recsys_lab.config import UserError
from recsys_lab.data.preparation.row_filters import Filters
from tests.data.conftest import Given

DAY = 86_400
# Two users see five items, one a day; ratings 1 .. 5, one missing, one NaN.
FRAME = pl.DataFrame(
    {
        "user_id": ["u"] * 5 + ["v"] * 5,
        "item_id": [1, 2, 3, 4, 5] * 2,
        "timestamp": [DAY * n for n in range(5)] * 2,
        "rating": [1.0, 2.0, 3.0, 4.0, 5.0, 5.0, 5.0, 5.0, None, float("nan")],
        "event_type": ["view", "buy", "view", "view", None, "buy", "view", "View", "buy", "buy"],
    }
)


def dropped(data):
    return {c["reason"]: c["dropped"] for c in data.manifest["counts"] if c["dropped"]}


def raw_ids(data):
    return [data.item_ids()[i] for i in data.items]


def test_rating(run):
    data = run(Given(interactions=FRAME), min_rating=3.0)
    assert raw_ids(data) == [3, 4, 5, 1, 2, 3]
    assert dropped(data) == {"missing or unreadable rating": 2, "rating below 3": 2}


def test_event_types(run):
    data = run(Given(interactions=FRAME), event_types=["view", "View"])
    assert raw_ids(data) == [1, 3, 4, 2, 3]
    assert dropped(data) == {"missing event type": 1, "event type is none of view, View": 4}


def test_dates_are_half_open(run):
    data = run(Given(interactions=FRAME), start="1970-01-02", end="1970-01-05T01:00+01:00")
    assert raw_ids(data) == [2, 3, 4] * 2
    assert dropped(data) == {"before 1970-01-02": 2, "from 1970-01-05T01:00+01:00 on": 2}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"start": "1/2/2020"},
            "filter.start=1/2/2020: not a valid date; expected e.g.",
        ),
        (
            {"start": "2020-01-02", "end": "2020-01-02"},
            "filter.start=2020-01-02 is not before filter.end=2020-01-02",
        ),
    ],
)
def test_bad_dates(make, options, message):
    with pytest.raises(UserError, match=message):
        make(Filters, "filter", "default", **options)


@pytest.mark.parametrize(
    ("options", "column"),
    [
        ({"event_types": ["buy"]}, "event_type"),
        ({"min_rating": 4.0}, "rating"),
        ({"end": "2020-01-01"}, "timestamp"),
    ],
)
def test_a_filter_needs_its_column(run, options, column):
    frame = FRAME.select("user_id", "item_id")
    fields = {"rating": "rating_field", "timestamp": "time_field"}
    also = rf" \(data=recbole: data.{fields[column]}\)" if column in fields else ""
    said = f"this log has no {column}. Name its column with data.{column}_column{also} if the"
    with pytest.raises(UserError, match=said):
        run(Given(interactions=frame), **options)


def test_a_window_ends_at_the_newest_event_that_the_other_filters_keep(run):
    data = run(Given(interactions=FRAME), window="3d", end="1970-01-05")
    assert raw_ids(data) == [2, 3, 4] * 2  # the newest is of January 4
    assert dropped(data) == {"from 1970-01-05 on": 2, "more than 3d before the newest event": 2}
    assert data.manifest["settings"]["filter"]["window"] == "3d"
    assert len(run(Given(interactions=FRAME), window="1w").items) == 10


@pytest.mark.parametrize("window", ["90", "d", "0d", "1.5w", "-3d", "3 d", "3m"])
def test_a_window_is_days_or_weeks(run, window):
    with pytest.raises(UserError, match=r"filter\.window: got .* days or weeks, e\.g\. 90d"):
        run(Given(interactions=FRAME), window=window)


def test_a_window_needs_timestamps(run):
    with pytest.raises(UserError, match=r"filter\.window=3d: this log has no timestamp"):
        run(Given(interactions=FRAME.drop("timestamp")), window="3d")


ITEMS = pl.DataFrame({"item_id": [1, 2, 3, 4, 5], "kind": ["toy", "Toy", None, "toy", "book"]})


def test_conditions_and_excluded_items(run, tmp_path):
    reader = Given(interactions=FRAME, items=ITEMS)
    where = "item.kind!=book, rating >= 1,timestamp<1970-01-05T00:00"
    data = run(reader, where=where, exclude_items=[5, "no id"])
    assert raw_ids(data) == [1, 2, 4, 1, 2]
    # The first reason counts. Item 3 has no kind, item 5 is a book.
    assert dropped(data) == {"does not meet item.kind!=book": 4, "does not meet rating >= 1": 1}
    assert data.manifest["warnings"][0] == (
        "filter.exclude_items: 1 of 2 ids are not in the log: 'no id'"
    )
    settings = data.manifest["settings"]["filter"]
    assert settings["where"] == "item.kind!=book,rating >= 1,timestamp<1970-01-05T00:00"
    assert settings["exclude_items"] == ["5", "no id"]
    pl.DataFrame({"item_id": [5, 4, 4]}).write_csv(tmp_path / "fees.csv")
    of_file = run(reader, exclude_items=str(tmp_path / "fees.csv"))
    assert of_file.manifest["settings"]["filter"]["exclude_items"] == ["4", "5"]
    assert dropped(of_file) == {"item of filter.exclude_items": 4}
    plain = run(reader)
    assert len({one.fingerprint for one in (data, of_file, plain)}) == 3
    assert not {"where", "exclude_items"} & plain.manifest["settings"]["filter"].keys()


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("rating", "filter.where: 'rating' is not a condition: expected column=value"),
        ('rating="5', "the quoted value does not end with its quote"),
        ("ratng>3", r"the log has no column 'ratng'; did you mean 'rating'\? It has: user_id, .*"
                    "event_type, item.kind$"),
        ("item.color=red", "the log has no column 'item.color'"),
        ("rating>good", "'rating>good': > compares numbers here, got 'good'"),
        ("event_type>3", "> compares numbers here, got '3' and values such as 'View'"),
        ("timestamp>=5", "a time is compared with a date or a time in ISO 8601"),
        ("timestamp<=1970-01-05", "a day is not a moment. Use >= .*timestamp<=1970-01-05T18:00"),
        ("timestamp>=1970-31-01", "not a valid date; expected e.g. 2024-12-31"),
        ("rating=5'; DROP TABLE log", "= compares numbers here"),
        ("event_type=(select 1)", "no interaction is left of 10 rows.*does not meet event_type="),
    ],
)  # fmt: skip
def test_bad_conditions(run, where, message):
    with pytest.raises(UserError, match=message):
        run(Given(interactions=FRAME, items=ITEMS), where=where)


def test_an_id_is_no_file(make):
    with pytest.raises(UserError, match=r"For ids write a list: filter.exclude_items=\[POST\]"):
        make(Filters, "filter", "default", exclude_items="POST")
