"""Constrained beam search: only codes of items, for all users of a batch at once.

Shapes: B users, W beams of a user, C codes of a level, F largest number of children of a node,
K list length, P excluded pairs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import torch
from annotated_types import Ge

from recsys_lab.config import Limit, UserError
from recsys_lab.contracts import NO_ITEM, RankedLists
from recsys_lab.models.generative.decoding.trie import Trie
from recsys_lab.models.ranking import fit_length, in_order, list_shortfall, top_k

if TYPE_CHECKING:
    from torch import Tensor

    from recsys_lab.contracts import Batch, Exclude, SemanticIds
    from recsys_lab.models.generative.base import CodeGenerator
    from recsys_lab.models.generative.decoding.trie import Children


class BeamSearch:
    """Keeps the ``num_beams`` most probable prefixes of each user, level by level.

    A prefix is extended only by codes that lead to an item that is not excluded for the user, so
    that every beam ends in such an item. Probabilities are those of all C codes of a level, not
    renormalised over these. With as many beams as items, the lists equal those of
    `ExactDecoding`. Ties at the last kept beam are ordered by `recsys_lab.models.ranking.TIE_RULE`,
    with the place of the continuation, among those of the user in the order of their codes, as the
    item.

    Diagnostics of each list: ``invalid_beams``, the share of the continuations more probable than
    the last kept one that lead to no item of the catalogue, over all levels; ``list_shortfall``,
    see `recsys_lab.models.ranking.list_shortfall`: 0, unless the search is at fault.

    Args:
        config: the options.
    """

    diagnostics = ("invalid_beams", "list_shortfall")

    @dataclass(frozen=True)
    class Config:
        """Options of `BeamSearch`.

        Attributes:
            num_beams: W, prefixes kept for each user at each level; at least the length of the
                lists.
        """

        num_beams: Annotated[
            int,
            Ge(1),
            Limit(
                ">=",
                ("evaluation.max_k", "evaluation.ks", "evaluation.beyond_ks"),
                "use more beams, decoding=exact, or fewer ranks",
            ),
        ]

    def __init__(self, config: Config) -> None:
        self.config = config
        self._codes_VL = torch.empty(0, 0, dtype=torch.int64)
        self._trie: Trie | None = None

    def read_codes(self, ids: SemanticIds) -> None:
        """Receive the codes of the items."""
        self._codes_VL, self._trie = ids.codes_VL, None

    @property
    def width(self) -> int:
        """Beams of a user at once."""
        return min(self.config.num_beams, len(self._codes_VL))

    @property
    def num_beams(self) -> int:
        """Beams of a user."""
        return self.config.num_beams

    def check_length(self, k: int) -> None:
        """Check that there are beams enough for lists of ``k`` items.

        Raises:
            UserError: there are fewer, and fewer than items; before `read_codes`, the number of
                items is not known.
        """
        needed = min(k, len(self._codes_VL) or k)
        if self.config.num_beams < needed:
            raise UserError(
                f"decoding.num_beams: got {self.config.num_beams}, expected at least {needed}, "
                f"the number of ranks; use decoding.num_beams={needed}, decoding=exact, or fewer "
                "ranks: a smaller evaluation.max_k or k, and no metric of whole lists (auc)"
            )

    @torch.no_grad()
    def rank(
        self, model: CodeGenerator, batch: Batch, k: int, exclude: Exclude | None
    ) -> RankedLists:
        """The k best items that the search finds.

        Raises:
            UserError: there are fewer beams than ``k``: see `check_length`.
        """
        self.check_length(k)
        trie = self._trie_on(batch.items_T.device)
        beams = _Beams.roots(batch.users_B)
        cache, parents_BW, codes_BW = model.start(batch), None, None
        *dead, seen = trie.dead(exclude)
        for level, (children, dead_PP) in enumerate(zip(trie.levels, dead, strict=False)):
            logits_BWC, cache = model.step(cache, level, parents_BW, codes_BW)
            log_BWC = logits_BWC.float().log_softmax(-1)
            beams, parents_BW = beams.grown(log_BWC, children, dead_PP, self.config.num_beams)
            codes_BW = children.codes[beams.nodes_BW]
        items_BN, scores_BN = beams.items(trie.levels[-1], seen)
        lists = fit_length(in_order(items_BN, scores_BN, batch.users_B), k)
        shortfall_B = list_shortfall(lists.items_BK, len(self._codes_VL), seen)
        diagnostics = {"invalid_beams": beams.invalid_share(), "list_shortfall": shortfall_B}
        return RankedLists(lists.items_BK, lists.scores_BK, diagnostics)

    def _trie_on(self, device: torch.device) -> Trie:
        """Made on first use: codes may be read where there is no memory (the meta device)."""
        if self._trie is None or self._trie.levels[0].codes.device != device:
            self._trie = Trie.of(self._codes_VL.to(device))
        return self._trie


@dataclass(frozen=True)
class _Beams:
    """Beams of all users of a batch, in the order of their nodes.

    Attributes:
        users_B: user index of each row.
        nodes_BW: trie node of each beam; N, the number of nodes of the level, for none.
        scores_BW: log-probability of each beam, -inf for none.
        invalid_B: continuations so far that lead to no item, of those counted.
        counted_B: continuations so far more probable than the last kept one.
    """

    users_B: Tensor
    nodes_BW: Tensor
    scores_BW: Tensor
    invalid_B: Tensor
    counted_B: Tensor

    @staticmethod
    def roots(users_B: Tensor) -> _Beams:
        """The empty prefix of each user."""
        none_B = torch.zeros_like(users_B)
        return _Beams(users_B, none_B[:, None], none_B[:, None].float(), none_B, none_B)

    def grown(
        self, log_BWC: Tensor, children: Children, dead: Exclude, num_beams: int
    ) -> tuple[_Beams, Tensor]:
        """The most probable continuations, and the beam that each extends, (B, W) both.

        Args:
            log_BWC: log-probability of each code after each beam; overwritten.
            children: the trie's children of the beams' nodes.
            dead: (rows, children) that must not be continued to.
            num_beams: how many are kept.
        """
        totals_BWC = log_BWC.add_(self.scores_BW.unsqueeze(2))
        codes_BWF, limits_BWF = self.children(children)
        scores_BWF = totals_BWC.gather(2, codes_BWF)
        torch.minimum(scores_BWF, limits_BWF, out=scores_BWF)  # faster than a mask
        dead_PP = self.places(children, dead)
        dead_P = scores_BWF[dead_PP]
        scores_BWF[dead_PP] = -torch.inf
        scores_BN = scores_BWF.flatten(1)
        best = top_k(scores_BN, min(num_beams, scores_BN.shape[1]), None, self.users_B)
        none_BW, place_BW = best.items_BK == NO_ITEM, best.items_BK.clamp(min=0)
        parents_BW = place_BW // children.largest
        nodes_BW = children.starts[self.nodes_BW].gather(1, parents_BW)
        nodes_BW += place_BW % children.largest
        nodes_BW, order_BW = nodes_BW.masked_fill_(none_BW, children.size).sort(1)
        last_B = best.scores_BK.masked_fill(none_BW, torch.inf).amin(1)
        # All valid ones above the last are kept.
        valid_B = (best.scores_BK > last_B.unsqueeze(1)).sum(1)
        # In place, as this is the last use of the totals: a mask is slower to make and to sum.
        # Sums of float32 are exact to 2^24, more continuations of a user than fit the memory.
        counted_B = totals_BWC.flatten(1).gt_(last_B.unsqueeze(1)).sum(1).to(valid_B)
        valid_B.index_add_(0, dead_PP[0], (dead_P > last_B[dead_PP[0]]).to(valid_B))
        grown = _Beams(
            self.users_B,
            nodes_BW,
            best.scores_BK.gather(1, order_BW),
            self.invalid_B + counted_B - valid_B,
            self.counted_B + counted_B,
        )
        return grown, parents_BW.gather(1, order_BW)

    def children(self, children: Children) -> tuple[Tensor, Tensor]:
        """Codes of the children of each beam, and inf for these, -inf for none, (B, W, F) both."""
        starts_BW = children.starts[self.nodes_BW]
        fan_outs_BW = children.starts[self.nodes_BW + 1] - starts_BW
        windows = (children.codes, starts_BW), (children.limits, children.largest - fan_outs_BW)
        # Row n of the view has the elements n .. n + F - 1.
        codes_BWF, limits_BWF = (
            x.unfold(0, children.largest, 1).index_select(0, n_BW.flatten()).view(*n_BW.shape, -1)
            for x, n_BW in windows
        )
        return codes_BWF, limits_BWF

    def places(self, children: Children, pairs: Exclude) -> tuple[Tensor, Tensor, Tensor]:
        """Where (rows, children) are in the (B, W, F) children of the beams, if they are."""
        rows_P, nodes_P = pairs
        parents_P = children.parents[nodes_P]
        radix = len(children.starts)  # more than the largest node
        rows_B1 = torch.arange(len(self.nodes_BW), device=rows_P.device).unsqueeze(1)
        keys_N = (rows_B1 * radix + self.nodes_BW).flatten()  # ascending
        sought_P = rows_P * radix + parents_P
        index_P = torch.searchsorted(keys_N, sought_P).clamp(max=len(keys_N) - 1)
        found_P = keys_N[index_P] == sought_P
        slots_P = nodes_P - children.starts[parents_P]
        return rows_P[found_P], (index_P % self.nodes_BW.shape[1])[found_P], slots_P[found_P]

    def items(self, children: Children, seen: Exclude) -> tuple[Tensor, Tensor]:
        """The items of the beams and their scores, `NO_ITEM` and -inf for none or seen ones."""
        items_BWF, limits_BWF = self.children(children)
        scores_BWF = self.scores_BW.unsqueeze(2).minimum(limits_BWF)
        scores_BWF[self.places(children, seen)] = -torch.inf
        items_BWF.masked_fill_(scores_BWF == -torch.inf, NO_ITEM)
        return items_BWF.flatten(1), scores_BWF.flatten(1)

    def invalid_share(self) -> Tensor:
        """Share of the continuations counted that lead to no item, float32 (B,)."""
        return self.invalid_B / self.counted_B.clamp(min=1)
