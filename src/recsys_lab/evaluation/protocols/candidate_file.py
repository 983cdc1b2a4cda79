"""The candidates of each user are listed in a file, as in some published benchmarks.

Shapes: B users, V items, P listed pairs.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import polars as pl
import torch
from annotated_types import Ge, Gt, MinLen

from recsys_lab.config import UserError
from recsys_lab.evaluation.protocols.admissible import log_reachable
from recsys_lab.evaluation.protocols.base import RankingProtocol

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from recsys_lab.contracts import EvaluationBatch, Exclude
    from recsys_lab.evaluation.catalogue import RankedData

_log = logging.getLogger(__name__)
_COLUMNS = ("user_id", "item_id")
# Written out in each protocol: a config is checked without importing anything.
Place = Annotated[int, Ge(1)]
Accuracy = Literal[
    "ndcg", "hr", "recall", "precision", "map", "r_precision", "mrr", "auc", "gauc",
    "graded_ndcg", "value", "value_recall", "value_hr",
]  # fmt: skip
Beyond = Literal[
    "coverage", "gini", "entropy", "novelty", "popularity", "popularity_lift",
    "category_diversity", "embedding_diversity", "serendipity", "repeat_share", "calibration",
]  # fmt: skip


class CandidateFile(RankingProtocol):
    """Rank only the items that a file admits for a user, in validation and test alike.

    A target that is not among its user's candidates cannot be hit. How many these are is told.

    Args:
        config: the options.
    """

    bytes_per_score = 21
    """A score, whether it is a candidate's, and the pair that excludes it."""

    @dataclass(frozen=True)
    class Config:
        """Options; those of all protocols: `recsys_lab.evaluation.protocols.options.Options`.

        Attributes:
            path: Parquet or CSV file with columns ``user_id`` and ``item_id``, raw ids, one row for
                each admissible pair.
        """

        metrics: Annotated[list[Accuracy], MinLen(1)]
        ks: Annotated[list[Place], MinLen(1)]
        exclude_seen: bool
        max_k: Place
        score_mib: Place
        beyond_accuracy: list[Beyond]
        beyond_ks: Annotated[list[Place], MinLen(1)]
        category_feature: str | None
        embeddings_path: str | None
        mean_over: Literal["users", "lists"] = field(default="users", kw_only=True)
        path: str | None
        target_period: Literal["day", "week", "month"] | None = field(default=None, kw_only=True)
        value_feature: str | None = field(default=None, kw_only=True)
        missing_value: Annotated[float, Ge(0)] | None = field(default=None, kw_only=True)
        off_policy_reward: str | None = field(default=None, kw_only=True)
        off_policy_propensity: str | None = field(default=None, kw_only=True)
        off_policy_items: Annotated[int, Ge(1)] | None = field(default=None, kw_only=True)
        off_policy_where: str | None = field(default=None, kw_only=True)
        off_policy_clip: Annotated[float, Gt(0)] | None = field(default=None, kw_only=True)

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._path = config.path
        self.num_items = 0
        self._items_P = self._offsets = torch.empty(0, dtype=torch.int64)

    def attach(self, data: RankedData) -> None:
        """Read the file.

        Raises:
            UserError: it cannot be read, or a user to be ranked for has no candidate.
        """
        super().attach(data)
        pairs = _known_pairs(_read(self._path), data, str(self._path))
        users_P, items_P = pairs["user"].to_numpy(), pairs["item"].to_numpy()
        counts_U = np.bincount(users_P, minlength=data.num_users)
        self._items_P = torch.from_numpy(items_P.copy())
        self._offsets = torch.from_numpy(np.concatenate([[0], np.cumsum(counts_U)]))
        for phase in ("validation", "test"):
            segments = np.asarray(data.segments(phase))
            lacking = segments[counts_U[segments[:, 0]] == 0, 0]
            if len(lacking):
                raise UserError(
                    f"evaluation.path={self._path}: {len(lacking):,} of {len(segments):,} users "
                    f"of {phase} have no candidate, such as {data.user_ids()[lacking[0]]!r}; list "
                    "items for them"
                )
            keys_P = users_P * data.num_items + items_P
            is_listed = partial(_is_listed, segments[:, 0], keys_P, data.num_items)
            log_reachable(phase, data, segments, is_listed)

    def candidates(self) -> dict[str, Any]:
        """A hash of the admissible pairs."""
        digest = hashlib.sha256(self._offsets.numpy().astype("<i8").tobytes())
        digest.update(self._items_P.numpy().astype("<i8").tobytes())
        return {"candidates": "file", "candidates_sha256": digest.hexdigest()[:16]}

    def exclude(self, batch: EvaluationBatch) -> Exclude | None:
        """All pairs but those listed; the seen ones too, if these are filtered."""
        users_B = batch.history.users_B.cpu()
        starts_B, ends_B = self._offsets[users_B], self._offsets[users_B + 1]
        lengths_B = ends_B - starts_B
        rows = torch.repeat_interleave(torch.arange(len(users_B)), lengths_B)
        first_B = starts_B - (lengths_B.cumsum(0) - lengths_B)
        items = self._items_P[torch.arange(len(rows)) + first_B[rows]]
        out_BV = torch.ones(len(users_B), self.num_items, dtype=torch.bool)
        out_BV[rows, items] = False
        out_BV = out_BV.to(batch.seen_items.device)
        if self.config.exclude_seen:
            out_BV[batch.seen_rows, batch.seen_items] = True
        out_rows, out_items = out_BV.nonzero(as_tuple=True)
        return out_rows, out_items


