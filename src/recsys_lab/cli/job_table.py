"""The table at the end of ``train --multirun``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from recsys_lab.runs.listing import one_row
from recsys_lab.runs.references import references_to
from recsys_lab.runs.run_table import REFERENCE, laid_out, metric_columns, print_parts

if TYPE_CHECKING:
    from rich.console import Console

    from recsys_lab.cli.multirun import Jobs


def print_jobs(jobs: Jobs, console: Console) -> None:
    """Print a table of the jobs: their overrides, status, metric, and run."""
    keys = list(jobs.swept)
    rows: list[dict[str, Any]] = []
    for job in jobs.all:
        given = jobs.varied(job)
        made = one_row(job.folder)
        row = {key: made.get(key) for key in ("status", "seconds", "main")}
        if row["main"]:
            row[row["main"]] = made.get(row["main"])
        rows.append({"job": job.number, **row, **{key: given.get(key) for key in keys}})
        if job.failure:
            rows[-1]["status"] = "failed"
    for row, reference in zip(rows, references_to([job.folder for job in jobs.all]), strict=True):
        row[REFERENCE] = reference
    metrics = metric_columns(rows)
    facts = [] if all(row.get("status") == "finished" for row in rows) else ["status"]
    columns = ["job", *keys, *facts, "seconds", *metrics, REFERENCE]
    print_parts(laid_out(rows, columns, console, dropped_first=("seconds",)), console)
