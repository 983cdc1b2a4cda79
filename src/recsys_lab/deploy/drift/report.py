"""The verb's work: opens the logs, compares them, measures the hit rate."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recsys_lab.config import UserError
from recsys_lab.deploy.drift.compare import Options, Thresholds, compare
from recsys_lab.deploy.drift.log_file import read_log
from recsys_lab.deploy.drift.logs import open_prepared
from recsys_lab.runs.failure import refuse_unfinished
from recsys_lab.runs.find import whole_record

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from recsys_lab.deploy.drift.logs import EventLog
    from recsys_lab.runs.record import RunRecord

DRIFTED = 3
"""Exit code of the verb if a shift is above its threshold."""


def drift(cfg: DictConfig) -> dict[str, Any]:
    """Compare the two logs of a config; see configs/drift.yaml.

    Returns:
        See `recsys_lab.deploy.drift.compare.compare`, with ``hit_rate`` and ``above``, the names of
        the shifts above their threshold.

    Raises:
        UserError: a log or the run cannot be read, or the options contradict each other.
    """
    if len(cfg.datasets) != 2:
        raise UserError(
            f"datasets: got {len(cfg.datasets)}, expected two: recsys-lab drift OLD NEW"
        )
    record = None if cfg.run is None else _finished(Path(cfg.run))
    old = open_prepared(cfg.datasets[0], cfg.verify)
    if old is None:
        raise UserError(
            f"{cfg.datasets[0]}: is neither a prepared dataset nor a run; OLD is a folder below "
            "prepared/ or a run directory (only NEW may be a file of events)"
        )
    new = open_prepared(cfg.datasets[1], cfg.verify)
    if new is None:
        new = read_log(cfg.datasets[1], cfg.timestamp_unit, old.kinds)
    options = Options(**{field.name: cfg[field.name] for field in fields(Options)})
    thresholds = Thresholds(**{field.name: cfg[field.name] for field in fields(Thresholds)})
    result = compare(old, new, options, thresholds)
    if record is not None:
        _add_hit_rate(result, record, new, cfg)
    result["above"] = [shift["name"] for shift in result["shifts"] if shift["above"]]
    return result


def _finished(folder: Path) -> RunRecord:
    record = whole_record(folder)
    refuse_unfinished(record, "no model", f"run={folder}")
    if "windows" in record.values:
        raise UserError(f"run={folder}: a back-test; give one of its windows, e.g. window_0")
    return record


def _add_hit_rate(
    result: dict[str, Any], record: RunRecord, new: EventLog, cfg: DictConfig
) -> None:
    from recsys_lab.deploy.drift.hit_rate import NotMeasured, fall, weekly_hit_rate

    limit = cfg.max_hit_rate_fall
    result["settings"] |= {"k": cfg.k, "users": cfg.users}
    result["settings"]["thresholds"]["max_hit_rate_fall"] = limit
    try:
        measured = weekly_hit_rate(
            record, new, k=cfg.k, users=cfg.users, seed=cfg.seed, verify=cfg.verify
        )
    except NotMeasured as error:
        result["skipped"].append({"part": "hit_rate", "reason": str(error)})
        return
    result["hit_rate"] = measured
    fallen = fall(measured)
    if fallen is None:
        reason = (
            "few users: no interval"
            if measured["reference"]
            else f"the run's test has no hr@{cfg.k} above 0 to compare with"
        )
        result["skipped"].append({"part": "hit_rate/fall", "reason": reason})
        return
    value, at_least = fallen
    result["shifts"].append(
        {
            "name": "hit_rate/fall",
            "part": "hit_rate",
            "measure": "fall",
            "value": value,
            "noise": value - at_least,
            "excess": max(0.0, at_least),
            "p": None,
            "threshold": limit,
            "key": "max_hit_rate_fall",
            "above": limit is not None and at_least > limit,
        }
    )
