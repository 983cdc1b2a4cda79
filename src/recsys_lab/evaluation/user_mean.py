"""Means over users, exact under any number of processes.

Shapes: B users of a batch, U distinct users, C numbers of a user.

Values travel with their user's index, and a user met twice (a padded distributed sampler) counts
once; the sum of the others is exact, so that the number of processes or threads and the size of
batches change nothing.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, distributed
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from recsys_lab.evaluation.sums import mean


def first_of_each(users: Tensor) -> Tensor:
    """Where each distinct user stands first, in user order, int64 (U,)."""
    order = users.argsort(stable=True)
    users = users[order]
    first = torch.ones_like(users, dtype=torch.bool)
    first[1:] = users[1:] != users[:-1]
    return order[first]


class ByUser(Metric):
    """Rows that belong to users, gathered from all processes.

    Args:
        width: numbers a user, where they are several.
        dtype: of the numbers.

    Attributes:
        is_of_users: whether a row is the metric of one user.
        users: user of every row, in parts, int64.
        rows: the numbers of every user, in parts, (B,) or (B, width).
    """

    is_differentiable = False
    full_state_update = False
    is_of_users = False
    users: list[Tensor]
    rows: list[Tensor]

    def __init__(self, width: int | None = None, dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        self._shape = (0,) if width is None else (0, width)
        self._rows_dtype = dtype
        self.add_state("users", default=[], dist_reduce_fx="cat")
        self.add_state("rows", default=[], dist_reduce_fx="cat")

    def add(self, users_B: Tensor, rows_B: Tensor) -> None:
        """Keep the rows of some users."""
        self.users.append(users_B)
        self.rows.append(rows_B.to(self._rows_dtype))

    def sync(self, *arguments: Any, **options: Any) -> None:
        """Gather from all processes; one without users gives nothing, of the right type.

        In host memory, where all have room and meet, whatever device each ranks on.
        """
        self._fill()
        joined = distributed.is_available() and distributed.is_initialized()
        if joined and isinstance(self.users, list):  # else they are gathered: refused below
            self.users = [users_B.cpu() for users_B in self.users]
            self.rows = [rows_B.cpu() for rows_B in self.rows]
        super().sync(*arguments, **options)

    def by_user(self) -> tuple[Tensor, Tensor]:
        """Every distinct user of all processes, ascending, (U,), and their rows."""
        with self.sync_context():
            return self.distinct()

    def distinct(self) -> tuple[Tensor, Tensor]:
        """`by_user` of what is held now; for `compute`, where all processes are gathered."""
        self._fill()
        users, rows = dim_zero_cat(self.users), dim_zero_cat(self.rows)
        at = first_of_each(users)
        return users[at], rows[at]

    def _fill(self) -> None:
        # After a gathering the states are tensors, not lists.
        if isinstance(self.users, list) and not self.users:
            self.users.append(torch.empty(0, dtype=torch.int64, device=self.device))
            empty = torch.empty(self._shape, dtype=self._rows_dtype, device=self.device)
            self.rows.append(empty)


class UserMean(ByUser):
    """A mean over users of a value that is computed from the first k places of their lists.

    Args:
        k: places that count, at least 1.
        width: numbers a user, where they are several.

    Attributes:
        of_hits: whether it is 0 for a user without a hit, and else at most 1.
        by_place: whether each hit adds 1 / k.

    Raises:
        ValueError: for a smaller k.
    """

    name: str
    is_of_users = True
    of_hits = False
    by_place = False

    def __init__(self, k: int, width: int | None = None) -> None:
        super().__init__(width)
        if k < 1:
            msg = f"k: got {k}; a ranking metric needs at least one place"
            raise ValueError(msg)
        self.k = k

    def compute(self) -> Tensor:
        """The mean over distinct users that have a value, float64; NaN when none has one.

        A user for whom the metric means nothing has the value NaN and is left out.
        """
        _, rows_U = self.distinct()
        has_value = ~(rows_U.isnan() if rows_U.ndim == 1 else rows_U.isnan().any(1))
        known_U = rows_U[has_value]
        means = mean(known_U) if known_U.ndim == 1 else [mean(column) for column in known_U.T]
        return torch.tensor(means, dtype=torch.float64)
