"""Base class of models that generate the codes of the next item.

Shapes: B users, T events, V items, L levels, C codes of a level, W beams of a user, K list length.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Mapping

    from recsys_lab.contracts import (
        Batch,
        Decoding,
        Exclude,
        RankedLists,
        SemanticIds,
        TrainingData,
    )


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
    """

    window: int
    num_codes: tuple[int, ...] = ()
    codes_VL: Tensor

    def read_semantic_ids(self, ids: SemanticIds, data: TrainingData, decoding: Decoding) -> None:
        """Receive the codes, and make the weights: see `UsesSemanticIds`."""
        self.num_codes = ids.num_codes
        # Not on the meta device, where a model is built to estimate its memory.
        self.register_buffer("codes_VL", ids.codes_VL, persistent=False)
        self._decoding = decoding
        self.make_weights(ids, data)

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
