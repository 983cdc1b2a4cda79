"""What a run's trackers are told when it begins and when it ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from recsys_lab.experiment.example_users import example_table
from recsys_lab.runs.record import FITTED, PER_USER, RECORD, RunRecord
from recsys_lab.tracking.base import End, Start

if TYPE_CHECKING:
    from collections.abc import Mapping

    from recsys_lab.experiment.components import Components


def start_of(record: RunRecord, job_type: str) -> Start:
    """What trackers are told: what the record says, which holds no secret."""
    config = record.values["config"]
    fingerprint = record.values["data"]["fingerprint"]
    return Start(
        id=None,
        name=record.values["name"],
        group=config["group"],
        tags=list(config["tags"]),
        job_type=job_type,
        config={**config, "data_fingerprint": fingerprint},
        notes=config["notes"],
        commit=record.values["code"]["commit"],
    )


def end_of(parts: Components, record: RunRecord, *, failed: bool) -> End:
    """What they are told at the end: numbers, small tables, files worth keeping."""
    folder = record.folder
    kept = {path.name: path for path in (
        folder / record.weights, folder / FITTED, folder / PER_USER, folder / RECORD,
    ) if path.exists()}  # fmt: skip
    tables = {}
    slices = None if failed else record.slices()
    if slices is not None:
        examples = example_table(parts.data, record.table(PER_USER))
        tables = {"slices": slices, "examples": examples}
    return End(_summary(record), tables, kept, failed)


def _summary(record: RunRecord) -> Mapping[str, float]:
    values = record.values
    validation, best = values.get("validation"), values.get("best")
    if not validation and (row := _best_so_far(values)):  # it was stopped
        validation = {k.removeprefix("val/"): v for k, v in row.items() if k.startswith("val/")}
        best = {"epoch": row["epoch"]}
    found = {f"best/{k}": v for k, v in (validation or {}).items()}
    found |= {f"val/{k}": v for k, v in (validation or {}).items()}
    found |= {f"test/{k}": v for k, v in (values.get("test") or {}).items()}
    compute = {"parameters": values.get("parameters"), **values["compute"]}
    found |= {f"compute/{k}": v for k, v in compute.items() if v is not None}
    if best:
        found["best/epoch"] = best["epoch"]
    return found


def _best_so_far(values: Mapping[str, Any]) -> Mapping[str, float] | None:
    """The judged epoch that is the best until now, the first of equal ones."""
    monitor = (values["config"].get("recipe") or {}).get("monitor")
    judged = [row for row in values.get("epochs") or () if monitor in row]
    return max(judged, key=lambda row: row[monitor], default=None)