def _is_listed(
    users_n: NDArray[np.int64],
    keys_P: NDArray[np.int64],
    num_items: int,
    rows_G: NDArray[np.int64],
    items_G: NDArray[np.int64],
) -> NDArray[np.bool_]:
    return np.isin(users_n[rows_G] * num_items + items_G, keys_P)


def _read(path: str | None) -> pl.DataFrame:
    """The two columns of the file."""
    if path is None:
        raise UserError(
            "evaluation.path: missing; name a Parquet or CSV file with columns user_id and "
            "item_id, e.g. evaluation.path=candidates.parquet"
        )
    suffix = Path(path).suffix
    if suffix not in (".parquet", ".csv"):
        raise UserError(
            f"evaluation.path={path}: the ending {suffix!r} is not read; allowed: .parquet, .csv"
        )
    try:
        if suffix == ".parquet":
            return pl.read_parquet(path, columns=list(_COLUMNS))
        # As text: 007 and 7 are two ids; they get the type of the prepared ids later.
        return pl.read_csv(path, columns=list(_COLUMNS), infer_schema=False)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise UserError(
            f"evaluation.path={path}: cannot be read as a table with columns user_id and item_id "
            f"({type(error).__name__}: {str(error).splitlines()[0]})"
        ) from None


def _known_pairs(table: pl.DataFrame, data: RankedData, path: str) -> pl.DataFrame:
    """Distinct (user, item) indices in their order; those of other users and items are counted."""
    found = table.unique()
    number = len(found)
    for column, ids, name in zip(
        _COLUMNS, (data.user_ids(), data.item_ids()), ("user", "item"), strict=True
    ):
        known = pl.DataFrame({column: ids}).with_row_index(name)
        typed = found.with_columns(pl.col(column).cast(known.schema[column], strict=False))
        found = typed.join(known, on=column, how="inner")
    if len(found) < number:
        _log.warning(
            "evaluation.path=%s: %d of %d pairs are of users or items that the prepared data do "
            "not hold, and are left out",
            path, number - len(found), number,
        )  # fmt: skip
    return found.select(pl.col("user", "item").cast(pl.Int64)).sort("user", "item")
