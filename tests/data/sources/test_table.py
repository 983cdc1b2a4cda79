from __future__ import annotations

import gzip
import json
import tempfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import narwhals as nw
import polars as pl
import pytest

from recsys_lab.config import UserError
from recsys_lab.data.raw import ParquetLog, RawData
from tests.data.sources.published.readers import taken


def read(reader) -> RawData:
    """The reader's data with the events in memory, as the default engine gets them."""
    with tempfile.TemporaryDirectory() as scratch:
        raw = reader.read_raw(Path(scratch))
        log = raw.interactions
        if isinstance(log, ParquetLog):
            scanned = nw.from_native(pl.scan_parquet(list(log.files), glob=False)).select(
                **log.columns
            )
            log = scanned.to_native()
        return replace(raw, interactions=log.lazy().collect())


ROWS = [("a", 1, 100), ("a", 2, 200), ("b", 1, 300)]
CSV = "user_id,item_id,timestamp\n" + "".join(f"{u},{i},{t}\n" for u, i, t in ROWS)


def write(folder: Path, form: str) -> Path:
    """The same three rows in each form."""
    path = folder / f"log.{form}"
    frame = pl.DataFrame(ROWS, schema=["user_id", "item_id", "timestamp"], orient="row")
    lines = "".join(json.dumps(row) + "\n" for row in frame.to_dicts())
    if form == "parquet":
        frame.write_parquet(path)
    elif form == "csv":
        path.write_text(CSV)
    elif form in ("tsv", "inter"):
        path.write_text(CSV.replace(",", "\t"))
    elif form == "csv.gz":
        path.write_bytes(gzip.compress(CSV.encode()))
    elif form in ("jsonl", "ndjson"):
        path.write_text(lines)
    else:
        path.write_bytes(gzip.compress(lines.encode()))
    return path


@pytest.mark.parametrize(
    "form", ["csv", "tsv", "inter", "csv.gz", "jsonl", "ndjson", "jsonl.gz", "parquet"]
)
def test_every_form_gives_the_same_rows(tmp_path, table, form):
    raw = read(table(write(tmp_path, form)))
    assert raw.interactions.rows() == ROWS
    assert raw.interactions.columns == ["user_id", "item_id", "timestamp"]


def test_columns_are_mapped_and_others_ignored(table):
    text = "junk;when;sku;who\n.;5;9;7\n"
    reader = table(
        text, separator=";", user_column="who", item_column="sku", timestamp_column="when"
    )
    assert read(reader).interactions.rows() == [(7, 9, 5)]


def test_any_suffix_with_a_separator(table):
    raw = read(table(CSV.replace(",", "|"), name="log.dat", separator="|"))
    assert raw.interactions.rows() == ROWS


NOON = int(datetime(2024, 3, 1, 12, tzinfo=UTC).timestamp())


@pytest.mark.parametrize(
    ("text", "options"),
    [
        (f"{NOON}", {}),
        (f"{NOON}.0", {}),
        (f" {NOON} ", {}),
        (f"{NOON}000", {}),
        (f"{NOON}000000", {}),
        (f"{NOON}000000000", {}),
        (f"{NOON}000", {"timestamp_unit": "ms"}),
        ("2024-03-01 12:00:00", {}),
        ("2024-03-01T12:00:00Z", {}),
        ("2024-03-01T13:00:00+01:00", {}),
        ("2024-03-01 12:00", {}),
        ("2024-03-01 12:00:00 UTC", {}),
        ("01/03/2024 12:00", {"timestamp_format": "%d/%m/%Y %H:%M"}),
        ("2024-03-01T13:00:00+01:00", {"timestamp_format": "%Y-%m-%dT%H:%M:%S%z"}),
    ],
)
def test_times_become_seconds(table, text, options):
    raw = read(table(f"user_id,item_id,timestamp\n1,1,{text}\n1,2,\n", **options))
    assert raw.interactions["timestamp"].to_list() == [NOON, None]
    assert "order" not in raw.interactions.columns


@pytest.mark.parametrize("form", ["csv", "int", "float", "text"])
def test_days_written_as_numbers_are_no_seconds(tmp_path, table, form):
    days = pl.Series("timestamp", [20240301, None, 19991231])
    kinds = {"int": pl.Int32, "float": pl.Float64, "text": pl.String, "csv": pl.Int64}
    frame = pl.DataFrame({"user_id": 1, "item_id": [1, 2, 3], "timestamp": days.cast(kinds[form])})
    file = tmp_path / ("log.csv" if form == "csv" else "log.parquet")
    frame.write_csv(file) if form == "csv" else frame.write_parquet(file)
    message = (
        r"column 'timestamp' look like days written as numbers; the first is 20240301. Set "
        r"data.timestamp_format=%Y%m%d, or data.timestamp_unit=s if they are seconds"
    )
    with pytest.raises(UserError, match=message):
        read(table(file))
    seconds = read(table(file, timestamp_unit="s")).interactions["timestamp"]
    assert seconds.to_list() == [20240301, None, 19991231]
    if form != "float":
        dates = read(table(file, timestamp_format="%Y%m%d")).interactions["timestamp"]
        assert dates.to_list() == [NOON - 12 * 3600, None, 946_598_400]


