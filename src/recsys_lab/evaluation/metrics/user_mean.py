"""Means over users, exact under any number of processes.

Shapes: B rows of a batch, L distinct lists, U distinct users, C numbers of a list.

Values travel with the id of their list, and one met twice (a padded distributed sampler) counts
once; the sum of the others is exact, so that the number of processes or threads and the size of
batches change nothing.

A user may have several lists (``split.target: successive``). **A user's value is then the mean of
those of their lists, and the metric the mean over users**, so that each user counts the same. Of
totals and of ratios of totals it is their sum (`UserMean.adds_lists`): what a user's lists come to
together. With ``evaluation.mean_over: lists`` each list counts the same, and a user's value is what
`mean_over_lists` says; a ratio is then one of sums over lists, and a total one of a list.
Either way users, whose lists are not independent, are the units of intervals and tests.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, distributed
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from recsys_lab.contracts import LISTS_APART
from recsys_lab.evaluation.sums import mean, mean_of_each, mean_over_lists, sum_of_each


def first_of_each(keys: Tensor) -> Tensor:
    """Where each distinct key stands first, in order of the keys, int64."""
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
    """Rows that belong to the lists of users, gathered from all processes.

    Args:
        width: numbers a list, where they are several.
        dtype: of the numbers.

    Attributes:
        is_of_users: whether a row is the metric of one user.
        lists: list id of every row, in parts, int64.
        rows: the numbers of every list, in parts, (B,) or (B, width).
    """

    is_differentiable = False
    full_state_update = False
    is_of_users = False
    lists: list[Tensor]
    rows: list[Tensor]

    def __init__(self, width: int | None = None, dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        self._shape = (0,) if width is None else (0, width)
        self._rows_dtype = dtype
        self.add_state("lists", default=[], dist_reduce_fx="cat")
        self.add_state("rows", default=[], dist_reduce_fx="cat")

    def add(self, lists_B: Tensor, rows_B: Tensor) -> None:
        """Keep the rows of some lists, by `EvaluationBatch.lists_B`."""
        self.lists.append(lists_B)
        self.rows.append(rows_B.to(self._rows_dtype))

    def sync(self, *arguments: Any, **options: Any) -> None:
        """Gather from all processes; one without users gives nothing, of the right type.

        In host memory, where all have room and meet, whatever device each ranks on.
        """
        self._fill()
        joined = distributed.is_available() and distributed.is_initialized()
        if joined and isinstance(self.lists, list):  # else they are gathered: refused below
            self.lists = [lists_B.cpu() for lists_B in self.lists]
            self.rows = [rows_B.cpu() for rows_B in self.rows]
        super().sync(*arguments, **options)

    def gathered(self) -> tuple[Tensor, Tensor]:
        """`distinct` of all processes."""
        with self.sync_context():
            return self.distinct()

    def distinct(self) -> tuple[Tensor, Tensor]:
        """Id of every distinct list held now, in order of users and numbers, and their rows."""
        self._fill()
        lists, rows = dim_zero_cat(self.lists), dim_zero_cat(self.rows)
        at = first_of_each(by_user_then_number(lists))
        return lists[at], rows[at]

    def _fill(self) -> None:
        # After a gathering the states are tensors, not lists.
        if isinstance(self.lists, list) and not self.lists:
            self.lists.append(torch.empty(0, dtype=torch.int64, device=self.device))
            empty = torch.empty(self._shape, dtype=self._rows_dtype, device=self.device)
            self.rows.append(empty)


class UserMean(ByUser):
    """A mean over users of a value that is computed from the first k places of their lists.

    Args:
        k: places that count, at least 1.
        width: numbers a list, where they are several.

    Attributes:
        over_lists: whether the mean is that over all lists.
        adds_lists: whether else a user's lists are added up, not averaged: the metric is a total of
            a user, or a ratio of totals.
        of_hits: whether it is 0 for a user without a hit, and else at most 1.
        by_rank: whether each hit adds 1 / k.

    Raises:
        ValueError: for a smaller k.
    """

    name: str
    is_of_users = True
    over_lists = False
    adds_lists = False
    of_hits = False
    by_rank = False

    def __init__(self, k: int, width: int | None = None) -> None:
        super().__init__(width)
        if k < 1:
            msg = f"k: got {k}; a ranking metric needs at least one place"
            raise ValueError(msg)
        self.k = k

    def by_user(self) -> tuple[Tensor, Tensor]:
        """Every distinct user of all processes, ascending, (U,), and their values.

        NaN for a user for whom the metric means nothing, on any list.
        """
        return self._of_users(*self.gathered())

    def compute(self) -> Tensor:
        """The mean over distinct users that have a value, float64; NaN when none has one.

        A user for whom the metric means nothing has the value NaN and is left out.
        """
        _, values_U = self._of_users(*self.distinct())
        known_U = values_U[~(values_U.isnan() if values_U.ndim == 1 else values_U.isnan().any(1))]
        means = mean(known_U) if known_U.ndim == 1 else [mean(column) for column in known_U.T]
        return torch.tensor(means, dtype=torch.float64)

    def _of_users(self, lists: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Users and what their lists' rows come to, (U,) or (U, width).

        A list of which one number is NaN is left out of all of them.
        """
        of_user = sum_of_each if self.adds_lists else mean_of_each
        of_each = mean_over_lists if self.over_lists else of_user
        of_list = users_of(lists)
        if rows.ndim == 1:
            return of_each(rows, of_list)
        rows = rows.masked_fill(rows.isnan().any(1, keepdim=True), torch.nan)
        columns = [of_each(column, of_list) for column in rows.T]
        return columns[0][0], torch.stack([values for _, values in columns], 1)
