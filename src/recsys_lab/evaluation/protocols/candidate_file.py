"""Candidates of each user from a file, as in some published benchmarks.

Shapes: B users, V items, P listed pairs.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import torch

from recsys_lab.config import UserError, first_line
from recsys_lab.evaluation.protocols.admissible import log_reachable
from recsys_lab.evaluation.protocols.base import RankingProtocol
from recsys_lab.evaluation.protocols.options import Options

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from recsys_lab.contracts import EvaluationBatch, Exclude
    from recsys_lab.evaluation.catalogue import RankedData

_log = logging.getLogger(__name__)
_COLUMNS = ("user_id", "item_id")


class CandidateFile(RankingProtocol):
    """Ranks only the items that a file lists for a user, in validation and test.

    Targets that are not candidates of their user cannot be hit; their share is logged.

    Args:
        config: the options.
    """

    ranks_few = True
    bytes_per_score = 21
    """A score, whether it is a candidate's, and the pair that excludes it."""

    @dataclass(frozen=True)
    class Config(Options):
        """Options of `CandidateFile`, in addition to those of `Options`.

        Attributes:
            path: Parquet or CSV file with columns ``user_id`` and ``item_id`` (raw ids), one row
                per candidate pair.
        """

        path: str | None

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._path = config.path
        self.num_items = 0
        self._items_P = self._offsets = torch.empty(0, dtype=torch.int64)

    def attach(self, data: RankedData) -> None:
        """Read the file.

        Raises:
            UserError: it cannot be read, or a user has no candidate.
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
                    f"evaluation.path={self._path}: {len(lacking):,} of {len(segments):,} {phase} "
                    f"users have no candidate, e.g. {data.user_ids()[lacking[0]]!r}; add items for "
                    "them"
                )
            keys_P = users_P * data.num_items + items_P
            is_listed = partial(_is_listed, segments[:, 0], keys_P, data.num_items)
            log_reachable(phase, data, segments, is_listed)

    def candidates(self) -> dict[str, Any]:
        """A hash of the candidate pairs."""
        digest = hashlib.sha256(self._offsets.numpy().astype("<i8").tobytes())
        digest.update(self._items_P.numpy().astype("<i8").tobytes())
        return {"candidates": "file", "candidates_sha256": digest.hexdigest()[:16]}

    def exclude(self, batch: EvaluationBatch) -> Exclude | None:
        """All pairs except those listed; also the seen pairs, if these are excluded."""
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
        raise UserError(f"evaluation.path={path}: got suffix {suffix!r}, expected .parquet or .csv")
    try:
        if suffix == ".parquet":
            return pl.read_parquet(path, columns=list(_COLUMNS))
        # As text, because 007 and 7 may be two ids; cast to the type of the prepared ids later.
        return pl.read_csv(path, columns=list(_COLUMNS), infer_schema=False)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise UserError(
            f"evaluation.path={path}: cannot be read as a table with columns user_id and item_id "
            f"({type(error).__name__}: {first_line(error)})"
        ) from None


def _known_pairs(table: pl.DataFrame, data: RankedData, path: str) -> pl.DataFrame:
    """Distinct (user, item) indices, sorted; warns of pairs of unknown users or items."""
    pairs = table.unique()
    number = len(pairs)
    for column, ids, name in zip(
        _COLUMNS, (data.user_ids(), data.item_ids()), ("user", "item"), strict=True
    ):
        known = pl.DataFrame({column: ids}).with_row_index(name)
        typed = pairs.with_columns(pl.col(column).cast(known.schema[column], strict=False))
        pairs = typed.join(known, on=column, how="inner")
    if len(pairs) < number:
        _log.warning(
            "evaluation.path=%s: %d of %d pairs have users or items that are not in the prepared "
            "data, and are left out",
            path,
            number - len(pairs),
            number,
        )
    return pairs.select(pl.col("user", "item").cast(pl.Int64)).sort("user", "item")