@pytest.mark.parametrize("odd", [20241301, 20240132, 20240100, 18991231, 21010101])
def test_one_number_that_is_no_day_makes_them_seconds(tmp_path, table, odd):
    file = tmp_path / "log.parquet"
    times = [20240101] * 1500 + [odd]
    pl.DataFrame({"user_id": 1, "item_id": 1, "timestamp": times}).write_parquet(file)
    assert read(table(file)).interactions["timestamp"].to_list()[-1] == odd


def test_text_times_may_differ_in_form_and_are_never_guessed(table):
    texts = ["2024-03-01T12:00:00.25", "2024-03-01", "03/01/2024", "2024-13-01", "2024-03-01 12:00"]
    rows = "".join(f"1,{i},{text}\n" for i, text in enumerate(texts))
    events = read(table("user_id,item_id,timestamp\n" + rows)).interactions
    assert events["timestamp"].to_list() == [NOON, NOON - 12 * 3600, None, None, NOON]
    assert events["order"].to_list()[0] == NOON * 10**6 + 250_000


def test_unit_says_what_small_numbers_are(table):
    raw = read(table(CSV, timestamp_unit="ms"))
    assert raw.interactions["timestamp"].to_list() == [0, 0, 0]
    assert raw.interactions["order"].to_list() == [100, 200, 300]  # finer than a second


@pytest.mark.parametrize("form", ["date", "ms", "us", "ns", "zone", "float"])
def test_typed_times(tmp_path, table, form):
    when = pl.Series("timestamp", [datetime(2024, 3, 1, 12), datetime(1969, 12, 31, 23)])
    want = [NOON, -3600]
    if form == "date":
        when, want = when.cast(pl.Date), [NOON - 12 * 3600, -86400]
    elif form == "zone":
        when, want = when.dt.replace_time_zone("Europe/Paris"), [NOON - 3600, -7200]
    elif form == "float":
        when = pl.Series("timestamp", [float(NOON), -3600.0])
    else:
        when = when.cast(pl.Datetime(form))
    path = tmp_path / "log.parquet"
    pl.DataFrame({"user_id": [1, 1], "item_id": [1, 2], "timestamp": when}).write_parquet(path)
    assert read(table(path)).interactions["timestamp"].to_list() == want


def test_fractions_of_a_second_keep_their_order(tmp_path, table):
    path = tmp_path / "log.parquet"
    frame = pl.DataFrame({"user_id": 1, "item_id": [1, 2], "timestamp": [NOON + 0.75, NOON + 0.25]})
    frame.write_parquet(path)
    events = read(table(path)).interactions
    assert events["timestamp"].to_list() == [NOON, NOON]
    assert events["order"].to_list() == [NOON * 10**6 + 750_000, NOON * 10**6 + 250_000]


def test_ids_with_gaps_written_by_pandas(tmp_path, table):
    path = tmp_path / "log.parquet"
    frame = pl.DataFrame({"user_id": [17850.0, None, float("nan")], "item_id": [1, 2, 3]})
    frame.write_parquet(path)
    raw = read(table(path, timestamp_column=None))
    assert raw.interactions["user_id"].to_list() == [17850, None, None]


def test_tables_beside_the_log(tmp_path, table):
    items = tmp_path / "items.csv"
    items.write_text("sku,name,price\n1,Nut,2\n2,Bolt,3\n")
    users = tmp_path / "users.jsonl"
    users.write_text('{"user_id": "a", "age": 3}\n')
    raw = read(
        table(
            CSV,
            items_path=str(items),
            items_id_column="sku",
            title_column="name",
            users_path=str(users),
        )
    )
    assert raw.items.to_dicts()[1] == {"item_id": 2, "title": "Bolt", "price": "3"}
    assert raw.users.to_dicts() == [{"user_id": "a", "age": 3}]
    with pytest.raises(
        UserError, match=r"data.title_column=nam: no such column; did you mean 'name'"
    ):
        read(table(CSV, items_path=str(items), items_id_column="sku", title_column="nam"))
    key = table(CSV, items_path=str(items)).source_key()
    assert set(key) == {"path", "items_path"}


def test_titles_within_the_log(table):
    text = "user_id,item_id,timestamp,label\n1,1,1,\n1,1,2,One\n1,1,3,Uno\n1,2,4,Two\n"
    raw = read(table(text, title_column="label"))
    assert taken(raw, "item", "title") == [None, "One", "Uno", "Two"]


def test_source_key_is_content(tmp_path, table):
    first = table(CSV).source_key()
    other = tmp_path / "sub" / "log.csv"
    other.parent.mkdir()
    other.write_text(CSV)
    assert table(other).source_key() == first
    # echo -n "" | sha256sum style check by another program's known value
    other.write_text("abc")
    assert table(other).source_key()["path"] == {
        "name": "log.csv",
        "bytes": 3,
        "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    }
