"""Fairness: metric gaps between groups of users, and exposure of groups of items.

As two metrics, exact for any number of processes, and as tables of a run's record: all metrics and
columns with intervals, from the gathered rows.

Shapes: V items, G groups, U users, L lists, K list length.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl
import torch
from torch import Tensor
from torchmetrics import Metric

from recsys_lab.contracts import NO_ITEM, ListFeature
from recsys_lab.evaluation.catalogue import Catalogue
from recsys_lab.evaluation.metrics.exposure import Exposure
from recsys_lab.evaluation.metrics.user_mean import UserMean
from recsys_lab.evaluation.slices import list_keys
from recsys_lab.evaluation.sums import mean

USER_COLUMNS = "user_"
"""Prefix of slices by a user column."""

OTHERS = "(other)"
"""The slice of all remaining values, which is not a group of similar users."""

FEWEST_USERS = 100
"""Smallest group that counts for a gap; the means of smaller ones differ by chance."""


class MetricGap(Metric):
    """The largest difference of a metric's means between groups of users, at least 0.

    See `metric_gaps`. NaN with fewer than two groups that are large enough.

    Args:
        metric: a metric with one value per user.
        groups_U: group of every user of the data, int64 (U,), from 0; -1 for none.
        fewest: minimum number of users with a value in a group.
    """

    is_differentiable = False
    full_state_update = False
    higher_is_better = False

    def __init__(self, metric: UserMean, groups_U: Tensor, fewest: int) -> None:
        super().__init__()
        self._metric, self._fewest = metric, fewest
        self._groups_U = groups_U

    def update(self, *arguments: Any) -> None:
        """Add users, with the arguments of the metric."""
        self._metric.update(*arguments)

    def compute(self) -> Tensor:
        """See the class; float64, over the users of all processes, each once."""
        users, values_U = self._metric.by_user()
        groups_U = self._groups_U.to(users.device)[users]
        known = (groups_U >= 0) & ~values_U.isnan()
        groups_U, values_U = groups_U[known], values_U[known]
        counts_G = torch.bincount(groups_U)
        large = (counts_G >= self._fewest).nonzero().flatten().tolist()
        means = [mean(values_U[groups_U == group]) for group in large]
        gap = max(means) - min(means) if len(means) > 1 else torch.nan
        return torch.tensor(gap, dtype=torch.float64)

    def reset(self) -> None:
        """Forget all users."""
        super().reset()
        self._metric.reset()


class GroupExposure(Exposure):
    """Share of the first k ranks of all lists for each group of items, (G,), sum 1.

    See `exposure_of_groups`. A single NaN if the lists are empty.

    Args:
        k: number of ranks that count, with equal weight.
        catalogue: the items.
        groups: groups of every item, codes 0 .. G - 1; an item of several groups counts for each
            in equal parts, an item without groups is left out.
        num_groups: G.
    """

    name = "group_exposure"
    higher_is_better = None

    def __init__(self, k: int, catalogue: Catalogue, groups: ListFeature, num_groups: int) -> None:
        super().__init__(k=k, catalogue=catalogue)
        self._groups, self._num_groups = groups, num_groups

    def of_counts(self, shown_V: Tensor) -> Tensor:
        """See the class; for any weights of the items."""
        lengths_V = self._groups.offsets.diff()
        parts = torch.repeat_interleave(shown_V.double().cpu() / lengths_V, lengths_V)
        sums_G = torch.zeros(self._num_groups, dtype=torch.float64)
        sums_G.index_add_(0, self._groups.codes, parts)
        return sums_G / sums_G.sum()


def metric_gaps(slices: pl.DataFrame) -> pl.DataFrame:
    """The largest difference of each metric between groups of users, for each user column.

    ``max - min`` of the groups' means, at least 0; "unfairness" of Li et al., "User-oriented
    fairness in recommendation", WWW 2021 (https://arxiv.org/abs/2104.10671), for any number of
    groups. Groups of fewer than `FEWEST_USERS` users and `OTHERS` are left out.

    The interval combines those of the two groups' means a and b, which are independent: from
    ``gap - sqrt((a - low_a)^2 + (high_b - b)^2)`` to ``gap + sqrt((high_a - a)^2 + (b - low_b)^2)``
    (Zou and Donner, Statistics in Medicine 2008, https://doi.org/10.1002/sim.3095). It ignores
    that these two are the extremes of several: with many groups, even equal ones have a gap.

    Args:
        slices: from `recsys_lab.evaluation.slices.slice_table`.

    Returns:
        Columns ``groups`` (name of the slice), ``metric``, ``gap``, ``gap_low`` and ``gap_high``
        (95% interval), ``highest``, ``highest_mean``, ``highest_users``, ``lowest``,
        ``lowest_mean``, ``lowest_users``; no row for a column with fewer than two such groups.
    """
    ends = [
        pl.col(column)
        .sort_by("mean", descending=end == "highest")
        .first()
        .alias(end if column == "value" else f"{end}_{column}")
        for end in ("highest", "lowest")
        for column in ("value", "mean", "users", "down", "up")
    ]
    gap = pl.col("highest_mean") - pl.col("lowest_mean")
    down = (pl.col("highest_down").pow(2) + pl.col("lowest_up").pow(2)).sqrt()
    up = (pl.col("highest_up").pow(2) + pl.col("lowest_down").pow(2)).sqrt()
    return (
        slices.filter(
            pl.col("slice").str.starts_with(USER_COLUMNS),
            pl.col("value") != OTHERS,
            pl.col("users") >= FEWEST_USERS,
        )
        .with_columns(down=pl.col("mean") - pl.col("low"), up=pl.col("high") - pl.col("mean"))
        .group_by(pl.col("slice").alias("groups"), "metric", maintain_order=True)
        .agg(pl.len().alias("number"), *ends)
        .filter(pl.col("number") > 1)
        .with_columns(gap=gap, gap_low=gap - down, gap_high=gap + up)
        .drop("number", "highest_down", "highest_up", "lowest_down", "lowest_up")
    )


def exposure_of_groups(
    rows: pl.DataFrame, k: int, catalogue: Catalogue, groups: ListFeature, labels: Sequence[str]
) -> pl.DataFrame:
    """Exposure of each group of items, compared with its share of the items and of the events.

    Exposure as in Singh and Joachims, "Fairness of exposure in rankings", KDD 2018
    (https://arxiv.org/abs/1802.07281), with equal weights for the first k ranks. An item of several
    groups counts for each in equal parts; items without groups are left out.

    Args:
        rows: per user and target, from `Results.per_user`.
        k: number of ranks that count.
        catalogue: the items.
        groups: groups of every item, codes 0 .. G - 1.
        labels: name of each group, (G,).

    Returns:
        Columns ``value``, ``items`` (in the group), ``exposure``, ``catalogue`` and ``events``
        (shares that sum to 1), ``exposure_per_item`` and ``exposure_per_event``: exposure divided
        by the other two shares, above 1 for a favoured group, null for a group without items or
        events.
    """
    lists = rows.unique(list_keys(rows), keep="first", maintain_order=True)
    items_LK = lists["items"].to_numpy()[:, :k]
    shown = torch.from_numpy(items_LK[items_LK != NO_ITEM])
    num_items = len(catalogue.counts_V)
    weights = {
        "exposure": torch.bincount(shown, minlength=num_items),
        "catalogue": torch.ones(num_items),
        "events": catalogue.counts_V,
    }
    share = GroupExposure(k, catalogue, groups, len(labels)).of_counts
    frame = pl.DataFrame(
        {
            "value": list(labels),
            "items": torch.bincount(groups.codes, minlength=len(labels)).numpy(),
            **{name: share(of).numpy() for name, of in weights.items()},
        }
    )
    return frame.with_columns(
        pl.when(pl.col(base) > 0).then(pl.col("exposure") / pl.col(base)).alias(name)
        for base, name in (("catalogue", "exposure_per_item"), ("events", "exposure_per_event"))
    )
