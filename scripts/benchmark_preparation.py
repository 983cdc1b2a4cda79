"""Time and peak memory of preparing a log, beside a plain polars script for the same task.

    python scripts/benchmark_preparation.py                         1M and 10M rows
    python scripts/benchmark_preparation.py --rows 1e6 1e7 1e8      also 100M (DuckDB alone)

Task: a Parquet log with Zipf users and items -> 5-core, ids to dense codes, order by user and
time, leave-one-out, flat arrays on disk. Each measurement is a process of its own. Spark, on two
local cores, is there for its fingerprint: starting it takes longer than the task.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

IN_MEMORY_ROWS = 20_000_000
"""Beyond, only the engine that spills is measured."""

SPARK_ROWS = 1_000_000
"""Beyond, one machine is not where Spark is of use."""

MEASURE = """
import json, resource, sys, time
sys.path.insert(0, sys.argv[1])
import benchmark_preparation as benchmark
began = time.perf_counter()
result = getattr(benchmark, sys.argv[2])(sys.argv[3], sys.argv[4])
seconds = time.perf_counter() - began
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(json.dumps({"seconds": seconds, "peak": peak, **result}))
"""


def write_log(file: Path, rows: int) -> None:
    """A log of 300k users and 50k items per 10M rows, in random order of time."""
    rng = np.random.default_rng(0)
    num_users, num_items = max(300, int(rows * 0.03)), 50_000
    weights = [1 / np.arange(1, n + 1) ** s for n, s in ((num_users, 0.5), (num_items, 0.9))]
    edges = [np.cumsum(w) / w.sum() for w in weights]
    names = [rng.permutation(len(w)) for w in weights]
    schema = pa.schema([(name, pa.int64()) for name in ("user_id", "item_id", "timestamp")])
    with pq.ParquetWriter(file, schema) as writer:
        for first in range(0, rows, 1 << 20):
            n = min(1 << 20, rows - first)
            ids = [
                name[np.searchsorted(edge, rng.random(n))]
                for name, edge in zip(names, edges, strict=True)
            ]
            times = rng.integers(1_500_000_000, 1_600_000_000, n)
            writer.write_table(pa.table([*ids, times], schema=schema))


def plain(log: str, folder: str) -> dict[str, Any]:
    """What a careful researcher writes with polars for this one task."""
    frame = pl.read_parquet(log).with_row_index("row")
    while True:
        before = len(frame)
        for column in ("user_id", "item_id"):
            counts = frame.group_by(column).len().filter(pl.col("len") >= 5)
            frame = frame.join(counts.select(column), on=column, how="semi")
        if len(frame) == before:
            break
    users = frame.select(pl.col("user_id").unique().sort()).with_row_index("user")
    items = frame.select(pl.col("item_id").unique().sort()).with_row_index("item")
    frame = frame.join(users, on="user_id").join(items, on="item_id")
    frame = frame.sort("user", "timestamp", "row").select("user", "item", "timestamp")
    lengths = frame.group_by("user").len().sort("user")["len"].to_numpy()
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    starts, ends, user = offsets[:-1], offsets[1:], np.arange(len(lengths))
    target = Path(folder)
    np.save(target / "items.npy", frame["item"].to_numpy().astype(np.int32))
    np.save(target / "timestamps.npy", frame["timestamp"].to_numpy())
    np.save(target / "offsets.npy", offsets)
    np.save(target / "train.npy", np.stack([user, starts, ends - 2], axis=1))
    np.save(target / "validation.npy", np.stack([user, starts, ends - 2, ends - 1], axis=1))
    np.save(target / "test.npy", np.stack([user, starts, ends - 1, ends], axis=1))
    frame.write_parquet(target / "interactions.parquet")
    return {"events": len(frame)}


def lab(log: str, folder: str, engine: str, *settings: str) -> dict[str, Any]:
    """The same by ``recsys-lab prepare``, which also checks, counts, hashes and describes."""
    from recsys_lab.cli.main import run_command

    options = ["filter=five_core", "data=table", f"data.path={log}", f"engine={engine}", *settings]
    if run_command(["prepare", *options, f"prepared_dir={folder}"]):
        raise SystemExit(f"engine={engine} failed")
    manifest = json.loads(next(Path(folder).glob("*/manifest.json")).read_text())
    return {"events": manifest["num_interactions"], "fingerprint": manifest["fingerprint"]}


def lab_polars(log: str, folder: str) -> dict[str, Any]:
    """In memory."""
    return lab(log, folder, "polars")


def lab_duckdb(log: str, folder: str) -> dict[str, Any]:
    """With a memory limit of 4 GiB."""
    return lab(log, folder, "duckdb")


def lab_spark(log: str, folder: str) -> dict[str, Any]:
    """On two local cores; the memory of its Java process is not measured."""
    return {**lab(log, folder, "spark", "engine.master='local[2]'"), "peak": None}


def measure(kind: str, log: Path) -> dict[str, Any]:
    """Run one kind in a process of its own."""
    with tempfile.TemporaryDirectory(dir=log.parent) as folder:
        command = [
            sys.executable,
            "-c",
            MEASURE,
            str(Path(__file__).parent),
            kind,
            str(log),
            folder,
        ]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    result: dict[str, Any] = json.loads(output.splitlines()[-1])
    return result


def kinds(rows: int) -> list[str]:
    """What is measured at a size."""
    in_memory = ["plain", "lab_polars"] if rows <= IN_MEMORY_ROWS else []
    return [*in_memory, "lab_duckdb", *(["lab_spark"] if rows <= SPARK_ROWS else [])]


def main() -> int:
    """Measure and print a table; 1 where two engines made different datasets."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=float, nargs="+", default=[1e6, 1e7])
    parser.add_argument("--folder", type=Path, help="where the log is written (default: temporary)")
    arguments = parser.parse_args()
    table = Table(title="preparation: 5-core, codes, order, leave-one-out, arrays")
    for heading in ("rows", "by", "s", "x plain", "GiB", "events left", "print"):
        table.add_column(heading, justify="right", no_wrap=True)
    console = Console()
    differ = []
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        for rows in map(int, arguments.rows):
            log = Path(folder) / f"log_{rows}.parquet"
            began = time.perf_counter()
            write_log(log, rows)
            console.print(f"{rows:,} rows written in {time.perf_counter() - began:.0f} s")
            base: float | None = None
            prints = set()
            for kind in kinds(rows):
                got = measure(kind, log)
                seconds = float(got["seconds"])
                base = seconds if kind == "plain" else base
                table.add_row(
                    f"{rows:,}", kind, f"{seconds:.1f}", f"{seconds / base:.2f}" if base else "",
                    f"{got['peak'] / 2**30:.2f}" if got["peak"] else "", f"{got['events']:,}",
                    str(got.get("fingerprint", ""))[:8],
                )  # fmt: skip
                prints |= {got["fingerprint"]} if "fingerprint" in got else set()
            differ += [f"{rows:,}"] if len(prints) > 1 else []
            log.unlink()
    console.print(table)
    for size in differ:
        console.print(f"{size} rows: the engines' fingerprints differ")
    return 1 if differ else 0


if __name__ == "__main__":
    raise SystemExit(main())
