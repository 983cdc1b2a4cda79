"""The table at the end of ``train --multirun``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recsys_lab.cli.multirun import key_of
from recsys_lab.runs.find import LeftOut, run_folders
from recsys_lab.runs.listing import one_row
from recsys_lab.runs.references import RUNS, references
from recsys_lab.runs.run_table import REFERENCE, laid_out, metric_columns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from recsys_lab.cli.multirun import Job, Jobs


def print_jobs(jobs: Jobs, console: Console) -> None:
    """Print a table of the jobs: their overrides, status, metric, and run."""
    keys = list(jobs.swept)
    rows: list[dict[str, Any]] = []
    for job in jobs.all:
        given = {key_of(text): text.partition("=")[2] for text in job.overrides}
        row = {key: value for key, value in one_row(job.folder).items() if key in _taken(job)}
        rows.append({"job": job.number, **row, **{key: given.get(key) for key in keys}})
        if job.failure:
            rows[-1]["status"] = "failed"
    for row, reference in zip(rows, _references([job.folder for job in jobs.all]), strict=True):
        row[REFERENCE] = reference
    metrics = metric_columns(rows)
    facts = [] if all(row.get("status") == "finished" for row in rows) else ["status"]
    columns = ["job", *keys, *facts, "seconds", *metrics, REFERENCE]
    for part in laid_out(rows, columns, console, dropped_first=("seconds",)):
        console.print(part, highlight=False)


def _taken(job: Job) -> tuple[str, ...]:
    main = one_row(job.folder).get("main") or ""
    return ("status", "seconds", "main", main)


def _references(folders: Sequence[Path]) -> list[str]:
    """Short references to the runs, or their paths where they are not below `RUNS`."""
    here = [Path(os.path.relpath(folder)) for folder in folders]
    if not all(folder.is_relative_to(RUNS) for folder in here):
        return [str(folder) for folder in here]
    closed: list[LeftOut] = []
    known = [str(run.relative_to(RUNS)) for run in run_folders(Path(RUNS), closed)]
    short = dict(zip(known, references(RUNS, known), strict=True))
    return [short.get(str(folder.relative_to(RUNS)), str(folder)) for folder in here]
