"""LIGER: generated candidates and cold items, ranked by dense vectors (Yang et al., 2024).

Shapes: B users, T concatenated events of all users, S tokens of a history, V items, L levels, C
codes of a level, D width, E width of the item vectors, N targets, K list length.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import torch
from annotated_types import Ge, Gt
from torch import Tensor, nn
from torch.nn import functional as F

from recsys_lab.config import Limit, UserError
from recsys_lab.contracts import NO_ITEM, RankedLists, exclude_from
from recsys_lab.models.generative import t5_decoder
from recsys_lab.models.generative.base import code_losses, of_supervised_targets
from recsys_lab.models.generative.tiger import TIGER
from recsys_lab.models.ranking import top_k
from recsys_lab.models.sequential.layers import next_item_targets

if TYPE_CHECKING:
    from collections.abc import Mapping

    from recsys_lab.contracts import Batch, Exclude, SemanticIds, TrainingData


@dataclass(frozen=True)
class _Started:
    """What a decoding needs of a generator whose histories are encoded already."""

    model: TIGER
    cache: t5_decoder.DecoderCache

    def start(self, batch: Batch) -> t5_decoder.DecoderCache:
        """The cache of the encoded histories."""
        del batch
        return self.cache

    def step(
        self,
        cache: t5_decoder.DecoderCache,
        level: int,
        parents_BW: Tensor | None,
        codes_BW: Tensor | None,
    ) -> tuple[Tensor, t5_decoder.DecoderCache]:
        """That of the model."""
        return self.model.step(cache, level, parents_BW, codes_BW)


class LIGER(TIGER):
    """TIGER that also reads the item vectors, and ranks what it generates by them.

    The vectors that were quantised are added to the input, and a second head predicts that of the
    next item: the state of the history's last token is compared with all projected item vectors.
    The losses of both heads are added. A list is made of the generated items and all cold ones,
    those without training events, ranked by the second head; diagnostics are those of the
    generation. Candidates are ranked by the second head alone. Cold items are no negatives in
    training, so that they can be recommended from their vectors. Paper:
    https://arxiv.org/abs/2411.18814.

    Args:
        config: the options.
        num_items: catalogue size V.
    """

    reads_vectors = True

    @dataclass(frozen=True)
    class Config(TIGER.Config):
        """Options of `LIGER`, besides those of `TIGER`.

        Attributes:
            temperature: divides the cosines of the dense head.
            dense_weight: weight of its loss; that of the codes has 1.
            candidates: items generated for each user; at least the length of the list.
        """

        temperature: Annotated[float, Gt(0)]
        dense_weight: Annotated[float, Ge(0)]
        candidates: Annotated[
            int,
            Ge(1),
            Limit("<=", ("decoding.num_beams",), "use fewer, more beams, or decoding=exact"),
        ]

    config: Config
    vectors_VE: Tensor
    is_cold_V: Tensor

    def make_weights(self, ids: SemanticIds, data: TrainingData) -> None:
        """Make the weights of `TIGER` and the projections of the item vectors.

        Raises:
            UserError: the codes were not made from vectors, or there are too few beams.
        """
        if ids.vectors_VE is None:
            raise UserError(
                "model: LIGER reads the item vectors that its codes are made from, and these were "
                "made from none; use semantic_ids=residual_kmeans or another quantiser of vectors"
            )
        self._decoding.check_length(self.config.candidates)
        super().make_weights(ids, data)
        with torch.device("cpu"):  # also where a model is built to estimate its memory
            vectors_VE = torch.from_numpy(ids.vectors_VE)
            # Of variance 1, as the embeddings of codes are.
            vectors_VE = vectors_VE / vectors_VE.square().mean().sqrt().clamp(min=1e-12)
            is_cold_V = torch.from_numpy(data.training_item_counts() == 0)
        self.register_buffer("vectors_VE", vectors_VE, persistent=False)
        self.register_buffer("is_cold_V", is_cold_V, persistent=False)
        width, dim = vectors_VE.shape[1], self.config.hidden_dim
        self.project_inputs = nn.Linear(width, dim)
        self.project_items = nn.Linear(width, dim)
        self.project_states = nn.Linear(dim, dim)

    def item_tokens(self, items_T: Tensor) -> Tensor:
        """Input vectors of the codes of some items, each with its item's vector, (T, L, D)."""
        vectors_TD: Tensor = self.project_inputs(self.vectors_VE[items_T])
        return super().item_tokens(items_T) + vectors_TD.unsqueeze(1)

    def training_loss(self, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Mean over targets of the code losses and the weighted loss of the dense head."""
        history, _ = next_item_targets(batch)
        states_BSD, mask_BS = self._encode(history)
        targets_B = batch.items_T[batch.last_B]
        logits = self.target_logits(states_BSD, mask_BS, targets_B)
        scores_BV = self._cosines(states_BSD, mask_BS) / self.config.temperature
        targets_N, scores_NV, *logits = of_supervised_targets(batch, targets_B, scores_BV, *logits)
        loss, parts = code_losses(logits, self.codes_VL[targets_N].T)
        scores_NV = scores_NV.masked_fill(self.is_cold_V, -torch.inf)
        dense = F.cross_entropy(scores_NV, targets_N, reduction="sum") / max(1, len(targets_N))
        return loss + self.config.dense_weight * dense, {**parts, "loss_dense": dense}

    def recommend(self, batch: Batch, k: int, exclude: Exclude | None) -> RankedLists:
        """The k best of the generated and the cold items, by the dense head."""
        encoded = self.encoded(batch)
        started = _Started(self, t5_decoder.start(self.decoder, *encoded))
        generated = self._decoding.rank(started, batch, max(k, self.config.candidates), exclude)
        is_there_BK = generated.items_BK != NO_ITEM
        items_BK = generated.items_BK.clamp(min=0)
        ranked_BV = self.is_cold_V.repeat(batch.size, 1)
        rows_P, places_P = is_there_BK.nonzero(as_tuple=True)
        ranked_BV[rows_P, items_BK[rows_P, places_P]] = True
        lists = self._ranked(batch, encoded, ranked_BV, k, exclude)
        return RankedLists(lists.items_BK, lists.scores_BK, generated.diagnostics)

    def rank_candidates(self, batch: Batch, candidates: Exclude, k: int) -> RankedLists:
        """The k best of each user's candidates, by the dense head."""
        ranked_BV = torch.zeros_like(self.is_cold_V).repeat(batch.size, 1)
        exclude_from(ranked_BV, candidates, value=True)
        return self._ranked(batch, self.encoded(batch), ranked_BV, k, None)

    def _ranked(
        self,
        batch: Batch,
        encoded: tuple[Tensor, Tensor],
        ranked_BV: Tensor,
        k: int,
        exclude: Exclude | None,
    ) -> RankedLists:
        """The k best of the marked items, by the dense head."""
        scores_BV = self._cosines(*encoded).float()
        return top_k(scores_BV.masked_fill(~ranked_BV, -torch.inf), k, exclude, batch.users_B)

    def _cosines(self, states_BSD: Tensor, mask_BS: Tensor) -> Tensor:
        """Cosines of the predicted vectors and those of all items, (B, V)."""
        last_B = mask_BS.sum(1) - 1
        rows_B = torch.arange(len(last_B), device=last_B.device)
        states_BD = F.normalize(self.project_states(states_BSD[rows_B, last_B]), dim=1)
        return states_BD @ F.normalize(self.project_items(self.vectors_VE), dim=1).T
