"""Metrics of parts of the users and targets, with intervals.

Shapes: U users, K list length, R resamples.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import torch

from recsys_lab.evaluation.sums import mean

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from recsys_lab.evaluation.metrics import PerUserMetric

RESAMPLES = 1000
_NORMAL = 1.959964  # 97.5% quantile
_FEW = 200  # distinct values, which resamples are drawn over
_AT_ONCE = 1 << 24  # numbers drawn at a time: bounds memory


def interval(values_U: NDArray[np.float64], seed: int = 0) -> tuple[float, float]:
    """95% interval of the mean over users: percentiles of the bootstrap (Efron, 1979).

    A resample of U users is a draw from a multinomial over the distinct values, which metrics of
    ranks have few of; so the cost does not grow with the users. With many distinct values, and so
    many users, the resampled means are normal, and their percentiles are had without drawing.

    Args:
        values_U: one value a user, at least one, no NaN.
        seed: of the resamples.
    """
    values, counts = np.unique(values_U, return_counts=True)
    if len(values) > _FEW:
        middle, error = values_U.mean(), values_U.std() / np.sqrt(len(values_U))
        return float(middle - _NORMAL * error), float(middle + _NORMAL * error)
    generator = np.random.default_rng(seed)
    total = len(values_U)
    means: list[NDArray[np.float64]] = []
    step = max(1, _AT_ONCE // len(values))
    for first in range(0, RESAMPLES, step):
        size = min(step, RESAMPLES - first)
        drawn = generator.multinomial(total, counts / total, size=size)
        means.append(drawn @ values / total)
    low, high = np.quantile(np.concatenate(means), [0.025, 0.975])
    return float(low), float(high)


def intervals(rows: pl.DataFrame, names: list[str]) -> dict[str, tuple[float, float]]:
    """Interval of each metric over all users who have a value.

    Args:
        rows: per user and target, as `Results.per_user` gives them.
        names: columns of metrics; one that has no value of any user is left out.
    """
    values = {name: _known(rows, name) for name in names}
    return {name: interval(known) for name, known in values.items() if len(known)}


def _known(rows: pl.DataFrame, name: str) -> NDArray[np.float64]:
    """A metric of each user, but for those for whom it means nothing."""
    users = rows.unique("user", keep="first", maintain_order=True)
    return users[name].drop_nans().to_numpy()


def slice_table(
    rows: pl.DataFrame,
    keys: pl.DataFrame,
    metrics: Mapping[str, PerUserMetric],
    of_lists: Sequence[str] = (),
) -> pl.DataFrame:
    """Metrics of every slice.

    A slice of users is those users. A slice of targets is the users who have such targets, each
    measured on these targets alone; with one target a user the two are the same. What a list is
    like does not depend on its targets.

    Args:
        rows: per user and target, as `Results.per_user` gives them.
        keys: the same rows' keys: ``user``, ``target``, then a column for each way to cut.
        metrics: by name, e.g. ``ndcg@10``.
        of_lists: columns of metrics that read no targets, e.g. ``novelty@10``; ``users`` counts
            those who have a value.

    Returns:
        Columns ``slice``, ``value``, ``users``, ``targets``, ``metric``, ``mean``, ``low`` and
        ``high`` (95% interval), in order of keys, values and metrics.

    Raises:
        ValueError: rows and keys are not of the same users and targets.
    """
    same = rows.select("user", "target").cast(pl.Int64).equals(
        keys.select("user", "target").cast(pl.Int64)
    )  # fmt: skip
    if not same:
        raise ValueError("slices: the keys are not those of the results' users and targets")
    found: list[dict[str, Any]] = []
    for name in keys.columns[2:]:
        dtype = keys.schema[name]
        assert isinstance(dtype, pl.Enum)
        for value in dtype.categories:
            part = rows.filter(keys[name] == value)
            if len(part):
                named = {"slice": name, "value": value}
                found += _of_slice(part, named, metrics) + _lists_of_slice(part, named, of_lists)
    schema = {
        "slice": pl.String, "value": pl.String, "users": pl.Int64, "targets": pl.Int64,
        "metric": pl.String, "mean": pl.Float64, "low": pl.Float64, "high": pl.Float64,
    }  # fmt: skip
    return pl.DataFrame(found, schema=schema)


def _of_slice(
    part: pl.DataFrame, named: dict[str, Any], metrics: Mapping[str, PerUserMetric]
) -> list[dict[str, Any]]:
    hits_UK, targets_U = hits_from_ranks(part)
    counts = {"users": len(targets_U), "targets": len(part)}
    found = []
    for name, metric in metrics.items():
        values_U = metric.per_user(hits_UK[:, : metric.k], targets_U)
        low, high = interval(values_U.numpy())
        average = mean(values_U)
        found.append({**named, **counts, "metric": name, "mean": average, "low": low, "high": high})
    return found


def _lists_of_slice(
    part: pl.DataFrame, named: dict[str, Any], names: Sequence[str]
) -> list[dict[str, Any]]:
    found = []
    for name in names:
        known = _known(part, name)
        if len(known):
            counts = {"users": len(known), "targets": len(part)}
            low, high = interval(known)
            average = mean(known)
            found.append(
                {**named, **counts, "metric": name, "mean": average, "low": low, "high": high}
            )
    return found


def hits_from_ranks(rows: pl.DataFrame) -> tuple[torch.Tensor, torch.Tensor]:
    """Which places of each user's list hold a target of these rows.

    Args:
        rows: with ``user``, ``rank`` (from 1, null where not in the list), ``items``.

    Returns:
        bool (U, K) and the number of targets of each user, int64 (U,), in the order in which the
        users first stand in the rows.
    """
    rows = rows.unique(["user", "target"], keep="first", maintain_order=True)
    width = len(rows["items"][0])
    user_G = rows["user"].rank("dense").to_numpy().astype(np.int64) - 1
    hits = np.zeros((int(user_G.max()) + 1, width), dtype=bool)
    is_hit = rows["rank"].is_not_null().to_numpy()
    hits[user_G[is_hit], rows["rank"].drop_nulls().to_numpy() - 1] = True
    return torch.from_numpy(hits), torch.from_numpy(np.bincount(user_G))
