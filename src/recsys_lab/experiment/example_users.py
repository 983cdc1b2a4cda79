"""A few users with what they did, what they were shown and what they wanted, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from recsys_lab.contracts import NO_ITEM
from recsys_lab.evaluation.slices import last_lists

if TYPE_CHECKING:
    from recsys_lab.data.prepared import PreparedDataset

USERS, HISTORY, LIST = 20, 10, 10
HIT = "* "


def example_table(data: PreparedDataset, rows: pl.DataFrame, users: int = USERS) -> pl.DataFrame:
    """Some test users, spread evenly over all of them.

    Args:
        data: gives titles and histories.
        rows: per user and target, as stored in ``test_users.parquet``.
        users: how many.

    Returns:
        Columns ``user`` (raw id), ``history`` (titles of the latest `HISTORY` events, oldest
        first), ``targets`` and ``list`` (titles of the first `LIST` places, hits marked by `HIT`),
        as text.
    """
    titles = data.item_titles() or [str(item) for item in data.item_ids()]
    ids = data.user_ids()
    # Of several rows of a user the last stays, as of the lists.
    segments = {int(row[0]): row for row in np.asarray(data.segments("test"))}
    by_user = (
        last_lists(rows)
        .group_by("user", maintain_order=True)
        .agg("target", pl.col("items").first())
    )
    step = max(1, len(by_user) // users)
    found = []
    for row in by_user.gather_every(step).head(users).iter_rows(named=True):
        _, start, end, _ = segments[row["user"]]
        history = data.items[max(start, end - HISTORY) : end]
        wanted = set(row["target"])
        shown = [item for item in row["items"][:LIST] if item != NO_ITEM]
        found.append(
            {
                "user": str(ids[row["user"]]),
                "history": "; ".join(titles[item] for item in history),
                "targets": "; ".join(titles[item] for item in row["target"]),
                "list": "; ".join(f"{HIT if i in wanted else ''}{titles[i]}" for i in shown),
            }
        )
    return pl.DataFrame(found)
