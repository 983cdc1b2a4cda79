"""Means over users, independent of the number of processes.

Shapes: B rows of a batch, L distinct lists, U distinct users, C numbers per list.

Values are stored with their list id, so that a list that occurs twice (a padded distributed
sampler) counts once. Sums are exact, so that the number of processes or threads and the batch size
do not change results.

A user may have several lists (``split.target: successive``). **A user's value is then the mean over
the user's lists, and the metric the mean over users**, so that all users count equally. For totals
and ratios of totals a user's value is the sum over the lists (`UserMean.adds_lists`). With
``evaluation.mean_over: lists`` all lists count equally, and a user's value is that of
`mean_over_lists`; ratios are then ratios of sums over lists, and totals are per list. In both cases
users are the units of intervals and tests, because the lists of a user are not independent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, distributed
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from recsys_lab.contracts import LISTS_APART
from recsys_lab.evaluation.sums import mean, mean_of_each, mean_over_lists, sum_of_each

if TYPE_CHECKING:
    from recsys_lab.evaluation.catalogue import Catalogue


def first_of_each(keys: Tensor) -> Tensor:
    """Index of the first occurrence of each distinct key, in order of the keys, int64."""
    order = keys.argsort(stable=True)
    keys = keys[order]
    first = torch.ones_like(keys, dtype=torch.bool)
    first[1:] = keys[1:] != keys[:-1]
    return order[first]


def users_of(lists: Tensor) -> Tensor:
    """User of each list id, int64."""
    return lists % LISTS_APART


def by_user_then_number(lists: Tensor) -> Tensor:
    """Keys of list ids that sort by user, then number, int64."""
    return users_of(lists) * LISTS_APART + lists // LISTS_APART


class ByUser(Metric):
    """Rows of numbers by list, gathered from all processes.

    Args:
        width: numbers per list, if there are several.
        dtype: type of the numbers.

    Attributes:
        lists: list id of every row, in parts, int64.
        rows: the numbers of every list, in parts, (B,) or (B, width).
    """

    is_differentiable = False
    full_state_update = False
    lists: list[Tensor]
    rows: list[Tensor]

    def __init__(self, width: int | None = None, dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        self._shape = (0,) if width is None else (0, width)
        self._rows_dtype = dtype
        self.add_state("lists", default=[], dist_reduce_fx="cat")
        self.add_state("rows", default=[], dist_reduce_fx="cat")

    def add(self, lists_B: Tensor, rows_B: Tensor) -> None:
        """Add the rows of lists with ids `EvaluationBatch.lists_B`."""
        self.lists.append(lists_B)
        self.rows.append(rows_B.to(self._rows_dtype))

    def sync(self, *arguments: Any, **options: Any) -> None:
        """Gather from all processes; a process without users contributes an empty tensor.

        Gathers in host memory, whatever the devices of the processes.
        """
        self._fill()
        joined = distributed.is_available() and distributed.is_initialized()
        if joined and isinstance(self.lists, list):  # else already gathered: refused below
            self.lists = [lists_B.cpu() for lists_B in self.lists]
            self.rows = [rows_B.cpu() for rows_B in self.rows]
        super().sync(*arguments, **options)

    def gathered(self) -> tuple[Tensor, Tensor]:
        """`distinct`, over all processes."""
        with self.sync_context():
            return self.distinct()

    def distinct(self) -> tuple[Tensor, Tensor]:
        """Ids of the distinct lists of this process, sorted by user and number, and their rows."""
        self._fill()
        lists, rows = dim_zero_cat(self.lists), dim_zero_cat(self.rows)
        at = first_of_each(by_user_then_number(lists))
        return lists[at], rows[at]

    def _fill(self) -> None:
        # After gathering the states are tensors, not lists.
        if isinstance(self.lists, list) and not self.lists:
            self.lists.append(torch.empty(0, dtype=torch.int64, device=self.device))
            empty = torch.empty(self._shape, dtype=self._rows_dtype, device=self.device)
            self.rows.append(empty)


class ListsMetric(ByUser):
    """Base class of all metrics: a number computed from the first k ranks, called ``name@k``.

    Args:
        config: the options; None for a metric of the lab, which has none.
        k: ranks that count.
        width: numbers per list, if there are several.
        dtype: type of the numbers.

    Attributes:
        name: name without k, in records and tables.
        higher_is_better: the direction, for the choice of epochs, searches and comparisons.
        least_k: smallest k for which it is defined.
        has_k: whether it is computed from the first k ranks; else from whole lists: its k is V, and
            it is called ``name``, without k.
        is_of_users: whether it has per-user values, so that runs can be compared user by user.
        reads_targets: whether it reads all of the user's targets, so that it is not computed for
            slices of targets.
        reads_history: whether it needs the user's whole history in the batches.
        reads_values: whether it needs the values of targets in the batches.
        option: option of the evaluation with the item data that it reads, or None.

    Raises:
        ValueError: k is below 1.
    """

    @dataclass(frozen=True)
    class Config:
        """No options."""

    name = ""
    higher_is_better: bool | None = None
    least_k = 1
    has_k = True
    is_of_users = False
    reads_targets = False
    reads_history = False
    reads_values = False
    option: str | None = None

    def __init__(
        self,
        config: Any = None,
        *,
        k: int,
        width: int | None = None,
        dtype: torch.dtype = torch.float64,
    ) -> None:
        super().__init__(width, dtype)
        if k < 1:
            msg = f"k: got {k}, expected at least 1"
            raise ValueError(msg)
        self.config = config
        self.k = k


class AccuracyMetric(ListsMetric):
    """Base class of ``evaluation.metrics``: computed from lists and held-out targets."""


class BeyondMetric(ListsMetric):
    """Base class of ``evaluation.beyond_accuracy``: computed from the test lists and the items.

    Args:
        config: see `ListsMetric`.
        k: ranks that count.
        catalogue: the items.
        width: numbers per list, if there are several.
        dtype: type of the numbers.
    """

    def __init__(self, config: Any = None, *, catalogue: Catalogue, **shape: Any) -> None:
        super().__init__(config, **shape)
        self.catalogue = catalogue


class UserMean(ListsMetric):
    """Base class: a mean over users of a value computed from the first k ranks of their lists.

    Attributes:
        over_lists: whether it is a mean over all lists instead of users.
        adds_lists: whether the values of a user's lists are summed, not averaged: for totals per
            user and ratios of totals.
        of_hits: whether it is 0 for a user without hits, and at most 1.
        by_rank: whether each hit adds 1 / k.
    """

    is_of_users = True
    over_lists = False
    adds_lists = False
    of_hits = False
    by_rank = False

    def add(self, lists_B: Tensor, rows_B: Tensor) -> None:
        """Add the values of lists.

        Raises:
            ValueError: there is not exactly one value, or one row of values, per list.
        """
        expected = (len(lists_B), *self._shape[1:])
        if rows_B.shape != expected:
            raise ValueError(
                f"{self.name}: got values of shape {tuple(rows_B.shape)}, expected {expected}"
            )
        super().add(lists_B, rows_B)

    def by_user(self) -> tuple[Tensor, Tensor]:
        """The distinct users of all processes, ascending, (U,), and their values.

        NaN for a user whose value is undefined on all lists.
        """
        return self._of_users(*self.gathered())

    def compute(self) -> Tensor:
        """The mean over distinct users, without those whose value is NaN, float64; NaN if none."""
        _, values_U = self._of_users(*self.distinct())
        known_U = values_U[~(values_U.isnan() if values_U.ndim == 1 else values_U.isnan().any(1))]
        means = mean(known_U) if known_U.ndim == 1 else [mean(column) for column in known_U.T]
        return torch.tensor(means, dtype=torch.float64)

    def _of_users(self, lists: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Users and their values aggregated over their lists, (U,) or (U, width).

        A list with a NaN in any of its numbers is left out.
        """
        of_user = sum_of_each if self.adds_lists else mean_of_each
        of_each = mean_over_lists if self.over_lists else of_user
        of_list = users_of(lists)
        if rows.ndim == 1:
            return of_each(rows, of_list)
        rows = rows.masked_fill(rows.isnan().any(1, keepdim=True), torch.nan)
        columns = [of_each(column, of_list) for column in rows.T]
        return columns[0][0], torch.stack([values for _, values in columns], 1)
