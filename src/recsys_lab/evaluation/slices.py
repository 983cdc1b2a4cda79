"""Metrics of slices of users and targets, with intervals.

Shapes: U users, K list length.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import torch

from recsys_lab.contracts import LIST
from recsys_lab.evaluation.intervals import mean_interval
from recsys_lab.evaluation.metrics.registry import largest_value
from recsys_lab.evaluation.sums import mean, mean_of_each, mean_over_lists

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from recsys_lab.evaluation.metrics.accuracy import PerUserMetric


def intervals(
    rows: pl.DataFrame, names: list[str], *, over_lists: bool = False
) -> dict[str, tuple[float, float]]:
    """Interval of each metric over all users with a value.

    Args:
        rows: per user and target, from `Results.per_user`.
        names: columns of metrics; those with too few values are left out.
        over_lists: whether the metrics are means over all lists.
    """
    most = None if over_lists else _most_targets(rows)
    computed = {n: mean_interval(_known(rows, n), largest_value(n, most)) for n in names}
    return {name: interval for name, interval in computed.items() if interval is not None}


def list_keys(rows: pl.DataFrame) -> list[str]:
    """The columns that identify a list."""
    return ["user", LIST] if LIST in rows.columns else ["user"]


def last_lists(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows of each user's last list."""
    if LIST not in rows.columns:
        return rows
    return rows.filter(pl.col(LIST) == pl.col(LIST).max().over("user"))


def _most_targets(rows: pl.DataFrame) -> int:
    """Largest number of targets of a list."""
    return int(rows.group_by(list_keys(rows)).len()["len"].max() or 0)  # type: ignore[arg-type]


def _known(rows: pl.DataFrame, name: str) -> NDArray[np.float64]:
    """A metric of each user, without undefined values."""
    users = rows.unique("user", keep="first", maintain_order=True)
    return users[name].drop_nans().to_numpy()


def slice_table(
    rows: pl.DataFrame,
    keys: pl.DataFrame,
    metrics: Mapping[str, PerUserMetric],
    of_lists: Sequence[str] = (),
    *,
    over_lists: bool = False,
) -> pl.DataFrame:
    """Metrics of every slice.

    A slice of targets has the users with such targets, each evaluated on only these targets. With
    one target per user it is a slice of users. Metrics beyond accuracy do not depend on targets: a
    user's value over all lists is used.

    Args:
        rows: per user and target, from `Results.per_user`.
        keys: keys of the same rows: ``user``, ``target``, then a column for each kind of slice.
        metrics: hit metrics by name, e.g. ``ndcg@10``.
        of_lists: columns of metrics that do not read targets, e.g. ``novelty@10``; ``users`` is
            then the number of users with a value.
        over_lists: whether metrics are means over all lists; ``of_lists`` must be empty then.

    Returns:
        Columns ``slice``, ``value``, ``users``, ``targets``, ``metric``, ``mean``, ``low`` and
        ``high`` (95% interval; null for few users, see `recsys_lab.evaluation.intervals`), in order
        of keys, values and metrics.

    Raises:
        ValueError: rows and keys differ in their users or targets.
    """
    identity = pl.col("user", "target").cast(pl.Int64)
    if not rows.select(identity).equals(keys.select(identity)):
        raise ValueError("slices: keys and rows have different users or targets")
    table: list[dict[str, Any]] = []
    for name in keys.columns[2:]:
        dtype = keys.schema[name]
        assert isinstance(dtype, pl.Enum)
        for value in dtype.categories:
            part = rows.filter(keys[name] == value)
            if len(part):
                named = {"slice": name, "value": value}
                table += _of_slice(part, named, metrics, over_lists=over_lists)
                table += _lists_of_slice(part, named, of_lists)
    schema = {
        **dict.fromkeys(("slice", "value"), pl.String),
        **dict.fromkeys(("users", "targets"), pl.Int64),
        "metric": pl.String,
        **dict.fromkeys(("mean", "low", "high"), pl.Float64),
    }
    return pl.DataFrame(table, schema=schema)


def _of_slice(
    part: pl.DataFrame,
    named: dict[str, Any],
    metrics: Mapping[str, PerUserMetric],
    *,
    over_lists: bool,
) -> list[dict[str, Any]]:
    hits_LK, targets_L, user_L = hits_from_ranks(part)
    most = None if over_lists else int(targets_L.max())
    rows = []
    for name, metric in metrics.items():
        values_U = values_of_users(metric, hits_LK, targets_L, user_L, over_lists=over_lists)
        counts = {"users": len(values_U), "targets": len(part)}
        rows.append({**named, **counts, "metric": name, **_mean_of(values_U, name, most)})
    return rows


def _lists_of_slice(
    part: pl.DataFrame, named: dict[str, Any], names: Sequence[str]
) -> list[dict[str, Any]]:
    rows = []
    for name in names:
        known = _known(part, name)
        if len(known):
            counts = {"users": len(known), "targets": len(part)}
            rows.append({**named, **counts, "metric": name, **_mean_of(known, name, 1)})
    return rows


def _mean_of(values_U: NDArray[np.float64], name: str, most_targets: int | None) -> dict[str, Any]:
    low, high = mean_interval(values_U, largest_value(name, most_targets)) or (None, None)
    return {"mean": mean(values_U), "low": low, "high": high}


def values_of_users(
    metric: PerUserMetric,
    hits_LK: torch.Tensor,
    targets_L: torch.Tensor,
    user_L: torch.Tensor,
    *,
    over_lists: bool,
) -> NDArray[np.float64]:
    """A metric of each user, aggregated as in `recsys_lab.evaluation.metrics.user_mean`.

    Args:
        metric: the metric.
        hits_LK: from `hits_from_ranks`.
        targets_L: likewise.
        user_L: likewise.
        over_lists: whether metrics are means over all lists.
    """
    values_L = metric.per_user(hits_LK[:, : metric.k], targets_L)
    of_each = mean_over_lists if over_lists else mean_of_each
    values_U: NDArray[np.float64] = of_each(values_L, user_L)[1].numpy()
    return values_U


def hits_from_ranks(rows: pl.DataFrame) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The ranks of each list that hit a target of these rows.

    Args:
        rows: has ``user``, `LIST` if there are several, ``rank`` (from 1, null if not in the list)
            and ``items``; sorted by users and lists.

    Returns:
        bool (L, K), the number of targets of each list, int64 (L,), and its user, int64 (L,).
    """
    keys = list_keys(rows)
    rows = rows.unique([*keys, "target"], keep="first", maintain_order=True)
    width = len(rows["items"][0])
    list_G = rows.select(pl.struct(keys).rle_id()).to_series().to_numpy().astype(np.int64)
    hits = np.zeros((int(list_G.max()) + 1, width), dtype=bool)
    is_hit = rows["rank"].is_not_null().to_numpy()
    hits[list_G[is_hit], rows["rank"].drop_nulls().to_numpy() - 1] = True
    first_L = np.unique(list_G, return_index=True)[1]
    user_L = rows["user"].to_numpy().astype(np.int64)[first_L]
    return torch.from_numpy(hits), torch.from_numpy(np.bincount(list_G)), torch.from_numpy(user_L)
