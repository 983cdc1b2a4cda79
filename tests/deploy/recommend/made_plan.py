"""A job without a run, for processes that are killed: they start quickly."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import polars as pl

from recsys_lab.deploy.recommend import job
from recsys_lab.deploy.recommend.folder import OutputFolder
from recsys_lab.deploy.recommend.shards import Columns

PARTS, SIZE, K, ITEMS = 4, 10, 3, 50


class Users:
    """Numbered users."""

    def __len__(self):
        return PARTS * SIZE

    def ids(self, rows):
        return pl.Series(rows, dtype=pl.Int64)

    def histories(self, first, last):
        return first, last


def work(output: str, stops_in: int | None = None) -> list[int]:
    """Do the job, stopping in one part until killed; returns the parts that were written."""
    written = []

    def ranked(given, k, **_):
        first, last = given
        written.append(first // SIZE)
        for row in range(0, last - first, 5):
            rows = np.arange(row, row + 5)
            items = (7 * (first + rows)[:, None] + 11 * np.arange(k)) % ITEMS
            scores = -np.arange(k, dtype=np.float32)[None].repeat(5, 0)
            yield SimpleNamespace(rows_B=rows, items_BK=items, scores_BK=scores)
            if first // SIZE == stops_in:
                print("now", flush=True)
                input()

    source = Users()
    columns = Columns(source, pl.Series([f"item {n}" for n in range(ITEMS)]), None)
    settings = {"format": "parquet", "exclude_seen": True, "k": K}
    plan = SimpleNamespace(
        ranker=SimpleNamespace(ranked=ranked), source=source, columns=columns, k=K, rules=None,
        settings=settings, about={}, counts={}, notes=[], part_size=SIZE, sizes=[SIZE] * PARTS,
    )  # fmt: skip
    folder = OutputFolder(Path(output), "parquet", plan.sizes)
    folder.open(settings)
    job.run_job(plan, folder, None)
    return written
