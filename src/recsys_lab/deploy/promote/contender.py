"""A run that ranks for the holdout of a candidate, through raw ids.

The candidate and the champion are ranked by the same code from the same raw histories:

- Events whose item a model does not know are skipped, so its window reaches further back.
- The holdout's protocol decides which items are candidates. Items that only the model knows are
  never listed, as no target can be one of them; items that it does not know cannot be listed.
- A user without a known item gets an empty list, unless the model can rank for empty histories:
  every target is then a miss, as in production.

Shapes: B lists of a batch, K list length, V items of the holdout, S items of the model.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import torch

from recsys_lab.contracts import NO_ITEM, RankedLists, RanksCandidates, traits
from recsys_lab.data.batches import EvaluationBatches
from recsys_lab.data.given_histories import HistoryReader
from recsys_lab.evaluation.protocols.base import ranked_lists
from recsys_lab.experiment.recommend.ranker import HistoryRanker

if TYPE_CHECKING:
    from recsys_lab.contracts import EvaluationBatch, Exclude
    from recsys_lab.deploy.promote.holdout import Holdout
    from recsys_lab.experiment.components import Components

_PAIRS = 1 << 22  # excluded pairs of a batch: bounds memory


class NotFinite(Exception):
    """A weight or score of a model is not finite."""


class Contender:
    """A model with its own catalogue, which ranks for the holdout.

    Args:
        parts: components of a restored run.
        holdout: the users to rank for.

    Attributes:
        num_shared: number of the holdout's items that the model knows.
        num_unknown: events that were skipped because the model does not know their item.
        num_empty: lists without an item.

    Raises:
        NotFinite: a weight is not finite.
        UserError: the model cannot rank outside of the lab's own evaluation, or reads a column
            that the holdout lacks.
    """

    def __init__(self, parts: Components, holdout: Holdout) -> None:
        _refuse_not_finite(parts.model)
        self._parts, self._model, self._holdout = parts, parts.model, holdout
        self._name, stated = type(parts.model).__name__, traits(parts.model)
        self._ranker = HistoryRanker(parts)
        self._features, self._window = list(stated.features), stated.window
        self._read = HistoryReader(
            parts.data, self._name, self._features, reads_times=stated.reads_times
        )
        self._of_events = [name for name in self._features if name.startswith("event.")]
        own = pl.DataFrame({"item_id": parts.data.item_ids()}).cast(pl.String).with_row_index("own")
        joined = holdout.item_ids.to_frame().join(
            own, on="item_id", how="left", maintain_order="left"
        )
        own_V = joined["own"].cast(pl.Int64).fill_null(NO_ITEM).to_numpy()
        known = np.flatnonzero(own_V != NO_ITEM)
        theirs_S = np.full(len(own), NO_ITEM)
        theirs_S[own_V[known]] = known
        self._own_V, self._theirs_S = torch.from_numpy(own_V.copy()), torch.from_numpy(theirs_S)
        self._outside = torch.from_numpy(np.flatnonzero(theirs_S == NO_ITEM))
        self.num_shared = len(known)
        self.num_unknown = self.num_empty = 0
        self._ranks_empty: bool | None = None

    @property
    def users_at_once(self) -> int:
        """Number of lists of a batch that fit its memory."""
        return max(1, min(self._parts.users_at_once, _PAIRS // max(1, len(self._outside))))

    def rank(self, rows: slice, exclude: Exclude | None, size: int) -> RankedLists:
        """The lists of some rows of the holdout, with the holdout's items.

        Args:
            rows: of the test part.
            exclude: pairs of the batch that are not candidates, with the holdout's items.
            size: number of rows B.

        Raises:
            NotFinite: a score is not finite.
        """
        batch, kept_B = self._encoded(rows)
        length = self._holdout.protocol.max_k
        items_BK = torch.full((size, length), NO_ITEM)
        scores_BK = torch.full((size, length), -torch.inf)
        if batch is not None:
            lists = self._lists(batch, self._own_pairs(exclude, kept_B))
            items_bK, scores_bK = lists.items_BK.cpu(), lists.scores_BK.cpu().float()
            listed_bK = items_bK != NO_ITEM
            if not bool(scores_bK[listed_bK].isfinite().all()):
                raise NotFinite(f"{self._name} returned scores that are not finite")
            width = items_bK.shape[1]
            theirs_bK = torch.where(listed_bK, self._theirs_S[items_bK.clamp(min=0)], NO_ITEM)
            items_BK[kept_B, :width], scores_BK[kept_B, :width] = theirs_bK, scores_bK
        self.num_empty += int((items_BK[:, 0] == NO_ITEM).sum())
        return RankedLists(items_BK, scores_BK)

    def milliseconds(self, rows: slice, exclude: Exclude | None) -> float:
        """The time to rank for some rows once they are encoded."""
        batch, kept_B = self._encoded(rows)
        if batch is None:
            return 0.0
        pairs = self._own_pairs(exclude, kept_B)
        start = time.perf_counter()
        self._lists(batch, pairs).items_BK.cpu()  # waits for the device
        return 1000 * (time.perf_counter() - start)

    def _encoded(self, of: slice) -> tuple[EvaluationBatch | None, torch.Tensor]:
        """The histories that the model can rank for, and their rows of the batch."""
        events = self._holdout.events(of, self._of_events)
        given = self._read(events)
        self.num_unknown += given.num_unknown
        kept = given.lengths > 0
        if not kept.all() and self._can_rank_empty(events, ~kept):
            kept[:] = True
        rows = np.flatnonzero(kept)
        if not len(rows):
            return None, torch.from_numpy(rows)
        batches = EvaluationBatches(
            given,
            "test",
            batch_size=len(rows),
            window=self._window,
            exclude_seen=False,  # the protocol excludes the seen pairs
            features=self._features,
        )
        return batches.at(rows).to(self._parts.device), torch.from_numpy(rows)

    def _can_rank_empty(self, events: pl.DataFrame, is_empty: Any) -> bool:
        if self._ranks_empty is None:
            first = events["list"].unique(maintain_order=True)[int(np.flatnonzero(is_empty)[0])]
            alone = events.filter(pl.col("list") == first)
            self._ranks_empty = self._ranker.recommend(alone, 1).num_unranked == 0
        return self._ranks_empty

    def _own_pairs(self, exclude: Exclude | None, kept_B: torch.Tensor) -> Exclude:
        """Excluded pairs with the model's rows and items, and those of items outside."""
        size = len(kept_B)
        rows = torch.arange(size).repeat_interleave(len(self._outside))
        items = self._outside.repeat(size)
        if exclude is not None:
            last = int(exclude[0].max()) if len(exclude[0]) else 0
            row_B = torch.full((1 + max(last, int(kept_B.max())),), -1)
            row_B[kept_B] = torch.arange(size)
            own, at = self._own_V[exclude[1].cpu()], row_B[exclude[0].cpu()]
            known = (own != NO_ITEM) & (at >= 0)
            rows, items = torch.cat([at[known], rows]), torch.cat([own[known], items])
        return rows.to(self._parts.device), items.to(self._parts.device)

    def _lists(self, batch: EvaluationBatch, pairs: Exclude) -> RankedLists:
        number, protocol = len(self._theirs_S), self._holdout.protocol
        few = protocol.ranks_few and isinstance(self._model, RanksCandidates)
        try:
            with torch.inference_mode():
                return ranked_lists(
                    self._model, batch.history, min(protocol.max_k, number), pairs, number,
                    only_candidates=few,
                )  # fmt: skip
        except ValueError as error:
            if "NaN" in str(error):
                raise NotFinite(str(error)) from None
            raise


def _refuse_not_finite(model: Any) -> None:
    """Refuse a model with a weight that is NaN or infinite.

    Raises:
        NotFinite: names the weight.
    """
    if isinstance(model, torch.nn.Module):
        arrays = {name: tensor.detach() for name, tensor in model.named_parameters()}
        wrong = [name for name, tensor in arrays.items() if not bool(tensor.isfinite().all())]
    else:
        wrong = [
            name
            for name, array in model.arrays().items()
            if np.issubdtype(array.dtype, np.floating) and not np.isfinite(array).all()
        ]
    if wrong:
        raise NotFinite(f"the weights {wrong[0]} of {type(model).__name__} are not all finite")
