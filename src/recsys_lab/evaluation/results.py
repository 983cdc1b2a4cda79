"""Results of a phase: means and per-user rows of ranked lists, gathered from all processes.

Shapes: B users of a batch, K list length, G targets, U distinct users.
"""

from __future__ import annotations

from math import isinf, isnan
from typing import TYPE_CHECKING

import polars as pl
import torch
from torch import Tensor
from torchmetrics.utilities import dim_zero_cat

from recsys_lab.config import UserError
from recsys_lab.contracts import LIST, LISTS_APART, RankedLists
from recsys_lab.evaluation.metrics.accuracy import PerUserMetric, hits_of
from recsys_lab.evaluation.metrics.registry import make_metrics
from recsys_lab.evaluation.metrics.user_mean import (
    ByUser,
    UserMean,
    by_user_then_number,
    first_of_each,
    users_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from recsys_lab.config import Chosen
    from recsys_lab.contracts import EvaluationBatch, Exclude
    from recsys_lab.evaluation.metrics.user_mean import BeyondMetric


class Results:
    """Collects the ranked lists of one phase.

    Under torch.distributed each process collects its own users; all processes must call `compute`
    and `per_user`, which return the same on each.

    Args:
        metrics: see `recsys_lab.evaluation.metrics.names.ACCURACY`.
        ks: list lengths.
        max_k: ranks stored per user.
        beyond: metrics beyond accuracy, by name, e.g. ``coverage@10``.
        num_items: V; for metrics of whole lists.
        over_lists: whether metrics are means over all lists: see
            `recsys_lab.evaluation.metrics.user_mean`.
        diagnostics: names of the numbers that the model's lists have: see `Traits.diagnostics`.

    Attributes:
        metrics: hit metrics by name, e.g. ``ndcg@10``.
        others: accuracy metrics that need whole lists (``auc``) or target values (``value@10``).
        beyond: metrics beyond accuracy.
    """

    def __init__(
        self,
        metrics: Sequence[Chosen],
        ks: Sequence[int],
        max_k: int,
        beyond: Mapping[str, BeyondMetric] | None = None,
        num_items: int = 1,
        *,
        over_lists: bool = False,
        diagnostics: Sequence[str] = (),
    ) -> None:
        made = make_metrics(metrics, ks, num_items)
        self.metrics = {
            n: metric for n, metric in made.items() if isinstance(metric, PerUserMetric)
        }
        self.others = {n: metric for n, metric in made.items() if n not in self.metrics}
        self.beyond = dict(beyond or {})
        self._length = max_k
        self._diagnostics = {name: ListDiagnostic(name) for name in diagnostics}
        means = (self.metrics, self.others, self.beyond, self._diagnostics)
        for metric in (metric for group in means for metric in group.values()):
            if isinstance(metric, UserMean):
                metric.over_lists = over_lists
        self._rows = TargetRows(max_k)

    def update(
        self,
        batch: EvaluationBatch,
        ranked: RankedLists,
        keep_lists: bool = False,
        exclude: Exclude | None = None,
    ) -> None:
        """Add the lists of B users.

        Args:
            batch: the users and their targets.
            ranked: their lists; whole lists if a metric needs them.
            keep_lists: also store per-user rows for `per_user`.
            exclude: the pairs that are not candidates.
        """
        for metric in self.others.values():
            metric.update(batch, ranked, exclude)
        for of_lists in self._diagnostics.values():
            of_lists.update(batch, ranked)
        first = slice(self._length)
        ranked = RankedLists(ranked.items_BK[:, first], ranked.scores_BK[:, first])
        hits_BK, num_targets_B = hits_of(ranked.items_BK, batch.target_rows, batch.target_items)
        for of_hits in self.metrics.values():
            of_hits.update(batch.lists_B, hits_BK, num_targets_B)
        for other in self.beyond.values():
            other.update(batch, ranked)
        if keep_lists:
            self._rows.update(batch, ranked)

    def higher_is_better(self, name: str) -> bool:
        """The direction of an accuracy metric such as ``ndcg@10``."""
        return bool((self.metrics | self.others)[name].higher_is_better)

    def compute(self) -> dict[str, float]:
        """Means over users, keyed ``"ndcg@10"`` and so on; without those undefined for all users.

        Raises:
            UserError: a mean is infinite.
        """
        metrics = {**self.metrics, **self.others, **self.beyond}
        values = {name: float(metric.compute()) for name, metric in metrics.items()}
        infinite = [name for name, value in values.items() if isinf(value)]
        if infinite:
            raise UserError(
                f"evaluation: the mean of {infinite[0]} over users is infinite; fix the class, or "
                "leave the metric out"
            )
        return {name: value for name, value in values.items() if not isnan(value)}

    def diagnostics(self) -> dict[str, float]:
        """Means over users of the numbers about how the lists were computed."""
        return {name: float(mean.compute()) for name, mean in self._diagnostics.items()}

    def per_user(self) -> pl.DataFrame:
        """One row per user, list and target, in this order.

        Columns: ``user`` (index), `LIST` (index of the list among the user's, if users have
        several), ``target`` (item index), ``rank`` (from 1; null if the target is not in the list),
        ``items`` (the list), and a column per metric with per-user values (NaN where undefined).
        """
        lists_G, rows_G = self._rows.gathered()
        users_G, numbers_G = users_of(lists_G), lists_G // LISTS_APART
        target_G, rank_G, items_GK = rows_G[:, 1], rows_G[:, 2], rows_G[:, 3:]
        columns = [
            pl.Series("user", users_G.cpu().numpy()),
            *([pl.Series(LIST, numbers_G.cpu().numpy(), pl.Int32)] if numbers_G.any() else []),
            pl.Series("target", target_G.cpu().numpy()),
            pl.Series("rank", rank_G.cpu().numpy()).replace(0, None),
            pl.Series("items", items_GK.cpu().numpy(), pl.Array(pl.Int32, items_GK.shape[1])),
        ]
        for name, metric in {**self.metrics, **self.others, **self.beyond}.items():
            if not (isinstance(metric, UserMean) and metric.is_of_users):
                continue
            users_U, values_U = metric.by_user()
            of_row = values_U[torch.searchsorted(users_U, users_G)]
            columns.append(pl.Series(name, of_row.cpu().numpy()))
        return pl.DataFrame(columns)


class ListDiagnostic(UserMean):
    """Mean of a number in `RankedLists.diagnostics`.

    Args:
        name: its name.
    """

    def __init__(self, name: str) -> None:
        super().__init__(k=1)
        self.name = name

    def update(self, batch: EvaluationBatch, ranked: RankedLists) -> None:
        """Add the numbers of B lists."""
        self.add(batch.lists_B, ranked.diagnostics[self.name])


class TargetRows(ByUser):
    """A row per list and target: index among the user's targets, item, rank, the list.

    Args:
        max_k: ranks stored.
    """

    def __init__(self, max_k: int) -> None:
        super().__init__(3 + max_k, torch.int32)

    def update(self, batch: EvaluationBatch, ranked: RankedLists) -> None:
        """Add the lists of B users."""
        rows_G = batch.target_rows
        items_GK = ranked.items_BK[rows_G]
        match_GK = items_GK == batch.target_items.unsqueeze(1)
        rank_G = torch.where(match_GK.any(1), match_GK.int().argmax(1) + 1, 0)
        before_B = torch.bincount(rows_G, minlength=batch.history.size).cumsum(0).roll(1)
        before_B[:1] = 0
        number_G = torch.arange(len(rows_G), device=rows_G.device) - before_B[rows_G]
        heads_G3 = torch.stack([number_G, batch.target_items, rank_G], 1)
        self.add(batch.lists_B[rows_G], torch.cat([heads_G3, items_GK], 1))

    def distinct(self) -> tuple[Tensor, Tensor]:
        """Every target of every list once, sorted by user, list and target."""
        self._fill()
        lists, rows = dim_zero_cat(self.lists), dim_zero_cat(self.rows)
        most = int(rows[:, 0].max()) + 1 if len(rows) else 1
        list_index = by_user_then_number(lists).unique(return_inverse=True)[1]
        at = first_of_each(list_index * most + rows[:, 0])
        return lists[at], rows[at]

    def compute(self) -> Tensor:
        """The rows, int32 (G, 3 + K)."""
        return self.distinct()[1]
