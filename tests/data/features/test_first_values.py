"""What the log's rows say of items and users: the first training event in time counts."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from recsys_lab.data.splits import ranges as places
from recsys_lab.data.splits.unseen_users import UnseenUsers

# Newest first. Leave-one-out trains on all but the last two events of each user: a's x and y at 1
# and 2, b's y at 1.
NEWEST_FIRST = """user_id,item_id,timestamp,newest,review,weight
a,w,4,w,test of a,9
b,w,3,w,test of b,8
b,x,3,x,validation of b,
a,z,3,z,validation of a,7
a,y,2,y,a on y,5
b,y,1,y,b on y,NULL
a,x,1,x,a on x,2
"""
KINDS = {
    "item_features": {"review": "text", "weight": "numeric"},
    "user_features": {"newest": "categorical"},
}


def test_first_in_time_and_of_training_events(table, run):
    data = run(table(NEWEST_FIRST, **KINDS))
    # y's first event is b's; that has no weight, so a's later one counts. z and w are not trained.
    assert data.item_ids() == ["w", "x", "y", "z"]
    assert data.features.text("item.review") == [None, "a on x", "b on y", None]
    weights = data.features.column("item.weight")
    np.testing.assert_array_equal(weights, np.array([np.nan, 2, 5, np.nan], np.float32))
    # Not "w", which both users are to be asked for.
    assert data.features.text("user.newest") == ["x", "y"]


def test_the_order_of_the_rows_changes_nothing(table, run):
    header, *lines = NEWEST_FIRST.splitlines(keepends=True)
    # b's two events of the last second keep their order: file order is the rule for ties.
    oldest_first = "".join([header, *lines[4:], lines[3], lines[1], lines[2], lines[0]])
    one, other = (run(table(text, name=f"{place}.csv", **KINDS))
                  for place, text in enumerate((NEWEST_FIRST, oldest_first)))  # fmt: skip
    assert one.fingerprint == other.fingerprint
    assert one.manifest["features_fingerprint"] == other.manifest["features_fingerprint"]


def test_a_title_that_no_model_reads_may_be_of_any_event(table, run):
    data = run(table(NEWEST_FIRST, title_column="review"))
    assert data.item_titles() == ["test of b", "a on x", "b on y", "validation of a"]


def test_users_who_are_held_out_have_no_value(table, run, make):
    rows = [f"{user},{item},{item},v{user}" for user in range(4) for item in range(3)]
    text = "\n".join(["user_id,item_id,timestamp,name", *rows])
    split = make(UnseenUsers, "split", "unseen_users", validation_users=0.3, test_users=0.3)
    data = run(table(text, user_features={"name": "categorical"}), split=split)
    trained = data.segments("train")[:, 0].tolist()
    assert len(trained) == 2
    names = data.features.text("user.name")
    assert names == [f"v{user}" if user in trained else None for user in range(4)]


@pytest.mark.parametrize("in_memory", [True, False])
@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_random_log_by_plain_loops(table, run, tmp_path, monkeypatch, form, in_memory):
    if not in_memory:
        monkeypatch.setattr("recsys_lab.data.sources.staged_rows.IN_MEMORY", 0)
    frame = random_log(400)
    folder = tmp_path / "log"
    folder.mkdir()
    for number, part in enumerate(frame.iter_slices(150)):
        file = folder / f"{number}.{form}"
        part.write_csv(file) if form == "csv" else part.write_parquet(file)
    data = run(table(folder, order_column="place", **KINDS_OF_RANDOM))
    assert_as_loops(data, frame)


KINDS_OF_RANDOM = {"item_features": {"words": "text"}, "user_features": {"number": "numeric"}}


def random_log(rows: int) -> pl.DataFrame:
    """Ties in time and place, gaps in both columns."""
    rng = np.random.default_rng(3)
    number = rng.integers(0, 1000, rows)
    return pl.DataFrame(
        {
            "user_id": rng.integers(0, 25, rows),
            "item_id": rng.integers(0, 60, rows),
            "timestamp": rng.integers(1_600_000_000, 1_600_000_040, rows),
            "place": rng.integers(0, 3, rows),
            "words": [None if value % 3 == 0 else f"w{value}" for value in number],
            "number": [None if value % 4 == 0 else float(value) for value in number],
        }
    )


def assert_as_loops(data, frame):
    """Compare the columns with what one loop over the sorted rows finds."""
    events = sorted(
        (
            (row["timestamp"], row["place"], place, row)
            for place, row in enumerate(frame.to_dicts())
        ),
        key=lambda event: event[:3],
    )
    seen, kept = set(), []
    for time, place, _, row in events:  # as `drop_duplicates`
        key = (row["user_id"], row["item_id"], time, place)
        if key not in seen:
            seen.add(key)
            kept.append(row)
    left = pl.Series([row["user_id"] for row in kept]).value_counts()
    left = dict(left.iter_rows())
    words, numbers = {}, {}
    for row in kept:
        user = row["user_id"]
        left[user] -= 1
        if left[user] >= 2:  # else a target of leave-one-out
            words.setdefault(row["item_id"], []).append(row["words"])
            numbers.setdefault(user, []).append(row["number"])

    def first(values):
        return next((value for value in values if value is not None), None)

    assert data.features.text("item.words") == [
        first(words.get(item, [])) for item in data.item_ids()
    ]
    expected = [first(numbers.get(user, [])) for user in data.user_ids()]
    np.testing.assert_array_equal(
        data.features.column("user.number"), np.array(expected, np.float32)
    )


def test_events_are_looked_at_in_parts(table, run, monkeypatch):
    frame = random_log(300)
    text = frame.write_csv()
    whole = run(table(text, order_column="place", **KINDS_OF_RANDOM))
    monkeypatch.setattr(places, "CHUNK", 7)
    parts = run(table(text, name="b.csv", order_column="place", **KINDS_OF_RANDOM))
    mark = "features_fingerprint"
    assert parts.manifest[mark] == whole.manifest[mark]
    assert_as_loops(parts, frame)
