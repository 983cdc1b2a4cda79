"""Whatever a log holds, every row is in the dataset or counted as dropped with a reason."""

from __future__ import annotations

import csv
import tempfile
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import narwhals as nw
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys_lab.data.columns.missing import COMMON
from recsys_lab.data.preparation.contents import Preparation
from recsys_lab.data.preparation.row_filters import Filters
from recsys_lab.data.prepare import prepare
from recsys_lab.data.sources.table import Table
from recsys_lab.data.splits.leave_one_out import LeaveOneOut
from tests.data.conftest import build, engines

WORDS = st.sampled_from(
    ["a", "b", "c", "ü", "日本", "007", "7", "x y", 'q"q', "c,d", "n\nl", "👍🏽"]
)
MISSING = st.sampled_from(["", " ", "\t", None])
IDS = st.one_of(WORDS, WORDS, WORDS, st.integers(-3, 3).map(str), MISSING)
TIMES = st.one_of(
    st.integers(1_699_999_990, 1_700_000_010).map(str),
    st.sampled_from(["1700000000.5", "-5", "1e9", "nan", "inf", "9" * 18, "9" * 30, "soon", ""]),
    st.sampled_from(["2024-02-29", "2024-02-30", "2024-02-29T12:00:00+09:00", "0001-01-01", None]),
)
LOGS = st.lists(st.tuples(IDS, IDS, TIMES), min_size=1, max_size=60)
FILTERS = st.fixed_dictionaries(
    {
        "drop_duplicates": st.booleans(),
        "drop_consecutive_repeats": st.booleans(),
        "counts": st.sampled_from(["whole", "training"]),
        "max_history": st.sampled_from([0, 4]),
        "min_user_count": st.sampled_from([0, 2]),
        "min_item_count": st.sampled_from([0, 2]),
        "iterative": st.booleans(),
        "start": st.sampled_from([None, "2023-11-14T22:13:15"]),
    }
)


def write(rows: list[tuple[str | None, ...]], file: Path) -> None:
    names = ["user_id", "item_id", "timestamp"]
    if file.suffix == ".csv":
        with file.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream, quoting=csv.QUOTE_ALL)
            writer.writerow(names)
            writer.writerows(rows)
        return
    frame = pl.DataFrame(rows, schema=dict.fromkeys(names, pl.String), orient="row")
    if file.suffix == ".jsonl":
        frame.write_ndjson(file)
    else:
        frame.write_parquet(file)


def filled(value: str | None) -> bool:
    return (value or "").strip().lower() not in ("", *COMMON)


@settings(deadline=None, max_examples=50)
@given(rows=LOGS, options=FILTERS, form=st.sampled_from(["csv", "jsonl", "parquet"]))
def test_every_row_is_kept_or_counted(rows, options, form):
    # Enough of it that targets exist, whatever the rest is like.
    rows = rows + [(f"user {n % 3}", f"item {n % 4}", str(1_700_000_000 + n)) for n in range(90)]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"log.{form}"
        write(rows, file)
        # The unit is named: some rows have times that would be plausible in another one.
        reader = build(Table, "data", "table", path=str(file), timestamp_unit="s")
        filters = build(Filters, "filter", "default", max_bad_rows=1.0, **options)
        split = build(LeaveOneOut, "split", "leave_one_out")
        parts = Preparation(filters, split, engines("polars"))
        data = prepare(reader, parts, Path(folder) / "p", "log")
        counts = data.manifest["counts"]
        dropped = Counter()
        for entry in counts:
            assert entry["reason"]
            dropped[entry["reason"]] += entry["dropped"]
        assert counts[0]["rows"] == len(rows)
        assert sum(dropped.values()) + data.num_interactions == len(rows)
        # Counted here in plain Python, from the text alone.
        assert dropped["missing user"] == sum(not filled(user) for user, _, _ in rows)
        assert dropped["missing item"] == sum(
            filled(user) and not filled(item) for user, item, _ in rows
        )
        known = {user for user, _, _ in rows if filled(user)}
        assert {str(user) for user in data.user_ids()} <= known
        assert data.num_interactions == len(data.items) == data.offsets[-1]


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)), min_size=1, max_size=20),
    st.sampled_from(["us", "ms"]),
)
def test_moments_become_seconds_as_python_has_them(moments, unit):
    """The expression for Parquet, which runs on every engine, against Python's own calendar."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "log.parquet"
        when = pl.Series("timestamp", moments, dtype=pl.Datetime(unit))
        pl.DataFrame({"user_id": 1, "item_id": 1, "timestamp": when}).write_parquet(file)
        (Path(folder) / "scratch").mkdir()
        raw = build(Table, "data", "table", path=str(file)).read_raw(Path(folder) / "scratch")
        made = nw.from_native(pl.scan_parquet(file)).select(**raw.interactions.columns)
        got = made.to_native().collect()
    step = {"us": 1, "ms": 1000}[unit]
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    ticks = []
    for moment in moments:
        gap = moment.replace(tzinfo=UTC) - epoch
        micro = (gap.days * 86_400 + gap.seconds) * 10**6 + gap.microseconds
        ticks.append(micro // step * step)
    assert got["timestamp"].to_list() == [tick // 10**6 for tick in ticks]
    if any(tick % 10**6 for tick in ticks):
        assert got["order"].to_list() == ticks
    else:
        assert "order" not in got.columns
