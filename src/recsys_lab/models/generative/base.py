"""Base class of models that generate the codes of the next item.

Shapes: B users, T events, V items, L levels, C codes of a level, W beams of a user, K list length.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recsys_lab.contracts import NO_ITEM, send
from recsys_lab.models.ranking import fit_length, in_order

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from recsys_lab.contracts import (
        Batch,
        Decoding,
        Exclude,
        RankedLists,
        SemanticIds,
        TrainingData,
    )

_MEMORY = 1 << 30  # bytes of a batch's decoding


class CodeGenerator(nn.Module):
    """Generates the codes of the next item one level after the other.

    Its score of an item is the sum of the log-probabilities of its codes, each given the history
    and the codes before it; at each level the probabilities of all C codes sum to 1, whether or not
    a code leads to an item.

    Further attributes that a model may set are in `recsys_lab.contracts.Traits`.

    Attributes:
        window: most recent events that are read.
        num_codes: C of each level; set by `read_semantic_ids`.
        codes_VL: codes of all items, int64; a buffer that is not stored with the weights.
        values_per_beam: numbers that `step` keeps or computes for a beam, without its logits; set
            by the model in `make_weights`.
        by_user_index: names of parameters whose rows are chosen by the index of a user, which means
            another user in other data.
        diagnostics: those of the decoding, unless the class states some.
        users_at_once: unless the class states a number, that of users whose decoding needs at most
            1 GiB, estimated as eight numbers for each code and ``values_per_beam`` for each of the
            decoding's beams.
    """

    window: int
    num_codes: tuple[int, ...] = ()
    codes_VL: Tensor
    values_per_beam = 0
    by_user_index: tuple[str, ...] = ()
    diagnostics: Sequence[str] = ()
    users_at_once: int | None = None

    def read_semantic_ids(self, ids: SemanticIds, data: TrainingData, decoding: Decoding) -> None:
        """Receive the codes, and make the weights: see `UsesSemanticIds`."""
        self.num_codes = ids.num_codes
        # Not on the meta device, where a model is built to estimate its memory.
        self.register_buffer("codes_VL", ids.codes_VL, persistent=False)
        self._decoding = decoding
        self.make_weights(ids, data)
        self.diagnostics = self.diagnostics or decoding.diagnostics
        if self.users_at_once is None:
            per_beam = 8 * max(ids.num_codes) + self.values_per_beam
            self.users_at_once = max(1, _MEMORY // (4 * per_beam * decoding.width))

    @abstractmethod
    def make_weights(self, ids: SemanticIds, data: TrainingData) -> None:
        """Make the layers, whose sizes depend on the codes."""

    @abstractmethod
    def training_loss(self, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        """The mean over targets of the sum of a target's code losses: see `MakesLoss`."""

    @abstractmethod
    def start(self, batch: Batch) -> Any:
        """Encode the histories once; returns a cache for `step`."""

    @abstractmethod
    def step(
        self, cache: Any, level: int, parents_BW: Tensor | None, codes_BW: Tensor | None
    ) -> tuple[Tensor, Any]:
        """Logits of the codes of a level, for W beams of each user at once.

        Args:
            cache: from `start`, or from the step of the level before; not changed.
            level: from 0.
            parents_BW: for each beam, the index of the beam of the level before that it extends,
                int64 in ``0 .. W' - 1``; None at level 0, which has one beam, the empty prefix.
            codes_BW: its code at the level before, int64; None at level 0.

        Returns:
            Logits, (B, W, C) with C of this level, W = 1 at level 0; and the cache for the next.
        """

    def recommend(self, batch: Batch, k: int, exclude: Exclude | None) -> RankedLists:
        """The k items with the highest scores that the decoding finds."""
        return self._decoding.rank(self, batch, k, exclude)

    def rank_candidates(self, batch: Batch, candidates: Exclude, k: int) -> RankedLists:
        """The k best of each user's candidates: see `RanksCandidates`.

        Scores are exact. As many candidates of a user are scored at a time as the decoding has
        beams, which bounds the memory; prefixes that these share are computed once.
        """
        rows_P, items_P = candidates
        counts_B = rows_P.bincount(minlength=batch.size)
        rank_P = torch.arange(len(rows_P), device=rows_P.device)
        rank_P = rank_P - (counts_B.cumsum(0) - counts_B)[rows_P]  # among the user's
        most = int(counts_B.max()) if len(rows_P) else 0
        items_BN = torch.full((batch.size, most), NO_ITEM, device=rows_P.device)
        items_BN[rows_P, rank_P] = items_P
        start = self.start(batch)
        parts = [
            self._scores(start, part_BN)
            for part_BN in (items_BN.split(self._decoding.width, 1) if most else ())
        ]
        scores_BN = torch.cat([torch.zeros(batch.size, 0, device=rows_P.device), *parts], 1)
        return fit_length(in_order(items_BN, scores_BN, batch.users_B), k)

    def _scores(self, cache: Any, items_BN: Tensor) -> Tensor:
        """Log-probability of the codes of some items of each user, (B, N)."""
        codes_BNL = self.codes_VL[items_BN.clamp(min=0)]
        scores_BN = torch.zeros(items_BN.shape, device=items_BN.device)
        place_BN = torch.zeros_like(items_BN)  # of an item's prefix among the user's distinct ones
        parents_BW, codes_BW = None, None
        for level, codes_BN in enumerate(codes_BNL.unbind(2)):
            logits_BWC, cache = self.step(cache, level, parents_BW, codes_BW)
            log_BWC = logits_BWC.float().log_softmax(-1)
            num_codes = log_BWC.shape[2]
            index_BN = place_BN * num_codes + codes_BN
            scores_BN = scores_BN + log_BWC.flatten(1).gather(1, index_BN)
            ordered_BN, order_BN = index_BN.sort(1)
            is_new_BN = ordered_BN.diff(dim=1, prepend=ordered_BN[:, :1]) != 0
            ranks_BN = is_new_BN.cumsum(1)
            place_BN = torch.zeros_like(ranks_BN).scatter_(1, order_BN, ranks_BN)
            index_BW = torch.zeros_like(index_BN[:, : int(ranks_BN.max()) + 1])
            index_BW.scatter_(1, place_BN, index_BN)
            parents_BW, codes_BW = index_BW // num_codes, index_BW % num_codes
        return scores_BN


def of_supervised_targets(batch: Batch, *rows: Tensor) -> list[Tensor]:
    """The rows (B, ...) of the histories whose last event may be a target, (N, ...) each."""
    if batch.supervised_T is None:
        return list(rows)
    starts_B, lengths_B = batch.ranges_on_host
    keep_B = batch.supervised_T[starts_B + lengths_B - 1]
    keep_N = send(keep_B.nonzero().squeeze(1), batch.items_T.device)
    return [x_B[keep_N] for x_B in rows]


def code_losses(logits: Sequence[Tensor], codes_LN: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Mean over N targets of the sum of code losses; the parts are ``loss_level_0`` and so on.

    0 with zero gradients if there is no target.

    Args:
        logits: for each level, (N, C).
        codes_LN: the targets' codes.
    """
    targets = max(1, codes_LN.shape[1])
    parts = {
        f"loss_level_{level}": F.cross_entropy(logits_NC, codes_N, reduction="sum") / targets
        for level, (logits_NC, codes_N) in enumerate(zip(logits, codes_LN, strict=True))
    }
    return torch.stack(list(parts.values())).sum(), parts
