"""Malformed inputs: how each is made."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

HEAD = "user_id,item_id,timestamp\n"
ROWS = "".join(f"u{n % 5},i{n % 7},{1_700_000_000 + n}\n" for n in range(40))
GOOD = HEAD + ROWS


@dataclass(frozen=True)
class Bad:
    """One malformed input.

    Attributes:
        what: for people, in the table.
        make: writes it into a folder and returns the path that ``data.path`` gets.
        message: a pattern of the error, or of the counted reason.
        options: of the table.
        max_bad_rows: of the filters.
    """

    what: str
    make: Callable[[Path], Path | str]
    message: str
    options: dict[str, Any] = field(default_factory=dict)
    max_bad_rows: float = 1.0


def files(**tables: pl.DataFrame | str) -> Callable[[Path], Path]:
    """A folder of Parquet files and texts by name; the path is the folder's."""

    def make(folder: Path) -> Path:
        for name, table in tables.items():
            if isinstance(table, str):
                (folder / f"{name}.csv").write_text(table)
            else:
                table.write_parquet(folder / f"{name}.parquet")
        return folder

    return make


def events(**columns: Any) -> pl.DataFrame:
    """Six events of two users as typed columns; some are given."""
    plain = {"user_id": [1, 2] * 3, "item_id": [1, 2, 3, 4, 5, 6], "timestamp": NOW}
    return pl.DataFrame({**plain, **columns})


NOW = [1_700_000_000 + n for n in range(6)]
"""Seconds of November 2023."""


def zoned(folder: Path) -> Path:
    """Parquet whose time zone is an offset and no name."""
    moments = pa.array([second * 10**6 for second in NOW], pa.timestamp("us", "+05:30"))
    table = events().to_arrow()
    place = table.schema.get_field_index("timestamp")
    pq.write_table(table.set_column(place, "timestamp", moments), folder / "log.parquet")
    return folder / "log.parquet"


def text(content: str | bytes, name: str = "log.csv") -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        data = content.encode() if isinstance(content, str) else content
        (folder / name).write_bytes(data)
        return folder / name

    return make


def parquet(**columns: Any) -> Callable[[Path], Path]:
    """Six rows of two users; some columns are given, two values stand for all rows."""

    def make(folder: Path) -> Path:
        rows = {"user_id": ["a", "b"], "item_id": [1, 2], "timestamp": [5, 6], **columns}
        parts = [pl.Series(name, values, strict=False) for name, values in rows.items()]
        table = {part.name: part if len(part) > 2 else pl.concat([part] * 3) for part in parts}
        pl.DataFrame(table).write_parquet(folder / "log.parquet")
        return folder / "log.parquet"

    return make


def cut(data: bytes) -> bytes:
    return data[: len(data) * 2 // 3]


def cut_parquet(folder: Path) -> Path:
    file = parquet()(folder)
    file.write_bytes(cut(file.read_bytes()))
    return file


def damaged_parquet(folder: Path) -> Path:
    file = folder / "log.parquet"
    rows = {"user_id": [float(n) for n in range(9999)], "item_id": range(9999), "timestamp": 1}
    pl.DataFrame(rows).write_parquet(file, compression="zstd")
    data = bytearray(file.read_bytes())
    data[30:3000] = bytes(2970)
    file.write_bytes(data)
    return file


def twice_in_parquet(folder: Path) -> Path:
    table = pa.table([["a"], ["b"], [1], [5]], names=["user_id", "user_id", "item_id", "timestamp"])
    pq.write_table(table, folder / "log.parquet")
    return folder / "log.parquet"


def two_types(folder: Path) -> Path:
    for name, ids in (("a", [1]), ("b", ["x"])):
        rows = {"user_id": ids, "item_id": [1], "timestamp": [5]}
        pl.DataFrame(rows).write_parquet(folder / f"{name}.parquet")
    return folder


def odd_columns(folder: Path) -> Path:
    text(GOOD, "a.csv")(folder)
    text(GOOD.replace("item_id", "sku"), "b.csv")(folder)
    return folder


def several_forms(folder: Path) -> Path:
    text(GOOD, "a.csv")(folder)
    text(GOOD, "a.tsv")(folder)
    return folder


def no_tables(folder: Path) -> Path:
    text("hello", "README.txt")(folder)
    return folder


def pipe(folder: Path) -> Path:
    os.mkfifo(folder / "log.csv")
    return folder / "log.csv"


def long_line(folder: Path) -> Path:
    with (folder / "log.csv").open("wb") as stream:
        stream.write(GOOD.encode())
        for _ in range(64):
            stream.write(b"x" * (1 << 20))
    return folder / "log.csv"


def bomb(folder: Path) -> Path:
    with gzip.open(folder / "log.csv.gz", "wb", 6) as stream:
        stream.write(HEAD.encode())
        for _ in range(80):
            stream.write(b"1,2,3\n" * ((1 << 20) // 6))
    return folder / "log.csv.gz"


def nowhere(path: str) -> Callable[[Path], str]:
    return lambda _: path


def lines(*records: Any) -> str:
    return "".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in records)


RECORD = {"user_id": 1, "item_id": 2, "timestamp": 3}
PARTS = {"user_id": "a", "item_id": "b"}
