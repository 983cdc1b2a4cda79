"""An export as an object that recommends, on ONNX Runtime; it does not import torch.

Shapes: n histories, B histories of a batch, L events, S seen items, V items, K list length.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import polars as pl

from recsys_lab.config import UserError
from recsys_lab.data.given_histories import HistoryReader
from recsys_lab.deploy.export.folder import INT8, ITEMS, ONNX, USERS, read_manifest
from recsys_lab.deploy.export.session import PADDING, padded, session
from recsys_lab.files.reading import read_parquet

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from recsys_lab.config.commands import Verify
    from recsys_lab.data.given_histories import GivenHistories
    from recsys_lab.data.history_lists import Histories

_SCORES = 1 << 22
"""Scores computed at a time: beyond 16 MiB, ONNX Runtime takes new memory for every batch."""


@dataclass(frozen=True)
class ExportedLists:
    """Ranked lists with raw ids: see `recsys_lab.experiment.recommend.ranker.Recommendations`."""

    lists: pl.DataFrame
    num_unknown: int
    num_unranked: int


class IndexLists(NamedTuple):
    """The lists of some of the histories, as indices.

    Attributes:
        rows_B: index of each history among those given.
        items_BK: best first, padded with -1, int64.
        scores_BK: float32.
    """

    rows_B: NDArray[np.int64]
    items_BK: NDArray[np.int64]
    scores_BK: NDArray[np.float32]


class ExportedModel:
    """Ranks for histories with an exported folder, as the run that it was made from.

    It is stateless between calls, so threads may share it.

    Args:
        folder: written by ``recsys-lab export``.
        int8: use the graph with 8-bit weights, whose lists are not the lab's.
        threads: threads of a call; 0: as many as there are cores.
        verify: ``full`` compares the SHA-256 of every file, ``sizes`` only the lengths.

    Attributes:
        manifest: the content of ``manifest.json``.
        items: the item table, in the order of the indices: ``index``, ``item_id``, other columns.
        k: the longest list.
        read: encodes histories; the unknown items are counted in its result.

    Raises:
        UserError: it is not an export, damaged, or has no 8-bit graph.
    """

    def __init__(
        self, folder: Path | str, *, int8: bool = False, threads: int = 0, verify: Verify = "full"
    ) -> None:
        folder = Path(folder)
        self.manifest = read_manifest(folder, verify)
        if int8 and INT8 not in self.manifest["files"]:
            raise UserError(f"{folder}: has no {INT8}; export the run again with int8=true")
        self.items = read_parquet(folder / ITEMS, "; export the run again")
        self.k: int = self.manifest["k"]
        users = None
        if USERS in self.manifest["files"]:
            users = read_parquet(folder / USERS, "; export the run again")["user_id"]
        ids = _Ids(self.items["item_id"], users)
        self._num_users: int = self.manifest["num_users"]
        self._has_users = users is not None
        self.read = HistoryReader(
            ids,  # type: ignore[arg-type]  # only ids are read, without columns of features
            self.manifest["model"],
            (),
            reads_times=self.manifest["reads_times"],
        )
        self._session = session(folder / (INT8 if int8 else ONNX), threads)

    def recommend(
        self,
        histories: Histories,
        k: int = 10,
        *,
        exclude_seen: bool | None = None,
        candidates: Iterable[Any] | None = None,
        blocklist: Iterable[Any] | None = None,
    ) -> pl.DataFrame:
        """The k best items for each history: the frame of `Run.recommend`.

        Args:
            histories: lists of raw item ids, oldest first, or a frame of events: see
                `recsys_lab.data.given_histories.HistoryReader`. Unknown items are skipped.
            k: list length, at most that of the export.
            exclude_seen: leave out the items of the history; None: as in the run's evaluation.
            candidates: raw ids of the only items that may be in a list; None: all items.
            blocklist: raw ids of items that may not, e.g. those out of stock.

        Raises:
            UserError: k is too large, the histories have another form, or no candidate is in the
                catalogue.
            ValueError: a score is NaN or infinite.

        Warns:
            UserWarning: some items are not in the catalogue and were skipped, or some histories
                have no known item.
        """
        allowed_V, unknown = self.read.items.allowed(candidates, blocklist)
        left_out = None if allowed_V.all() else np.flatnonzero(~allowed_V)
        ranked = self.ranked(histories, k, exclude_seen=exclude_seen, left_out=left_out)
        told = {
            "ids of candidates or blocklist are not in the catalogue of the export": unknown,
            "events were skipped: their items are not in the catalogue of the export": (
                ranked.num_unknown
            ),
            "histories have no known item and got no recommendations": ranked.num_unranked,
        }
        for words, number in told.items():
            if number:
                warnings.warn(f"{number:,} {words}", stacklevel=2)
        return ranked.lists

    def ranked(
        self,
        histories: Histories,
        k: int = 10,
        *,
        exclude_seen: bool | None = None,
        left_out: NDArray[np.int64] | None = None,
    ) -> ExportedLists:
        """As `recommend`, with the numbers of unknown items and of histories without a list.

        Args:
            histories: see `recommend`.
            k: list length, at most that of the export.
            exclude_seen: leave out the items of the history; None: as in the run's evaluation.
            left_out: indices of items that no list has; None: there are none.
        """
        k = self.list_length(k)
        given = self.read(histories)
        parts = list(self.index_lists(given, k, exclude_seen=exclude_seen, left_out=left_out))
        rows_n = np.concatenate([np.empty(0, np.int64), *(part.rows_B for part in parts)])
        items_nK = np.concatenate([np.empty((0, k), np.int64), *(p.items_BK for p in parts)])
        scores_nK = np.concatenate([np.empty((0, k), np.float32), *(p.scores_BK for p in parts)])
        lists = self._frame(given.keys[rows_n], items_nK, scores_nK)
        return ExportedLists(lists, given.num_unknown, len(given.rows) - len(rows_n))

    def index_lists(
        self,
        given: GivenHistories,
        k: int,
        *,
        exclude_seen: bool | None = None,
        left_out: NDArray[np.int64] | None = None,
    ) -> Iterator[IndexLists]:
        """The k best items for encoded histories, a part of them at a time.

        Histories without a known item are left out if the model cannot rank for them.

        Args:
            given: of `read`.
            k: list length, at most that of the export and of the catalogue.
            exclude_seen: leave out the items of the history; None: as in the run's evaluation.
            left_out: indices of items that no list has; None: there are none.
        """
        is_ranked_n = np.asarray(given.lengths > 0) | self.manifest["ranks_empty"]
        rows_n = np.flatnonzero(is_ranked_n)
        size = max(1, _SCORES // len(self.items))
        for first in range(0, len(rows_n), size):
            rows_B = rows_n[first : first + size]
            items_BK, scores_BK = self._run(given, rows_B, left_out, exclude_seen=exclude_seen)
            yield IndexLists(rows_B, items_BK[:, :k], scores_BK[:, :k])

    def list_length(self, k: object) -> int:
        """The number of ranks of a list: k, or the size of the catalogue.

        Raises:
            UserError: k is not an int of at least 1, or longer than the graph's lists.
        """
        if not isinstance(k, int | np.integer) or isinstance(k, bool) or k < 1:
            raise UserError(f"k: got {k!r}, expected a list length, an int of at least 1")
        if k > self.k and self.k < len(self.items):
            raise UserError(
                f"k: got {k}, but the export has lists of {self.k} items; give at most {self.k}, "
                f"or export the run with k={k}"
            )
        return min(int(k), len(self.items))

    def _run(
        self,
        given: GivenHistories,
        rows_B: NDArray[np.int64],
        left_out: NDArray[np.int64] | None,
        *,
        exclude_seen: bool | None,
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        users_B, starts_B, ends_B, _ = given.rows[rows_B].T
        window = self.manifest["window"]
        begins_B = np.maximum(starts_B, ends_B - window)
        seen_BS = np.full((len(rows_B), 1), PADDING)
        # Exports of earlier versions do not say what the evaluation did.
        if self.manifest.get("exclude_seen", True) if exclude_seen is None else exclude_seen:
            seen_BS = padded(given.items, starts_B, ends_B, PADDING)
        if left_out is not None:  # no list has them, as if all had seen them
            of_all_BS = np.broadcast_to(left_out, (len(rows_B), len(left_out)))
            seen_BS = np.concatenate([seen_BS, of_all_BS], axis=1)
        inputs = {
            "items": padded(given.items, begins_B, ends_B, PADDING),
            "seen": seen_BS,
            "users": users_B if self._has_users else np.full(len(rows_B), self._num_users),
        }
        if self.manifest["reads_times"]:
            assert given.timestamps is not None, "checked by the reader"
            inputs["timestamps"] = padded(given.timestamps, begins_B, ends_B, 0)
        items_BK, scores_BK = self._session.run(None, inputs)
        if np.isnan(scores_BK).any():
            row = int(rows_B[np.isnan(scores_BK).any(1).argmax()])
            raise ValueError(
                f"a score of history {row} is NaN or infinite: its list cannot be ranked"
            )
        return items_BK, scores_BK

    def _frame(
        self, keys: pl.DataFrame, items_nK: NDArray[np.int64], scores_nK: NDArray[np.float32]
    ) -> pl.DataFrame:
        rows, columns = np.nonzero(items_nK != PADDING)
        return keys[rows].with_columns(
            rank=pl.Series(columns + 1, dtype=pl.Int32),
            item_id=self.items["item_id"].gather(items_nK[rows, columns]),
            score=pl.Series(scores_nK[rows, columns]),
        )


class _Ids:
    """The ids of a dataset, as `HistoryReader` reads them; an export without users has none."""

    features = None

    def __init__(self, items: pl.Series, users: pl.Series | None) -> None:
        self._of = {"item": items, "user": pl.Series([]) if users is None else users}
        self.num_users = len(self._of["user"])

    def raw_ids(self, side: str) -> pl.Series:
        """Raw ids of items or users, in the order of their indices."""
        return self._of[side]

    def item_ids(self) -> list[Any]:
        """Raw id of every item."""
        return self.raw_ids("item").to_list()

    def user_ids(self) -> list[Any]:
        """Raw id of every user."""
        return self.raw_ids("user").to_list()
