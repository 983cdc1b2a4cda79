"""Reads the per-user results of runs into arrays that can be paired.

Shapes: U users, M metrics.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isclose
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from recsys_lab.comparison.identity import metric_definition, refuse_another_metric
from recsys_lab.config import UserError, did_you_mean
from recsys_lab.files.reading import reading
from recsys_lab.moved import current_metric
from recsys_lab.runs.record import BRING_BACK, PER_USER, RECORD

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from recsys_lab.runs.record import RunRecord

    Floats = NDArray[np.float64]

RAW_IDS = ("user_id", "target_id")
"""Readable columns of the file; runs are joined by ``user``, and older files lack these columns."""

_COMPARED = f", and runs are compared user by user{BRING_BACK}"
_LABELS = (pl.Enum, pl.Categorical, pl.String, pl.Boolean)


@dataclass(frozen=True)
class UserResults:
    """Per-user results of one run.

    Attributes:
        rows: ``user`` and ``target`` of every row, in order; equal for runs that can be paired.
        values_UM: metrics by user; NaN where a metric is undefined.
        most_targets: largest number of targets of a list; None where metrics are means over lists.
        slices: of the main metric, (name, value) -> mask of its users, bool (U,), and the value of
            each of these users on the targets of the slice.
    """

    rows: pl.DataFrame
    values_UM: Floats
    most_targets: int | None
    slices: Mapping[tuple[str, str], tuple[NDArray[np.bool_], Floats]]


def shared_metrics(
    records: Sequence[RunRecord], wanted: str | None
) -> tuple[str, list[str], list[str]]:
    """The metrics that all runs have.

    Args:
        records: finished runs.
        wanted: the main metric; None for the model selection metric of the first run.

    Returns:
        The main metric, the shared metrics in the order of the first run, and a message for each
        metric that is left out because its definition differs between the runs.

    Raises:
        UserError: no metric is shared, or the wanted one is not.
    """
    wanted = None if wanted is None else current_metric(wanted)
    shared = [m for m in records[0].values["test"] if all(m in r.values["test"] for r in records)]
    if not shared:
        metrics = "; ".join(f"{r.folder}: {', '.join(r.values['test'])}" for r in records)
        msg = f"runs: they have no metric in common ({metrics})"
        raise UserError(
            f"{msg}. Set the same evaluation.metrics and evaluation.ks and train again."
        )
    others: dict[str, str] = {}
    for name in shared:
        try:
            refuse_another_metric(records, name)
        except UserError as error:
            others[name] = str(error)
    if wanted in others:
        raise UserError(f"metric: {others[wanted]}; choose another metric")
    shared = [name for name in shared if name not in others]
    if wanted is not None and wanted not in shared:
        msg = f"metric: {wanted!r} is not in all runs{did_you_mean(wanted, shared)}"
        raise UserError(f"{msg} Shared metrics: {', '.join(shared)}.")
    main = wanted or records[0].main_metric
    return main if main in shared else shared[0], shared, list(others.values())


def higher_is_better(name: str, record: RunRecord) -> bool:
    """The direction of a metric: by its name, or as recorded for a user's own metric."""
    from recsys_lab.evaluation.metrics.registry import known_as  # imports torch

    known = known_as(name)
    if known is not None:
        return bool(known.higher_is_better)
    return bool(metric_definition(record, name).get("higher_is_better", True))


def largest_values(names: Sequence[str], results: Sequence[UserResults]) -> dict[str, float | None]:
    """The largest value of each hit-based metric for a user; None for other metrics."""
    from recsys_lab.evaluation.metrics.registry import largest_value  # imports torch

    known = [of.most_targets for of in results if of.most_targets is not None]
    most = max(known) if len(known) == len(results) else None
    return {name: largest_value(name, most) for name in names}


def metrics_of_users(record: RunRecord) -> set[str]:
    """Metrics of the record that have a value for each user.

    Raises:
        UserError: the file is missing or damaged.
    """
    columns = record.table(PER_USER, _COMPARED).columns
    missing = {"user", "target", "rank", "items"} - set(columns)
    if missing:
        listed = ", ".join(sorted(missing))
        msg = f"{record.folder / PER_USER}: the columns {listed} are missing"
        raise UserError(f"{msg}; restore the file, train again, or leave the run out")
    return {name for name in record.values["test"] if name in columns}


def user_results(record: RunRecord, metrics: Sequence[str], main: str | None) -> UserResults:
    """Read the per-user results of a run.

    Args:
        record: a finished run.
        metrics: columns to read.
        main: the metric to slice, or None.

    Raises:
        UserError: the file is missing or damaged, or disagrees with the record.
    """
    rows = record.table(PER_USER, _COMPARED)
    with reading(record.folder / PER_USER, _COMPARED):  # columns may have wrong types
        return _user_results(record, rows, metrics, main)


