"""A Parquet log is read alike by every engine, odd values and all."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import narwhals as nw
import polars as pl
import pytest

from recsys_lab.config import UserError
from recsys_lab.data.raw import ParquetLog
from tests.data.conftest import engines

# Py4J leaves its sockets to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")


MOMENTS = [
    datetime(2024, 2, 29, 23, 59, 59, 999_999),
    datetime(1969, 12, 31, 23, 59, 59, 7),
    datetime(1, 1, 1),
    datetime(9999, 12, 31, 23, 59, 59),
    None,
    datetime(1900, 3, 1),
]
SECONDS = [1_709_251_199, -1, -62_135_596_800, 253_402_300_799, None, -2_203_891_200]


def scanned(engine: str, log: ParquetLog, folder: Path) -> list[dict]:
    (folder / engine).mkdir()
    with engines(engine).open(folder / engine) as session:
        rows = session.scan(log).collect("pyarrow").to_native().to_pylist()
    return sorted(rows, key=lambda row: row.pop("row"))


@pytest.mark.parametrize("column", ["moment", "tick", "day"])
def test_all_engines_read_the_same(table, tmp_path, column):
    path = tmp_path / "log.parquet"
    odd = [1.5, float("nan"), None, 1.0, -2.0, 3.0]
    ticks = [1_709_294_399_999_999_999, -1, 0, 2**63 - 1, None, -1_709_294_400_000_000_001]
    pl.DataFrame(
        {
            "user_id": [1.0, 2.0, float("nan"), None, 3.0, 1.0],
            "item_id": ["a", "b", "é", "", " ", None],
            "moment": MOMENTS,
            "tick": ticks,
            "day": [None if moment is None else moment.date() for moment in MOMENTS],
            "price": odd,
            "kind": ["x", "", None, "y", "z", "x"],
        }
    ).write_parquet(path)
    (tmp_path / "scratch").mkdir()
    reader = table(
        path,
        timestamp_column=column,
        timestamp_unit="ns" if column == "tick" else "auto",
        price_column="price",
        event_type_column="kind",
    )
    log = reader.read_raw(tmp_path / "scratch").interactions
    assert isinstance(log, ParquetLog)
    first = scanned("polars", log, tmp_path)
    assert scanned("duckdb", log, tmp_path) == first
    assert scanned("spark", log, tmp_path) == first
    assert [row["user_id"] for row in first] == [1, 2, None, None, 3, 1]
    assert [row["price"] for row in first] == [1.5, None, None, 1.0, -2.0, 3.0]
    want = {
        "moment": SECONDS,
        "tick": [1_709_294_399, -1, 0, None, None, -1_709_294_401],
        "day": [None if second is None else second // 86_400 * 86_400 for second in SECONDS],
    }
    assert [row["timestamp"] for row in first] == want[column]
    if column == "moment":
        assert first[0]["order"] == SECONDS[0] * 10**6 + 999_999


@pytest.mark.parametrize("engine", ["polars", "duckdb", "spark"])
def test_names_of_files_and_columns_mean_nothing_else(tmp_path, engine):
    folder = tmp_path / "a[1]{b}"
    folder.mkdir()
    for name, value in (("log[1]", 1), ("log1", 2), ("it's{*}?", 3)):
        columns = {key: ["theirs"] for key in ("row", "_row", "_file", "_number", "filename")}
        pl.DataFrame({"value": [value], **columns}).write_parquet(folder / f"{name}.parquet")
    names = ("it's{*}?", "log[1]")
    files = tuple(str(folder / f"{name}.parquet") for name in names)
    rows = scanned(engine, ParquetLog(files, {"value": nw.col("value")}), folder)
    assert rows == [{"value": 3}, {"value": 1}]
    (folder / "scratch").mkdir()
    with engines(engine).open(folder / "scratch") as session:  # its own files lie there too
        frame = session.ordered(session.scan(pl.DataFrame({"value": [5, 4]})), ["value"])
        assert [row for part in session.batches(frame) for row in part.to_pylist()] == [
            {"value": 4},
            {"value": 5},
        ]


ODD = [
    "NULL,i1,2023-11-14T22:13:20Z,1", "u1,<NA>,2023-11-14T22:13:20Z,2",
    " U1,i1 ,2023-11-14 22:13:21+00,-", "u1,I2,20231114T221322Z,3", "u1", "u2,i2",
    "u2,i3,2023-11-14 22:13:23 -0330,N/A", "u2,i1,yesterday,4", "u2,I3,2023-11-14 22:13:24.5,5",
]  # fmt: skip


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_all_engines_agree_on_odd_spellings(table, run, tmp_path, form):
    """Missing words, spellings of ids, times in all forms, rows with too few values."""
    good = [f"u{n % 3},i{n % 4},2023-11-15T00:00:{n:02}Z,{n}" for n in range(30)]
    text = "\n".join(["user_id,item_id,timestamp,price", *ODD, *good, ""])
    path = tmp_path / f"log.{form}"
    if form == "csv":
        path.write_text(text)
    else:  # the engines scan it themselves where its types allow it
        pl.read_csv(text.encode(), infer_schema=False).write_parquet(path)
    found = {}
    for engine in ("polars", "duckdb", "spark"):
        reader = table(
            path, price_column="price", id_normalization=["blanks", "case"],
            user_features={"price": "numeric"},
        )  # fmt: skip
        data = run(reader, root=tmp_path / engine, engine=engine, max_bad_rows=0.2)
        marks = ("fingerprint", "features_fingerprint", "counts", "warnings", "unreadable")
        found[engine] = {mark: data.manifest[mark] for mark in marks}
    assert found["duckdb"] == found["polars"]
    assert found["spark"] == found["polars"]
    reasons = {c["reason"]: c["dropped"] for c in found["polars"]["counts"] if c["dropped"]}
    short = {"row with too few values": 2}
    lacking = {"missing item": 2, "unparseable timestamp": 2}
    assert reasons == {
        "missing user": 1,
        **({"missing item": 1, "unparseable timestamp": 1, **short} if form == "csv" else lacking),
    }


@pytest.mark.parametrize("engine", ["duckdb", "spark"])
@pytest.mark.parametrize(
    ("times", "said"),
    [
        ([*range(1_700_000_000, 1_700_000_030), 1_700_000_000_000], "mix units"),
        ([20_231_114_221_300 + n for n in range(31)], "look like dates and times written"),
    ],
)
def test_all_engines_refuse_times_of_two_units(table, run, tmp_path, engine, times, said):
    pl.DataFrame(
        {"user_id": [n % 3 for n in range(31)], "item_id": range(31), "timestamp": times}
    ).write_parquet(tmp_path / "log.parquet")
    with pytest.raises(UserError, match=f"the times in column 'timestamp' {said}"):
        run(table(tmp_path / "log.parquet"), engine=engine)
