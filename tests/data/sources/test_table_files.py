"""Tables of many files, of every compression, from object stores, and larger than memory."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
from datetime import UTC, date, datetime
from hashlib import sha256
from pathlib import Path

import duckdb
import narwhals as nw
import polars as pl
import pyarrow as pa
import pytest

from recsys_lab.data.raw import ParquetLog
from recsys_lab.data.sources import table as rows_at_hand
from tests.data.sources.test_table import CSV, ROWS, read
from tests.data.sources.test_table_errors import fails

NAMES = ["user_id", "item_id", "timestamp"]
PACK = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": lambda data: pa.compress(data, codec="zstd", asbytes=True),
}


def frame(rows: list[tuple]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=NAMES, orient="row")


def text(rows: list[tuple]) -> str:
    return "user_id,item_id,timestamp\n" + "".join(f"{u},{i},{t}\n" for u, i, t in rows)


def store(files: dict[str, str | bytes], folder: Path) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        data = content.encode() if isinstance(content, str) else content
        (folder / name).write_bytes(data)


@pytest.mark.parametrize("form", ["csv", "jsonl"])
@pytest.mark.parametrize("pack", PACK)
def test_every_compression(table, form, pack):
    lines = "".join(json.dumps(row) + "\n" for row in frame(ROWS).to_dicts())
    data = PACK[pack]((CSV if form == "csv" else lines).encode())
    # Files of several members, as made by appending, are read whole.
    twice = data + PACK[pack](b"\n")
    for content in (data, twice):
        events = read(table(content, name=f"log.{form}.{pack}")).interactions
        assert events.drop_nulls().rows() == ROWS


def test_a_pattern_reads_files_by_their_names(table, tmp_path):
    parts = {f"logs/part-{n}.csv": text([("u", n, n)]) for n in (10, 9, 1)}
    store({**parts, "logs/other.txt": "x", "logs/deep/part-2.csv": text([("u", 2, 2)])}, tmp_path)
    reader = table(tmp_path / "logs" / "part-*.csv")
    assert read(reader).interactions["item_id"].to_list() == [1, 9, 10]
    key = reader.source_key()["path"]
    assert [part["name"] for part in key] == ["part-1.csv", "part-9.csv", "part-10.csv"]
    assert key[0]["sha256"] == sha256(parts["logs/part-1.csv"].encode()).hexdigest()
    deep = table(tmp_path / "logs" / "**" / "*.csv")
    assert read(deep).interactions["item_id"].to_list() == [2, 1, 9, 10]
    assert deep.source_key()["path"][0]["name"] == "deep/part-2.csv"
    assert read(table(tmp_path / "logs")).interactions["item_id"].to_list() == [2, 1, 9, 10]
    fails(table(tmp_path / "logs" / "*.tsv"), r"\*.tsv: no file matches this pattern")
    fails(table(tmp_path / "logs" / "*.txt"), r"matches no table; .*It matches: other.txt")


@pytest.mark.parametrize("form", ["csv", "csv.gz", "jsonl", "parquet"])
def test_brackets_in_a_file_name_are_no_pattern(table, tmp_path, run, form):
    folder = tmp_path / "logs[12]"
    folder.mkdir()
    ids = {"log[1]": "right", "log1": "wrong"}
    for name, item in ids.items():
        rows = frame([(user, item, n) for user in "ab" for n in range(3)])
        file = folder / f"{name}.{form}"
        if form == "parquet":
            rows.write_parquet(file)
        elif form == "jsonl":
            rows.write_ndjson(file)
        else:
            data = rows.write_csv().encode()
            file.write_bytes(gzip.compress(data) if form == "csv.gz" else data)
    data = run(table(folder / f"log[1].{form}"), root=tmp_path / "prepared[1]")
    assert data.item_ids() == ["right"]
    assert len(read(table(folder)).interactions) == 12
    by_pattern = read(table(folder.parent / "logs[[]12]" / f"log[0-9].{form}")).interactions
    assert by_pattern["item_id"].unique().to_list() == ["wrong"]


def test_copies_of_a_folder_are_one_source(table, tmp_path):
    files = {"a/1.csv": CSV, "a/2.csv.gz": gzip.compress(CSV.encode(), mtime=0)}
    store({f"one/{name}": data for name, data in files.items()}, tmp_path)
    store({f"two/{name}": data for name, data in files.items()}, tmp_path)
    keys = [table(tmp_path / name).source_key() for name in ("one", "two")]
    assert keys[0] == keys[1]
    assert read(table(tmp_path / "one")).interactions.rows() == ROWS + ROWS


def test_partition_folders_are_columns(table, tmp_path):
    for day, rows in (("2024-01-02", ROWS[:1]), ("2024-01-01", ROWS[1:])):
        folder = tmp_path / "lake" / f"day={day}" / "kind=a%20b"
        folder.mkdir(parents=True)
        frame(rows).drop("timestamp").write_parquet(folder / "part-0.parquet")
        (tmp_path / "lake" / "_SUCCESS").touch()
        (folder / ".part-0.parquet.crc").write_bytes(b"x")
    reader = table(tmp_path / "lake", timestamp_column="day", event_type_column="kind")
    events = read(reader).interactions
    start = int(datetime(2024, 1, 1, tzinfo=UTC).timestamp())
    assert events["timestamp"].to_list() == [start, start, start + 86_400]
    assert events["user_id"].to_list() == ["a", "b", "a"]
    assert events["event_type"].unique().to_list() == ["a b"]
    raw = read(table(tmp_path / "lake", timestamp_column=None))
    assert raw.interactions.columns == ["user_id", "item_id"]
    store({"lake/loose.parquet": b""}, tmp_path)
    fails(
        table(tmp_path / "lake"),
        r"loose.parquet lies in the partition folders \[\], day=.* in \['da",
    )


def test_an_odd_file_among_others_is_named(table, tmp_path):
    store({"logs/a.csv": CSV, "logs/b.csv": CSV.replace("item_id", "sku")}, tmp_path)
    fails(
        table(tmp_path / "logs"),
        r"item_column=item_id: no such column.\nColumns of .*logs: b.csv: user_id, sku, timestamp",
    )
    store({"logs/b.csv": CSV + "1,2,3,4\n"}, tmp_path)
    fails(table(tmp_path / "logs"), r"logs: b.csv: line 5 has 4 values")
    store({"logs/b.tsv": CSV}, tmp_path)
    fails(table(tmp_path / "logs"), r"several formats \(.csv: a.csv; .tsv: b.tsv\)")


def test_rows_are_counted_within_their_file(table, tmp_path):
    (tmp_path / "logs").mkdir()
    for name, ids in (("a", [1.0, 2.0, 3.0]), ("b", [4.0, 5.5])):
        frame([(1.0, 1, 1) for _ in ids]).with_columns(user_id=pl.Series(ids)).write_parquet(
            tmp_path / "logs" / f"{name}.parquet"
        )
    fails(table(tmp_path / "logs"), "'user_id' holds 5.5 in row 2 of b.parquet; expected whole")


def test_parquet_files_whose_types_differ(table, tmp_path):
    folder = tmp_path / "logs"
    folder.mkdir()
    frame([(1, 2, 3)]).write_parquet(folder / "a.parquet")
    frame([(1.0, 2, 3), (None, 5, 6)]).write_parquet(folder / "b.parquet")
    assert read(table(folder)).interactions["user_id"].to_list() == [1, 1, None]
    frame([("1", 2, 3)]).write_parquet(folder / "b.parquet")
    fails(table(folder), r"'user_id' mixes types: Int64 in a.parquet, String in b.parquet")


def test_parquet_is_scanned_where_it_lies(table, tmp_path):
    path = tmp_path / "log.parquet"
    moments = [datetime(2024, 3, 1, 12, 0, 0, 250_000), datetime(1969, 12, 31, 23, 59, 59), None]
    pl.DataFrame(
        {
            "user_id": pl.Series(["a", "b", "c"], dtype=pl.Categorical),
            "item_id": pl.Series([1, 2, 3], dtype=pl.UInt32),
            "timestamp": moments,
            "day": [date(2024, 2, 29), date(1969, 1, 1), None],
            "price": [1.5, float("nan"), None],
            "kind": ["x", "", None],
        }
    ).write_parquet(path)
    options = {"price_column": "price", "event_type_column": "kind"}
    noon = int(datetime(2024, 3, 1, 12, tzinfo=UTC).timestamp())
    expected = [
        ("a", 1, noon, noon * 10**6 + 250_000, "x", 1.5),
        ("b", 2, -1, -(10**6), None, None),
        ("c", 3, None, None, None, None),
    ]
    (tmp_path / "scratch").mkdir()
    log = table(path, **options).read_raw(tmp_path / "scratch").interactions
    assert isinstance(log, ParquetLog)
    assert log.files == (str(path),)
    for native in (pl.scan_parquet(path), duckdb.connect().sql(f"select * from '{path}'")):
        scanned = nw.from_native(native).select(**log.columns).collect("polars").to_native()
        assert scanned.rows() == expected
    days = read(table(path, timestamp_column="day")).interactions
    assert days["timestamp"].to_list() == [19_782 * 86_400, -365 * 86_400, None]


def test_extreme_numbers_do_not_overflow_on_any_engine(table, tmp_path):
    path = tmp_path / "log.parquet"
    ends = [1_710_000_000_123_456_789] * 3 + [2**63 - 1, -(2**63), -5]
    places = [1.0, 2.0, float("nan"), float("inf"), 1e300, 3.0]
    users = [1.0, None, float("nan"), 2.0, 3.0, 2.0]
    rows = {"user_id": users, "item_id": range(6), "timestamp": ends, "place": places}
    pl.DataFrame(rows).write_parquet(path)
    (tmp_path / "scratch").mkdir()
    log = table(path, order_column="place").read_raw(tmp_path / "scratch").interactions
    for native in (pl.scan_parquet(path), duckdb.connect().sql(f"select * from '{path}'")):
        scanned = nw.from_native(native).select(**log.columns).collect("polars").to_native()
        assert scanned["timestamp"].to_list() == [1_710_000_000] * 3 + [None, None, -1]
        assert scanned["order"].to_list() == [1, 2, None, None, None, 3]
        assert scanned["user_id"].to_list() == [1, None, None, 2, 3, 2]


def test_nan_beside_small_numbers_on_every_engine(table, tmp_path):
    """Statistics of Parquet leave NaN out, and DuckDB believes them."""
    path = tmp_path / "log.parquet"
    odd = [1.5, float("nan"), None, 2.0]
    users = [1.0, float("nan"), None, 2.0]
    pl.DataFrame({"user_id": users, "item_id": 1, "timestamp": odd, "stars": odd}).write_parquet(
        path
    )
    (tmp_path / "scratch").mkdir()
    log = table(path, rating_column="stars").read_raw(tmp_path / "scratch").interactions
    for native in (pl.scan_parquet(path), duckdb.connect().sql(f"select * from '{path}'")):
        scanned = nw.from_native(native).select(**log.columns).collect("polars").to_native()
        assert scanned["user_id"].to_list() == [1, None, None, 2]
        assert scanned["order"].to_list() == [1_500_000, None, None, 2_000_000]
        assert scanned["rating"].to_list() == [1.5, None, None, 2.0]


def test_years_agree_with_pythons_calendar(table, tmp_path):
    """The days of every month around leap years, by the expression that runs on every engine."""
    days = [date(year, month, 28) for year in (1, 4, 1600, 1900, 1969, 2000, 2024, 2100, 9999)
            for month in range(1, 13)]  # fmt: skip
    path = tmp_path / "log.parquet"
    pl.DataFrame({"user_id": 1, "item_id": 1, "timestamp": days}).write_parquet(path)
    want = [(day - date(1970, 1, 1)).days * 86_400 for day in days]
    assert read(table(path)).interactions["timestamp"].to_list() == want


@pytest.mark.parametrize("kind", ["ns", "zone"])
def test_times_that_engines_read_differently_are_converted_first(table, tmp_path, kind):
    path = tmp_path / "log.parquet"
    when = pl.Series("timestamp", [datetime(2024, 3, 1, 12)])
    when = when.cast(pl.Datetime("ns")) if kind == "ns" else when.dt.replace_time_zone("Asia/Tokyo")
    frame([("a", 1, 0)]).with_columns(when).write_parquet(path)
    noon = int(datetime(2024, 3, 1, 12, tzinfo=UTC).timestamp())
    want = noon if kind == "ns" else noon - 9 * 3600
    assert read(table(path)).interactions["timestamp"].to_list() == [want]


@pytest.mark.parametrize("form", ["csv", "csv.gz", "jsonl"])
def test_large_text_is_streamed_to_parquet(table, tmp_path, monkeypatch, form):
    """The last line alone decides that ids are text, and that times are finer than a second."""
    monkeypatch.setattr(rows_at_hand, "IN_MEMORY", 0)
    monkeypatch.setattr("recsys_lab.data.formats.chunks.CHUNK", 1000)
    rows = [(str(n), n % 7, 1_700_000_000 + n) for n in range(500)]
    if form == "jsonl":
        rows = [(f"u{user}", item, when + 0.5) for user, item, when in rows]
        data = "".join(json.dumps(row) + "\n" for row in frame(rows).to_dicts())
    else:
        rows[-1] = ("007", 3, 1_700_000_000.25)
        data = text(rows)
    content = gzip.compress(data.encode()) if form.endswith("gz") else data
    small = table(content, name=f"log.{form}")
    (tmp_path / "scratch").mkdir()
    log = small.read_raw(tmp_path / "scratch").interactions
    assert isinstance(log, ParquetLog)
    events = nw.from_native(pl.scan_parquet(log.files)).select(**log.columns).to_native().collect()
    monkeypatch.undo()
    assert events.equals(read(small).interactions)
    assert events["user_id"].to_list() == [row[0] for row in rows]
    assert events["order"][-1] == round(rows[-1][2] * 10**6)


def test_a_parquet_column_whose_name_is_no_text(table, tmp_path):
    """The name is patched in the bytes of the file: no library writes such a one."""
    file = tmp_path / "log.parquet"
    frame(ROWS).with_columns(x_é=1).write_parquet(file)
    file.write_bytes(file.read_bytes().replace("x_é".encode(), b"x_\xff\xfe"))
    fails(table(file), r"data.path=.*log.parquet: has a column whose name is not UTF-8 \(b'x_")
