"""Log files that are refused, with the message of each."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from recsys_lab.config import UserError
from tests.data.sources.test_table import CSV, NOON, read, write


def fails(reader, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read(reader)


def test_path_errors(tmp_path, table, monkeypatch):
    reader = table(tmp_path)
    fails(reader, r"data.path=.*: holds no table; allowed: .csv, .tsv.* It holds: nothing")
    with pytest.raises(UserError, match=r"data.path is not set.*Add e.g. data.path=clicks.csv"):
        type(reader)(reader.Config(**{**vars(reader.config), "path": None})).source_key()
    table(CSV, name="clicks.csv")
    fails(table(tmp_path / "click.csv"), r"no such file; did you mean '.*/clicks.csv'\?")
    fails(table(tmp_path / "nowhere" / "click.csv"), r"Its folder '.*nowhere' does not exist")
    monkeypatch.chdir(tmp_path)
    fails(
        table(Path("Clicks.csv")), r"data.path=Clicks.csv: no such file; did you mean 'clicks.csv'"
    )
    fails(table(CSV, name="log.xlsx"), r"suffix '.xlsx' cannot be read; allowed: .csv, .tsv")
    fails(table(CSV, name="log"), r"suffix '' cannot be read")
    fails(table(b"x", name="log.parquet.gz"), r"unpack the .gz first")
    fails(table("", name="log.csv"), r"log.csv: the file is empty \(0 bytes\)")


def test_content_errors(table):
    head = "user_id,item_id,timestamp\n"
    fails(table(head), r"data.path=.*log.csv: the file has a header but no rows")
    fails(
        table("user,item_id,time\n1,2,3\n"),
        r"data.user_column=user_id: no such column; did you mean 'user'\?\n"
        r"data.timestamp_column=timestamp: no such column; did you mean 'time'\?\n"
        r"Columns of .*log.csv: user, item_id, time",
    )
    fails(
        table(head + "1,2,\n1,2,soon\n"),
        r"log.csv: no time in column 'timestamp' can be read; the first is 'soon' \(row 2\). "
        r"Tried: numbers and ISO 8601 dates. Set data.timestamp_format",
    )
    fails(table(head + "1,2,3\n", timestamp_format="%Y"), r"Tried: format '%Y'")
    fails(
        table(head + "1,2,3\n", timestamp_column=None, order_column="timestamp", user_column="usr"),
        r"data.user_column=usr: no such column",
    )
    fails(
        table(head + "1,2,x\n", timestamp_column=None, order_column="timestamp"),
        r"data.order_column=timestamp: no value in this column of .* the first is 'x'",
    )


def test_damaged_files(tmp_path, table):
    parquet = write(tmp_path, "parquet")
    whole = parquet.read_bytes()
    fails(
        table(whole[: len(whole) // 2], name="cut.parquet"), r"cut.parquet: cannot be read as Parq"
    )
    fails(table(b"not parquet", name="bad.parquet"), r"cannot be read as Parquet: .*damaged, cut")
    fails(table('{"user_id": 1,\n', name="bad.jsonl"), r"cannot be read as JSON lines")
    fails(table(CSV + "a,1,2,3,4\n"), r"line 5 has 5 values, the header names 3 columns")
    fails(table(b"\x1f\x8bbroken", name="bad.csv.gz"), r"bad.csv.gz: is damaged or cut short")


def test_mixed_and_odd_id_types(tmp_path, table):
    lines = '{"user_id": "a", "item_id": 1}\n{"user_id": 7, "item_id": 2}\n'
    fails(
        table(lines, name="log.jsonl", timestamp_column=None),
        r"log.jsonl: column 'user_id' mixes types: 7 in row 2 is a number, 'a' in row 1 is a s",
    )
    # A number of the same name deeper in the line is not the id.
    nested = '{"user_id": "a", "item_id": 1, "meta": {"user_id": 3}}\n'
    raw = read(table(nested, name="log.jsonl", timestamp_column=None))
    assert raw.interactions["user_id"].to_list() == ["a"]
    path = tmp_path / "log.parquet"
    pl.DataFrame({"user_id": [1.0, 2.5], "item_id": [1, 2]}).write_parquet(path)
    fails(table(path, timestamp_column=None), r"id column 'user_id' holds 2.5 in row 2")
    pl.DataFrame({"user_id": [[1], [2]], "item_id": [1, 2]}).write_parquet(path)
    fails(table(path, timestamp_column=None), r"id column 'user_id' is of type List\(Int64\)")
    pl.DataFrame({"user_id": pl.Series([2**63], dtype=pl.UInt64), "item_id": [1]}).write_parquet(
        path
    )
    fails(table(path, timestamp_column=None), r"'user_id' holds numbers beyond 64 bits")


def test_places_that_are_no_whole_numbers_are_refused(table):
    """Cut to integers, 1.2, 1.9 and 1.5 would be one place."""
    text = "user_id,item_id,place\n1,a,1.2\n1,b,1.9\n1,c,1.5\n"
    with pytest.raises(UserError, match=r"order_column=place: .*not whole numbers, such as 1.2"):
        read(table(text, timestamp_column=None, order_column="place"))
    whole = table(text.replace(".2", ".0").replace("1.9", "3.0").replace("1.5", ""),
                  timestamp_column=None, order_column="place")  # fmt: skip
    assert read(whole).interactions["order"].to_list() == [1, 3, None]


def test_one_nan_does_not_change_the_unit(tmp_path, table):
    path = tmp_path / "log.parquet"
    times = [NOON + 0.5, None, float("nan")]
    frame = pl.DataFrame({"user_id": [1, 1, 2], "item_id": [1, 2, 3], "timestamp": times})
    frame.write_parquet(path)
    assert read(table(path)).interactions["timestamp"].to_list() == [NOON, None, None]


def test_most_values_decide_how_times_are_read(table):
    rows = ["2024-03-01 12:00"] * 3 + ["1709294400", "soon"]
    text = "user_id,item_id,timestamp\n" + "".join(f"1,{n},{t}\n" for n, t in enumerate(rows))
    assert read(table(text)).interactions["timestamp"].to_list() == [NOON] * 3 + [None, None]
    rows = [str(NOON)] * 3 + ["2024-03-01", "soon"]
    text = "user_id,item_id,timestamp\n" + "".join(f"1,{n},{t}\n" for n, t in enumerate(rows))
    assert read(table(text)).interactions["timestamp"].to_list() == [NOON] * 3 + [None, None]