def _user_results(
    record: RunRecord, rows: pl.DataFrame, metrics: Sequence[str], main: str | None
) -> UserResults:
    from recsys_lab.evaluation.slices import list_keys

    keys = list_keys(rows)
    rows = rows.sort(*keys, "target", maintain_order=True)
    users = rows.unique("user", keep="first", maintain_order=True)
    values_UM = users.select(metrics).cast(pl.Float64).fill_null(np.nan).to_numpy()
    _check_means(record, metrics, values_UM)
    over_lists = record.values["protocol"]["fields"].get("mean_over") == "lists"
    slices = {}
    knows_parts = main is not None and (
        len(rows) == len(users) or not _is_of_all_targets(record, main)
    )
    # A user's share of the mean over all lists is not a share of the mean over some lists.
    if main is not None and knows_parts and (not over_lists or _is_of_hits(main)):
        names = [name for name, dtype in rows.schema.items() if isinstance(dtype, _LABELS)]
        names = [name for name in names if name not in RAW_IDS]
        for name in names:
            for value in _values(rows[name]):
                slices[name, value] = _slice(rows, users, name, value, main, over_lists=over_lists)
    most = None if over_lists else int(rows.group_by(keys).len()["len"].max() or 0)  # type: ignore[arg-type]
    of_rows = rows.select(pl.col(*keys, "target").cast(pl.Int64))
    return UserResults(of_rows, values_UM, most, slices)


def _check_means(record: RunRecord, metrics: Sequence[str], values_UM: Floats) -> None:
    """Check that the record's metrics are the means of the rows, also in runs without digests.

    Raises:
        UserError: one of the two files was changed.
    """
    for name, values_U in zip(metrics, values_UM.T, strict=True):
        known = values_U[~np.isnan(values_U)]
        recorded = record.values["test"].get(name, np.nan)
        mean = float(known.mean()) if len(known) else np.nan
        if np.isnan(mean) and np.isnan(recorded):
            continue
        if not isclose(mean, recorded, rel_tol=1e-9, abs_tol=1e-12):
            raise UserError(
                f"{record.folder / PER_USER}: the mean of {name} over its users is {mean}, but "
                f"{RECORD} says {recorded}: one of the two files was changed; restore the "
                "original, train again, or leave the run out"
            )


def _values(column: pl.Series) -> list[str]:
    """Values that occur, in the order of the categories or sorted."""
    values = set(column.drop_nulls().cast(pl.String).unique())
    if isinstance(column.dtype, pl.Enum):
        return [value for value in column.dtype.categories if value in values]
    return sorted(values)


def _slice(
    rows: pl.DataFrame,
    users: pl.DataFrame,
    name: str,
    value: str,
    main: str,
    *,
    over_lists: bool,
) -> tuple[NDArray[np.bool_], Floats]:
    part = rows.filter(pl.col(name).cast(pl.String) == value)
    mask_U = users["user"].is_in(part["user"].unique().implode()).to_numpy()
    if len(rows) == len(users):  # one target a user
        return mask_U, part[main].cast(pl.Float64).to_numpy()
    return mask_U, _on_targets(part, main, over_lists=over_lists)


def _is_of_all_targets(record: RunRecord, name: str) -> bool:
    from recsys_lab.evaluation.metrics.registry import known_as  # imports torch

    known = known_as(name)
    if known is not None:
        return known.reads_targets
    return bool(metric_definition(record, name).get("reads_targets", True))


def _is_of_hits(name: str) -> bool:
    """Whether a metric is one of the lab's hit-based metrics, computed from ranks."""
    from recsys_lab.evaluation.metrics.accuracy import PerUserMetric  # imports torch
    from recsys_lab.evaluation.metrics.registry import known_as

    return issubclass(known_as(name) or object, PerUserMetric)


def _on_targets(part: pl.DataFrame, main: str, *, over_lists: bool) -> Floats:
    """An accuracy metric on some of the users' targets; other metrics are unchanged."""
    from recsys_lab.evaluation.metrics.registry import make_metrics  # imports torch
    from recsys_lab.evaluation.slices import hits_from_ranks, values_of_users

    name, _, k = main.partition("@")
    if not _is_of_hits(main):
        users = part.unique("user", keep="first", maintain_order=True)
        return users[main].cast(pl.Float64).to_numpy()
    metric: Any = make_metrics([name], [int(k)])[main]
    return values_of_users(metric, *hits_from_ranks(part), over_lists=over_lists)
