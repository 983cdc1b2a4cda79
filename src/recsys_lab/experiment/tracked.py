"""Data sent to a run's trackers at its start and end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from recsys_lab.contracts import NO_ITEM
from recsys_lab.evaluation.slices import last_lists
from recsys_lab.runs.record import FITTED, PER_USER, RECORD, RunRecord
from recsys_lab.tracking.base import End, Start

if TYPE_CHECKING:
    from collections.abc import Mapping

    from recsys_lab.data.prepared import PreparedDataset
    from recsys_lab.experiment.components import Components

USERS, HISTORY, LIST = 20, 10, 10
HIT = "* "


def start_of(record: RunRecord, job_type: str) -> Start:
    """Data sent at the start: from the record, which has no secrets."""
    config = record.values["config"]
    fingerprint = record.values["data"]["fingerprint"]
    return Start(
        id=None,
        name=" ".join(filter(None, (record.values["name"], record.values.get("job")))),
        group=config["group"],
        tags=list(config["tags"]),
        job_type=job_type,
        config={**config, "data_fingerprint": fingerprint},
        notes=config["notes"],
        commit=record.values["code"]["commit"],
    )


def end_of(parts: Components, record: RunRecord, *, failed: bool) -> End:
    """Data sent at the end: numbers, small tables, files to store."""
    folder = record.folder
    kept = {
        path.name: path
        for path in (
            folder / record.weights,
            folder / FITTED,
            folder / PER_USER,
            folder / RECORD,
        )
        if path.exists()
    }
    tables = {}
    slices = None if failed else record.slices()
    if slices is not None:
        examples = example_table(parts.data, record.table(PER_USER))
        tables = {"slices": slices, "examples": examples}
    return End(_summary(record), tables, kept, failed)


def example_table(data: PreparedDataset, rows: pl.DataFrame, users: int = USERS) -> pl.DataFrame:
    """Some test users, spread evenly over all of them.

    Args:
        data: gives titles and histories.
        rows: per user and target, as stored in ``test_users.parquet``.
        users: number of users.

    Returns:
        Columns ``user`` (raw id), ``history`` (titles of the latest `HISTORY` events, oldest
        first), ``targets`` and ``list`` (titles of the first `LIST` items, hits marked by `HIT`),
        as text.
    """
    titles = data.item_titles() or [str(item) for item in data.item_ids()]
    ids = data.user_ids()
    # The last segment of each user, as with the lists.
    segments = {int(row[0]): row for row in np.asarray(data.segments("test"))}
    by_user = (
        last_lists(rows)
        .group_by("user", maintain_order=True)
        .agg("target", pl.col("items").first())
    )
    step = max(1, len(by_user) // users)
    examples = []
    for row in by_user.gather_every(step).head(users).iter_rows(named=True):
        _, start, end, _ = segments[row["user"]]
        history = data.items[max(start, end - HISTORY) : end]
        wanted = set(row["target"])
        shown = [item for item in row["items"][:LIST] if item != NO_ITEM]
        examples.append(
            {
                "user": str(ids[row["user"]]),
                "history": "; ".join(titles[item] for item in history),
                "targets": "; ".join(titles[item] for item in row["target"]),
                "list": "; ".join(f"{HIT if i in wanted else ''}{titles[i]}" for i in shown),
            }
        )
    return pl.DataFrame(examples)


def _summary(record: RunRecord) -> Mapping[str, float]:
    values = record.values
    validation, best = values.get("validation"), values.get("best")
    if not validation and (row := _best_so_far(values)):  # of an interrupted run
        validation = {k.removeprefix("val/"): v for k, v in row.items() if k.startswith("val/")}
        best = {"epoch": row["epoch"]}
    summary = {f"best/{k}": v for k, v in (validation or {}).items()}
    summary |= {f"val/{k}": v for k, v in (validation or {}).items()}
    summary |= {f"test/{k}": v for k, v in (values.get("test") or {}).items()}
    summary |= {f"test/diagnostics/{k}": v for k, v in (values.get("diagnostics") or {}).items()}
    compute = {"parameters": values.get("parameters"), **values["compute"]}
    summary |= {f"compute/{k}": v for k, v in compute.items() if v is not None}
    if best:
        summary["best/epoch"] = best["epoch"] + 1
    return summary


def _best_so_far(values: Mapping[str, Any]) -> Mapping[str, float] | None:
    """The best validated epoch so far, the first of equal ones."""
    monitor = (values["config"].get("recipe") or {}).get("monitor")
    validated = [row for row in values.get("epochs") or () if monitor in row]
    noted = (values.get("metrics") or {}).get(str(monitor).removeprefix("val/"), {})
    sign = 1 if noted.get("higher_is_better", True) else -1  # recorded for user metrics only
    return max(validated, key=lambda row: sign * row[monitor], default=None)
