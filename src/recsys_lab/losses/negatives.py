"""Negative items: how they are drawn, and their scores.

Shapes: N supervised positions, K negatives, D width, V items.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch.nn import functional as F

from recsys_lab.losses.gathered_scores import gathered_scores, gathering_pays

if TYPE_CHECKING:
    from torch import Tensor

Sampling = Literal["uniform", "popularity", "in_batch", "mixed"]
"""``uniform`` over the catalogue; by training ``popularity`` to a power; the targets of other
positions (``in_batch``); ``mixed``: half uniform, half in the batch (Yang et al., 2020,
https://doi.org/10.1145/3366424.3386195)."""


@dataclass(frozen=True)
class Negatives:
    """Negatives drawn for the positions of a step, with replacement.

    Attributes:
        items: item indices, int64: (K,) shared by all positions, or (N, K).
        log_expected: log of the expected number of times that each is drawn, like ``items``.
    """

    items: Tensor
    log_expected: Tensor


class NegativeSampler:
    """Draws negatives; a position's own target may be among them and is masked by `scores`.

    From the batch an item is drawn as often as it is a target (see `read_targets`), which is not as
    often as it occurs: first events are none, nor what lies outside the window that is trained on.
    Batches are taken for alike in their number of positions.

    Args:
        sampling: the distribution.
        number: K.
        shared: one set for all positions of a step, or one set for each.
        alpha: the power of popularity.
    """

    def __init__(self, sampling: Sampling, number: int, *, shared: bool, alpha: float) -> None:
        self._sampling = sampling
        self._number = number
        self._shared = shared
        self._alpha = alpha
        self._weights: Tensor | None = None
        self._target_shares: Tensor | None = None

    @property
    def reads_targets(self) -> bool:
        """Whether it must know how often each item is a target."""
        return self._sampling in ("in_batch", "mixed")

    def read_counts(self, counts_V: Tensor) -> None:
        """Take over how often each item occurs in training, (V,).

        Items that never occur count as half an event, so that each can be drawn.
        """
        self._weights = counts_V.double().clamp(min=0.5)
        self._cumulative: dict[torch.device, tuple[Tensor, Tensor]] = {}

    def read_targets(self, counts_V: Tensor) -> None:
        """Take over how often each item is expected to be a target in an epoch, (V,).

        Those that never are count as half a target, so that the correction stays finite.
        """
        weights_V = counts_V.double().clamp(min=0.5)
        self._target_shares = (weights_V / weights_V.sum()).float()

    def draw(self, targets_N: Tensor, num_items: int) -> Negatives:
        """Negatives for these positions; the random numbers are torch's own."""
        count = targets_N.shape[0]
        shape = (self._number,) if self._shared else (count, self._number)
        if self._sampling == "uniform":
            items = torch.randint(num_items, shape, device=targets_N.device)
            return Negatives(items, self._expected(items, num_items, uniform=1.0))
        if self._sampling == "popularity":
            return self._popular(shape, num_items, targets_N.device)
        items = targets_N[torch.randint(count, shape, device=targets_N.device)]
        if self._sampling == "in_batch":
            return Negatives(items, self._expected(items, num_items, uniform=0.0))
        half = torch.randint(num_items, shape, device=items.device)
        is_uniform = torch.arange(self._number, device=items.device) % 2 == 0
        items = torch.where(is_uniform, half, items)
        share = (self._number + 1) // 2 / self._number  # of an odd number, not a half
        return Negatives(items, self._expected(items, num_items, uniform=share))

    def _popular(self, shape: tuple[int, ...], num_items: int, device: torch.device) -> Negatives:
        weights_V, cumulative_V = self._by_popularity(num_items, device)
        draws = torch.rand(shape, dtype=torch.float64, device=device)
        items = torch.searchsorted(cumulative_V, draws, right=True).clamp(max=num_items - 1)
        return Negatives(items, (weights_V[items] * self._number).log().float())

    def _expected(self, items: Tensor, num_items: int, *, uniform: float) -> Tensor:
        """Of draws of which a share is uniform and the rest are targets of the batch."""
        chance = torch.full(items.shape, uniform / num_items, device=items.device)
        if uniform < 1:
            shares_V = self._target_shares
            if shares_V is None or shares_V.shape[0] != num_items:
                msg = (
                    f"negatives drawn by {self._sampling} need the expected number of targets of "
                    f"all {num_items} items: call read_targets first"
                )
                raise ValueError(msg)
            self._target_shares = shares_V = shares_V.to(items.device)
            chance = chance + (1 - uniform) * shares_V[items]
        return (chance * self._number).log()

    def _by_popularity(self, num_items: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """Probability of every item, and their sums, both (V,) in double precision."""
        if self._weights is None or self._weights.shape[0] != num_items:
            msg = (
                f"negatives drawn by {self._sampling} need the training counts of all "
                f"{num_items} items: call read_counts first"
            )
            raise ValueError(msg)
        if device not in self._cumulative:
            weights = self._weights.to(device) ** self._alpha
            weights = weights / weights.sum()
            self._cumulative[device] = weights, weights.cumsum(0)
        return self._cumulative[device]


def positive_scores(states_ND: Tensor, targets_N: Tensor, table_VD: Tensor, *,
                    cosine: bool, sparse: bool = False) -> Tensor:  # fmt: skip
    """Score of each position's target, (N,)."""
    rows_ND = _rows(targets_N, table_VD, cosine=cosine, sparse=sparse)
    return (_unit(states_ND, cosine=cosine) * rows_ND).sum(dim=-1)


def negative_scores(states_ND: Tensor, negatives: Negatives, targets_N: Tensor, table_VD: Tensor,
                    *, cosine: bool, sparse: bool = False) -> Tensor:  # fmt: skip
    """Scores of the negatives, (N, K); ``-inf`` where a negative is the position's target."""
    items = negatives.items
    hit_NK = targets_N.unsqueeze(1) == items
    states_ND = _unit(states_ND, cosine=cosine)
    if items.dim() == 1:
        scores_NK = states_ND @ _rows(items, table_VD, cosine=cosine, sparse=sparse).T
    elif not sparse and gathering_pays(items, table_VD):
        scores_NK = gathered_scores(states_ND, _unit(table_VD, cosine=cosine), items)
    else:
        rows_NKD = _rows(items, table_VD, cosine=cosine, sparse=sparse)
        scores_NK = torch.einsum("nd,nkd->nk", states_ND, rows_NKD)
    return scores_NK.masked_fill(hit_NK, -torch.inf)


def _rows(items: Tensor, table_VD: Tensor, *, cosine: bool, sparse: bool) -> Tensor:
    # Looked up as an embedding: its gradient may then stay as sparse as the sample.
    return _unit(F.embedding(items, table_VD, sparse=sparse), cosine=cosine)


def _unit(vectors: Tensor, *, cosine: bool) -> Tensor:
    return F.normalize(vectors, dim=-1) if cosine else vectors
