"""Conditions on rows keep the same rows on every engine: compared with plain Python."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from recsys_lab.data.columns.conditions import parse_condition
from recsys_lab.data.raw import ParquetLog

# Py4J leaves its sockets to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")

START = datetime(2024, 1, 1)
COUNTRIES = ["France", "FRANCE", "İstanbul, TR", 'the "Isle"', None, " "]


def shop() -> pl.DataFrame:
    rows = range(240)
    return pl.DataFrame(
        {
            "customer": [None if n % 11 == 0 else float(n % 7) for n in rows],
            "sku": [f"S{n % 12}" if n % 12 else "POST" for n in rows],
            "when": [START + timedelta(hours=6 * n) for n in rows],
            "pieces": [(n % 9) - 1 for n in rows],
            "price": [None if n % 5 == 0 else float("nan") if n % 7 == 0 else n / 4 for n in rows],
            "country": [COUNTRIES[n % 6] for n in rows],
            "member": [n % 3 == 0 for n in rows],
            "born": [datetime(1960 + n % 40, 1, 1) for n in rows],
        }
    )


def lower(text):
    return text.lower() if text is not None and text.strip() else None


CASES = {
    "country=france": lambda r: lower(r["country"]) == "france",
    "country!=france": lambda r: lower(r["country"]) not in ("france", None),
    'country="the ""Isle"""': lambda r: r["country"] == 'the "Isle"',
    'country="İstanbul, TR",pieces>=3': lambda r: (
        r["country"] == "İstanbul, TR" and r["pieces"] >= 3
    ),
    "price>10.5": lambda r: r["price"] is not None and r["price"] > 10.5,
    "price!=1": lambda r: r["price"] is not None and r["price"] == r["price"] != 1,
    "customer<=3,sku!=s3": lambda r: r["customer"] <= 3 and r["sku"] != "S3",
    "user_id>=2,customer<=3": lambda r: r["customer"] in (2, 3),
    "when>=2024-02-01,timestamp<2024-02-20T06:00": lambda r: (
        datetime(2024, 2, 1) <= r["when"] < datetime(2024, 2, 20, 6)
    ),
    "born<1980-01-01": lambda r: r["born"] < datetime(1980, 1, 1),
    "member=true": lambda r: r["member"],
    "item.kind=toy": lambda r: int(r["sku"][1:] or 0) % 2 == 1 if r["sku"] != "POST" else False,
    "item.tags!=red": lambda r: r["sku"] in ("S1", "S3"),
}


def together():
    """Several cases as one."""
    cases = ("country!=france", "price!=1", "born<1990-01-01", "item.kind=toy")
    holds = {**CASES, "born<1990-01-01": lambda r: r["born"] < datetime(1990, 1, 1)}
    return ",".join(cases), lambda row: all(holds[case](row) for case in cases)


@pytest.mark.parametrize(
    ("engine", "form"),
    [("polars", "csv"), ("polars", "parquet"), ("duckdb", "parquet"), ("spark", "parquet")],
)
def test_rows_that_meet_conditions_are_kept(table, run, tmp_path, engine, form):
    frame = shop()
    items = tmp_path / "items.parquet"
    pl.DataFrame(
        {
            "item_id": [f"S{n}" for n in range(12)],
            "kind": ["TOY" if n % 2 else None for n in range(12)],
            "tags": [["red", "big"], ["blue"], [], ["BLUE", "small"], None, *[["Red"]] * 7],
        }
    ).write_parquet(items)
    path = tmp_path / f"log.{form}"
    if form == "parquet":
        frame.write_parquet(path)
    else:
        frame.with_columns(pl.col("price").fill_nan(None)).write_csv(path)
    # Other engines start jobs for every case: all that they may see otherwise, at once.
    for where, holds in CASES.items() if engine == "polars" else [together()]:
        rows = [row for row in frame.iter_rows(named=True) if row["customer"] is not None]
        kept = [row for row in rows if row["pieces"] >= 0 and row["sku"] != "POST" and holds(row)]
        reader = table(
            path, user_column="customer", item_column="sku", timestamp_column="when",
            quantity_column="pieces", items_path=str(items),
        )  # fmt: skip
        data = run(
            reader, root=tmp_path / engine / form, engine=engine, where=where,
            exclude_items=["POST"],
        )  # fmt: skip
        times = [row["when"].replace(tzinfo=UTC).timestamp() for row in kept]
        assert sorted(data.timestamps.tolist()) == times, where
        assert all(isinstance(user, int) for user in data.user_ids())


def test_an_engine_scans_the_file_itself_where_the_columns_allow_it(table, tmp_path):
    shop().write_parquet(tmp_path / "log.parquet")
    reader = table(
        tmp_path / "log.parquet", user_column="customer", item_column="sku",
        timestamp_column="when", quantity_column="pieces",
    )  # fmt: skip
    reader.where_conditions = [
        parse_condition(text, "filter.where") for text in ("price>2", "pieces=1")
    ]
    (tmp_path / "scratch").mkdir()
    raw = reader.read_raw(tmp_path / "scratch")
    assert isinstance(raw.interactions, ParquetLog)
    assert "_where_0" in raw.interactions.columns
    assert "_where_1" not in raw.interactions.columns  # the quantity is read anyhow
