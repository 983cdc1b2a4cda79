"""RPG: all codes of the next item at once (Hou et al., KDD 2025, https://arxiv.org/abs/2506.05781).

Shapes: B users, T events, V items, L levels, C codes of a level, S the codes of all levels, N
targets or candidates, D width, E neighbours of an item, W beams of a user, K list length.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Literal

import torch
from annotated_types import Ge, Gt, Lt
from torch import Tensor, nn
from torch.nn import functional as F

from recsys_lab.contracts import NO_ITEM, without_autocast
from recsys_lab.models.generative.base import CodeGenerator, code_losses
from recsys_lab.models.generative.stacks import BlockStack
from recsys_lab.models.ranking import fit_length, in_order, list_shortfall, top_k
from recsys_lab.models.sequential.architectures import Sizes
from recsys_lab.models.sequential.blocks import HasBlocks
from recsys_lab.models.sequential.layers import PaddedLayout, next_item_targets, target_events

if TYPE_CHECKING:
    from collections.abc import Mapping

    from recsys_lab.contracts import Batch, Exclude, RankedLists, SemanticIds, TrainingData

_ELEMENTS = 1 << 24  # similarities of item pairs at a time, which bounds the memory


class RPG(HasBlocks, CodeGenerator):
    """Predicts each code of the next item from the history alone, by a head of its own.

    An event is the mean (or sum) of the embeddings of its item's codes; a causal transformer reads
    the events; a code's logit is the cosine of its embedding and its head's state, divided by the
    temperature. The score of an item is the sum of the log-probabilities of its codes, for which
    no search is needed.

    ``decoding=exact`` scores all items. ``decoding=beam`` scores a part, as the paper: each user
    has ``num_beams`` items at a time, drawn at first (once, the same for all users); in each of
    ``num_steps`` steps they are replaced by the best of themselves and their ``num_edges`` most
    similar items. The similarity of two items is the sum over levels of the cosine of their codes'
    embeddings; the graph is made when lists are asked for and the embeddings have changed, at the
    cost of scoring all items for V users. Excluded items are never beams. With as many beams as
    items, all items are scored.

    Args:
        config: the options.
        num_items: catalogue size V.
    """

    @dataclass(frozen=True)
    class Config:
        """Options of `RPG`.

        Attributes:
            hidden_dim: width D, a multiple of num_heads.
            num_layers: number of transformer blocks.
            num_heads: attention heads.
            feedforward_dim: inner width of the feed-forward layers.
            max_length: most recent items that are read.
            pooling: an item's vector is the "mean" or the "sum" of its codes' embeddings.
            dropout: dropout rate of the embeddings and of each sub-layer's output.
            attention_dropout: dropout rate of the attention weights; above 0 the kernel is slower.
            temperature: divides the cosines.
            num_edges: E, neighbours of an item in the graph; read with decoding=beam.
            num_steps: steps of the search; read with decoding=beam.
            init_std: standard deviation of the normal initialisation; heads start as the identity.
        """

        hidden_dim: Annotated[int, Ge(1)]
        num_layers: Annotated[int, Ge(1)]
        num_heads: Annotated[int, Ge(1)]
        feedforward_dim: Annotated[int, Ge(1)]
        max_length: Annotated[int, Ge(1)]
        pooling: Literal["mean", "sum"]
        dropout: Annotated[float, Ge(0), Lt(1)]
        attention_dropout: Annotated[float, Ge(0), Lt(1)]
        temperature: Annotated[float, Gt(0)]
        num_edges: Annotated[int, Ge(1)]
        num_steps: Annotated[int, Ge(1)]
        init_std: Annotated[float, Gt(0)]

    diagnostics = ("list_shortfall",)
    """See `recsys_lab.models.ranking.list_shortfall`."""

    rows_VL: Tensor
    """Row of each item's codes among the S codes of all levels."""

    def __init__(self, config: Config, *, num_items: int) -> None:
        super().__init__()
        del num_items  # the codes are known later
        self.config = config
        self.window = config.max_length
        self._graph: tuple[Tensor, Tensor] | None = None  # of which embeddings, (V, E)

    @property
    def blocks(self) -> nn.ModuleList:  # type: ignore[override]
        """The layers."""
        return self.stack.blocks

    def make_weights(self, ids: SemanticIds, data: TrainingData) -> None:
        """Make the table of codes, the layers and the heads."""
        del data
        config = self.config
        firsts_L = torch.tensor([0, *ids.num_codes[:-1]], device=ids.codes_VL.device).cumsum(0)
        self.register_buffer("rows_VL", ids.codes_VL + firsts_L, persistent=False)
        self.codes = nn.EmbeddingBag(sum(ids.num_codes), config.hidden_dim, mode=config.pooling)
        sizes = Sizes(
            config.hidden_dim, config.num_layers, config.num_heads, config.feedforward_dim,
            config.max_length,
        )  # fmt: skip
        self.stack = BlockStack(sizes, config.dropout, config.attention_dropout)
        self.heads = _Heads(len(ids.num_codes), config.hidden_dim)
        self.init_weights(config.init_std)
        nn.init.normal_(self.codes.weight, std=config.init_std)

    def training_loss(self, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        """The mean over targets of the sum of a target's code losses, and the mean of each level.

        Each history must have 2 to ``max_length + 1`` events.
        """
        targets_N = target_events(batch)
        inputs, _ = next_item_targets(batch)
        # An input event for each event but the first of each history.
        before_N = targets_N - torch.searchsorted(batch.offsets, targets_N, right=True)
        logits = self._logits(self._states(inputs)[before_N])
        codes_LN = self.codes_VL[batch.items_T[targets_N]].T
        return code_losses(logits, codes_LN)

    def start(self, batch: Batch) -> list[Tensor]:
        """Logits of the codes of each level, L times (B, C)."""
        return self._logits(self._states(batch)[batch.last_B])

    def step(
        self,
        cache: list[Tensor],
        level: int,
        parents_BW: Tensor | None,
        codes_BW: Tensor | None,
    ) -> tuple[Tensor, list[Tensor]]:
        """Logits of the codes of a level, the same for all beams."""
        del codes_BW
        beams = 1 if parents_BW is None else parents_BW.shape[1]
        return cache[level].unsqueeze(1).expand(-1, beams, -1), cache

    def recommend(self, batch: Batch, k: int, exclude: Exclude | None) -> RankedLists:
        """The k items with the highest scores, of all or of those that the search visits."""
        log_BS = self._log_probabilities(self.start(batch))
        num_beams = self._decoding.num_beams
        if num_beams is None:
            log_SB = log_BS.T.contiguous()
            parts = [_sums(log_SB, rows_NL) for rows_NL in self.rows_VL.split(self._decoding.width)]
            lists = top_k(torch.cat(parts).T.contiguous(), k, exclude, batch.users_B)
        else:
            items_BW, scores_BW = self._search(log_BS, num_beams, exclude)
            lists = fit_length(in_order(items_BW, scores_BW, batch.users_B), k)
        shortfall_B = list_shortfall(lists.items_BK, len(self.rows_VL), exclude)
        return replace(lists, diagnostics={"list_shortfall": shortfall_B})

    def _scores(self, cache: list[Tensor], items_BN: Tensor) -> Tensor:
        """Scores of some items of each user, (B, N)."""
        return self._some(self._log_probabilities(cache), items_BN)

    def _some(self, log_BS: Tensor, items_BN: Tensor) -> Tensor:
        """The same from log-probabilities; summed in the order of `_sums`, so that they are equal.

        Those of `NO_ITEM` have no meaning.
        """
        rows_BNL = self.rows_VL[items_BN.clamp(min=0)]
        total_BN = log_BS.gather(1, rows_BNL[..., 0])
        for rows_BN in rows_BNL.unbind(2)[1:]:
            total_BN += log_BS.gather(1, rows_BN)
        return total_BN

    def _search(
        self, log_BS: Tensor, num_beams: int, exclude: Exclude | None
    ) -> tuple[Tensor, Tensor]:
        """The items of each user's beams after the last step and their scores, (B, W) both."""
        num_items, device = len(self.rows_VL), log_BS.device
        drawn_V = torch.randperm(
            num_items, generator=torch.Generator().manual_seed(0), device="cpu"
        )
        items_BN = drawn_V[:num_beams].to(device).expand(len(log_BS), -1)
        firsts_B1 = num_items * torch.arange(len(log_BS), device=device).unsqueeze(1)
        excluded_P = firsts_B1[:0, 0] if exclude is None else exclude[0] * num_items + exclude[1]
        steps = self.config.num_steps if num_beams < num_items else 0
        for step in range(steps + 1):
            items_BN = items_BN.sort(1).values
            scores_BN = self._some(log_BS, items_BN)
            again_BN = items_BN.diff(dim=1, prepend=items_BN[:, :1] - 1) == 0
            none_BN = again_BN | (items_BN == NO_ITEM)
            none_BN |= torch.isin(firsts_B1 + items_BN, excluded_P)
            scores_BN.masked_fill_(none_BN, -torch.inf)
            scores_BW, place_BW = scores_BN.topk(min(num_beams, scores_BN.shape[1]), dim=1)
            none_BW = scores_BW == -torch.inf
            items_BW = items_BN.gather(1, place_BW).masked_fill_(none_BW, NO_ITEM)
            if step < steps:
                near_BWE = self._neighbours()[items_BW.clamp(min=0)]
                near_BWE = near_BWE.masked_fill(none_BW.unsqueeze(2), NO_ITEM)
                items_BN = torch.cat([items_BW, near_BWE.flatten(1)], 1)
        return items_BW, scores_BW

    def _neighbours(self) -> Tensor:
        """The most similar items of each item, (V, E), without itself."""
        table_SD = F.normalize(self.codes.weight.detach(), dim=-1)
        if self._graph is not None and torch.equal(self._graph[0], table_SD):
            return self._graph[1]
        levels, num_items = table_SD.split(self.num_codes), len(self.rows_VL)
        edges, parts = min(self.config.num_edges, num_items - 1), []
        for items_N in torch.arange(num_items).split(max(1, _ELEMENTS // num_items)):
            codes_NL = self.codes_VL[items_N]
            similar = [t_CD @ t_CD[c_N].T for t_CD, c_N in zip(levels, codes_NL.T, strict=True)]
            total_VN = _sums(torch.cat(similar), self.rows_VL)
            total_VN[items_N, torch.arange(len(items_N))] = -torch.inf
            parts.append(total_VN.topk(edges, dim=0).indices.T)
        self._graph = table_SD, torch.cat(parts)
        return self._graph[1]

    def _states(self, batch: Batch) -> Tensor:
        """The state after each event, (T, D)."""
        x_TD = self.codes(self.rows_VL[batch.items_T])
        return self.stack(x_TD, PaddedLayout.of(batch.lengths, x_TD.device))  # type: ignore[no-any-return]

    def _logits(self, states_ND: Tensor) -> list[Tensor]:
        """For each level, (N, C), in float32: the temperature magnifies rounding errors."""
        heads_LND = self.heads(states_ND)
        with without_autocast(states_ND.device.type):
            aims_LND = F.normalize(heads_LND.float(), dim=-1) / self.config.temperature
            levels = F.normalize(self.codes.weight, dim=-1).split(self.num_codes)
            return [F.linear(aim_ND, t_CD) for aim_ND, t_CD in zip(aims_LND, levels, strict=True)]

    def _log_probabilities(self, logits: list[Tensor]) -> Tensor:
        """Of the codes of all levels, (B, S)."""
        return torch.cat([logits_BC.log_softmax(-1) for logits_BC in logits], 1)


class _Heads(nn.Module):
    """A residual layer for each level, the identity at first.

    Args:
        levels: L.
        width: D.
    """

    def __init__(self, levels: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(levels, width, width))
        self.bias = nn.Parameter(torch.zeros(levels, 1, width))

    def forward(self, x_ND: Tensor) -> Tensor:
        """(N, D) -> (L, N, D)."""
        x_LND = x_ND.expand(len(self.weight), -1, -1)
        return x_LND + F.silu(torch.baddbmm(self.bias, x_LND, self.weight))


def _sums(table_SN: Tensor, rows_VL: Tensor) -> Tensor:
    """The sum of the rows of a table at each item's codes, (V, N)."""
    first_V, *other = rows_VL.unbind(1)
    total_VN = table_SN[first_V]
    for rows_V in other:
        total_VN += table_SN[rows_V]
    return total_VN
