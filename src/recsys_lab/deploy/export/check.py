"""Compares the lists of an export with the lab's, for the same histories.

Shapes: n users, K list length.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from recsys_lab.config import UserError
from recsys_lab.contracts import NO_ITEM

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from recsys_lab.data.prepared import PreparedDataset

TOLERANCE = 1e-5
"""Largest difference of two scores of one item, as a share of the list's largest score or 1.

Products of float32 vectors have errors of about 1e-6: another library adds in another order. Items
whose scores differ by less than this may change places.
"""


@dataclass(frozen=True)
class Check:
    """Agreement of the lists.

    Attributes:
        users: number of lists.
        k: their length.
        identical: lists with the same items in the same order.
        near_ties: lists that differ only in the order of items whose scores are equal within the
            tolerance, or in which of these are the last ones.
        with_ties: lists of the lab with exactly equal scores.
        different: all other lists.
        tolerance: see `TOLERANCE`.
        largest_difference: of the scores at equal ranks, relative as the tolerance.
    """

    users: int
    k: int
    identical: int
    near_ties: int
    with_ties: int
    different: int
    tolerance: float
    largest_difference: float

    def as_dict(self) -> dict[str, Any]:
        """For the manifest."""
        return asdict(self)


def histories_of(data: PreparedDataset, number: int, *, named: bool) -> pl.DataFrame:
    """The whole histories of a fixed sample of users, as a frame of events.

    Args:
        data: the dataset.
        number: of users; all, if there are fewer.
        named: whether users have their ids; otherwise ids that the dataset does not have.
    """
    number = min(number, data.num_users)
    users_n = np.sort(np.random.default_rng(0).choice(data.num_users, number, replace=False))
    lengths_n = data.offsets[users_n + 1] - data.offsets[users_n]
    events_T = np.repeat(data.offsets[users_n] - (lengths_n.cumsum() - lengths_n), lengths_n)
    events_T = events_T + np.arange(len(events_T))
    names = pl.Series(data.user_ids() if named else [f"\0{user}" for user in range(data.num_users)])
    frame = pl.DataFrame(
        {
            "user_id": names.gather(np.repeat(users_n, lengths_n)),
            "item_id": pl.Series(data.item_ids()).gather(data.items[events_T]),
        }
    )
    if data.timestamps is not None:
        frame = frame.with_columns(timestamp=pl.Series(data.timestamps[events_T]))
    return frame


def compared(lab: pl.DataFrame, export: pl.DataFrame, k: int) -> Check:
    """Compare two frames of lists for the same users.

    Args:
        lab: of `recsys_lab.experiment.recommend.ranker.HistoryRanker`.
        export: of `recsys_lab.deploy.export.exported.ExportedModel`.
        k: length of the lists.
    """
    columns = ["user_id", "item_id"]
    names = {
        name: pl.concat([lab[name], export[name]]).unique(maintain_order=True) for name in columns
    }
    items_a, scores_a = _rectangle(lab, names, k)
    items_b, scores_b = _rectangle(export, names, k)
    scale_n1 = np.maximum(1, np.abs(scores_a).max(1, initial=0, where=items_a != NO_ITEM))[:, None]
    is_item = (items_a != NO_ITEM) & (items_b != NO_ITEM)
    apart = np.zeros_like(scores_a)
    np.subtract(scores_a, scores_b, out=apart, where=is_item)
    apart = np.abs(apart) / scale_n1
    is_same_n = (items_a == items_b).all(1)
    is_close_n = ((items_a == NO_ITEM) == (items_b == NO_ITEM)).all(1) & ~(apart > TOLERANCE).any(1)
    is_near_n = is_same_n.copy()
    for row in np.flatnonzero(is_close_n & ~is_same_n):
        kept, scale = is_item[row], scale_n1[row]
        one, two = (
            dict(zip(items[row, kept], scores[row, kept] / scale, strict=True))
            for items, scores in ((items_a, scores_a), (items_b, scores_b))
        )
        is_near_n[row] = _same_but_for_ties(one, two)
    is_equal = (scores_a[:, 1:] == scores_a[:, :-1]) & (items_a[:, 1:] != NO_ITEM)
    return Check(
        users=len(items_a),
        k=k,
        identical=int((is_same_n & is_close_n).sum()),
        near_ties=int((is_near_n & is_close_n & ~is_same_n).sum()),
        with_ties=int(is_equal.any(1).sum()),
        different=int((~(is_near_n & is_close_n)).sum()),
        tolerance=TOLERANCE,
        largest_difference=float(apart.max(initial=0)),
    )


def refuse_different(check: Check) -> None:
    """Check that all lists agree.

    Raises:
        UserError: some differ by more than the order of equal scores.
    """
    if check.different:
        raise UserError(
            f"the export's lists differ from the lab's for {check.different:,} of {check.users:,} "
            f"users (top {check.k}; scores differ by up to {check.largest_difference:.1e}, allowed "
            f"{check.tolerance:.0e}), so nothing was written; serve the run itself with "
            "recsys-lab serve, and please report the model"
        )


def agreement(lab: pl.DataFrame, other: pl.DataFrame, k: int) -> dict[str, float]:
    """How alike two frames of lists are, for a graph whose lists need not be identical.

    Returns:
        ``identical``: share of equal lists; ``overlap@k``: mean share of the lab's items that the
        other list has, for the whole length and for 10.
    """
    names = {
        name: pl.concat([lab[name], other[name]]).unique(maintain_order=True)
        for name in ("user_id", "item_id")
    }
    one, _ = _rectangle(lab, names, k)
    two, _ = _rectangle(other, names, k)
    shares = {"identical": float((one == two).all(1).mean()) if len(one) else 1.0}
    for cut in sorted({min(10, k), k}):
        a, b = one[:, :cut], two[:, :cut]
        is_item = a != NO_ITEM
        is_in_both = (a[:, :, None] == b[:, None, :]).any(2) & is_item
        shares[f"overlap@{cut}"] = float(is_in_both.sum() / max(1, is_item.sum()))
    return shares


def _rectangle(
    frame: pl.DataFrame, names: dict[str, pl.Series], k: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Items, as indices among the names, and scores, (n, K) each."""
    rows, values = (
        frame.select(name)
        .join(pl.DataFrame({name: ids}).with_row_index("number"), on=name, how="left",
              maintain_order="left")["number"]
        .to_numpy()
        for name, ids in names.items()
    )  # fmt: skip
    items_nK = np.full((len(names["user_id"]), k), NO_ITEM)
    scores_nK = np.full(items_nK.shape, -np.inf)
    ranks = frame["rank"].to_numpy() - 1
    items_nK[rows, ranks], scores_nK[rows, ranks] = values, frame["score"].to_numpy()
    return items_nK, scores_nK


def _same_but_for_ties(one: dict[int, float], two: dict[int, float]) -> bool:
    """Whether two lists, item -> score, agree but for items of equal scores.

    An item of both has the same score; one of only one list is as good as the last of that list.
    """
    ends = {True: min(one.values()), False: min(two.values())}
    return all(
        abs(one[item] - two[item]) <= TOLERANCE
        if item in one and item in two
        else (one.get(item, two.get(item, np.nan)) - ends[item in one]) <= TOLERANCE
        for item in {*one, *two}
    )
