"""Negative samplers, and the scores of sampled negatives.

Shapes: N supervised positions, K negatives, D width, V items.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional as F

from recsys_lab.config import Choice
from recsys_lab.losses.gathered_scores import gathered_scores, gathering_pays

if TYPE_CHECKING:
    from torch import Tensor

NEGATIVES = Choice(
    "negative sampler",
    "recsys_lab.losses",
    {
        "uniform": "negatives.Uniform",
        "popularity": "negatives.Popularity",
        "in_batch": "negatives.InBatch",
        "mixed": "negatives.Mixed",
    },
    base="negatives.NegativeSampler",
)


@dataclass(frozen=True)
class Negatives:
    """Negatives of the positions of a step, drawn with replacement.

    Attributes:
        items: item indices, int64: (K,) shared by all positions, or (N, K).
        log_expected: log of the expected number of draws of each, same shape as ``items``.
    """

    items: Tensor
    log_expected: Tensor


class NegativeSampler(ABC):
    """Base class of negative samplers.

    The position's target may be drawn as well; the loss masks it.

    Args:
        config: the options; None for a sampler without options.
        number: K, negatives per position.
        shared: whether all positions of a step share one set of negatives.

    Attributes:
        reads_targets: whether `read_targets` is called before the first step.
    """

    @dataclass(frozen=True)
    class Config:
        """No options."""

    reads_targets = False

    def __init__(self, config: Any = None, *, number: int, shared: bool) -> None:
        self.config = config
        self.number = number
        self.shared = shared

    def shape(self, targets_N: Tensor) -> tuple[int, ...]:
        """Shape of the drawn items: (K,) if the positions share their negatives, else (N, K)."""
        return (self.number,) if self.shared else (len(targets_N), self.number)

    def read_counts(self, counts_V: Tensor) -> None:
        """Receive the number of training events of each item, int64 (V,), before the first step."""
        del counts_V

    def read_targets(self, counts_V: Tensor) -> None:
        """Receive how often each item is expected to be a target in an epoch, (V,)."""
        del counts_V

    @abstractmethod
    def draw(self, targets_N: Tensor, num_items: int) -> Negatives:
        """Draw negatives for these positions, on their device, from torch's global generator.

        Args:
            targets_N: the target of each position, int64 (N,).
            num_items: V.
        """


class Uniform(NegativeSampler):
    """Draws every item of the catalogue with equal probability."""

    def draw(self, targets_N: Tensor, num_items: int) -> Negatives:
        """See the class."""
        items = torch.randint(num_items, self.shape(targets_N), device=targets_N.device)
        chance = torch.full(items.shape, 1 / num_items, device=items.device)
        return Negatives(items, (chance * self.number).log())


class Popularity(NegativeSampler):
    """Draws items in proportion to their number of training events, raised to a power.

    Items without events count as half an event, so that every item can be drawn.

    Args:
        config: None.
        number: K.
        shared: see `NegativeSampler`.
        alpha: the exponent.
    """

    def __init__(self, config: Any = None, *, number: int, shared: bool, alpha: float) -> None:
        super().__init__(config, number=number, shared=shared)
        self._alpha = alpha
        self._weights: Tensor | None = None

    def read_counts(self, counts_V: Tensor) -> None:
        """See `NegativeSampler`."""
        self._weights = counts_V.double().clamp(min=0.5)
        self._cumulative: dict[torch.device, tuple[Tensor, Tensor]] = {}

    def draw(self, targets_N: Tensor, num_items: int) -> Negatives:
        """See the class."""
        weights_V, cumulative_V = self._by_popularity(num_items, targets_N.device)
        shape = self.shape(targets_N)
        draws = torch.rand(shape, dtype=torch.float64, device=targets_N.device)
        items = torch.searchsorted(cumulative_V, draws, right=True).clamp(max=num_items - 1)
        return Negatives(items, (weights_V[items] * self.number).log().float())

    def _by_popularity(self, num_items: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """Probabilities of all items, and their cumulative sums, both float64 (V,)."""
        weights_V = _of_all_items(self._weights, num_items, "training counts", "read_counts")
        if device not in self._cumulative:
            # On the host: a GPU has no deterministic cumulative sum.
            weights_V = weights_V**self._alpha
            weights_V = weights_V / weights_V.sum()
            self._cumulative[device] = weights_V.to(device), weights_V.cumsum(0).to(device)
        return self._cumulative[device]


class InBatch(NegativeSampler):
    """Draws from the targets of the step's positions (in-batch negatives).

    An item is drawn as often as it is a target (see `read_targets`), not as often as it occurs:
    first events and events outside the training window are not targets. All batches are assumed to
    have the same number of positions. Items that are never a target count as half a target, so
    that the correction stays finite.
    """

    reads_targets = True
    uniform_share = 0.0
    _target_shares: Tensor | None = None

    def read_targets(self, counts_V: Tensor) -> None:
        """See `NegativeSampler`."""
        weights_V = counts_V.double().clamp(min=0.5)
        self._target_shares = (weights_V / weights_V.sum()).float()

    def draw(self, targets_N: Tensor, num_items: int) -> Negatives:
        """See the class."""
        items = self._items(targets_N, num_items)
        shares_V = _of_all_items(
            self._target_shares, num_items, "expected number of targets", "read_targets"
        )
        self._target_shares = shares_V = shares_V.to(items.device)
        uniform = self.uniform_share
        chance = torch.full(items.shape, uniform / num_items, device=items.device)
        chance = chance + (1 - uniform) * shares_V[items]
        return Negatives(items, (chance * self.number).log())

    def _items(self, targets_N: Tensor, num_items: int) -> Tensor:
        del num_items
        count = len(targets_N)
        return targets_N[torch.randint(count, self.shape(targets_N), device=targets_N.device)]


class Mixed(InBatch):
    """Half uniform, half in-batch (Yang et al., 2020, https://doi.org/10.1145/3366424.3386195).

    With an odd number of negatives the additional one is uniform.
    """

    @property
    def uniform_share(self) -> float:  # type: ignore[override]
        """Share of the draws that are uniform."""
        return (self.number + 1) // 2 / self.number

    def _items(self, targets_N: Tensor, num_items: int) -> Tensor:
        items = super()._items(targets_N, num_items)
        half = torch.randint(num_items, items.shape, device=items.device)
        is_uniform = torch.arange(self.number, device=items.device) % 2 == 0
        return torch.where(is_uniform, half, items)


def _of_all_items(counts_V: Tensor | None, num_items: int, what: str, method: str) -> Tensor:
    if counts_V is None or len(counts_V) != num_items:
        msg = f"these negatives need the {what} of all {num_items} items: call {method} first"
        raise ValueError(msg)
    return counts_V


def positive_scores(states_ND: Tensor, targets_N: Tensor, table_VD: Tensor, *,
                    cosine: bool, sparse: bool = False) -> Tensor:  # fmt: skip
    """Score of each position's target, (N,)."""
    rows_ND = _rows(targets_N, table_VD, cosine=cosine, sparse=sparse)
    return (_unit(states_ND, cosine=cosine) * rows_ND).sum(dim=-1)


def negative_scores(states_ND: Tensor, negatives: Negatives, targets_N: Tensor, table_VD: Tensor,
                    *, cosine: bool, sparse: bool = False) -> Tensor:  # fmt: skip
    """Scores of the negatives, (N, K); ``-inf`` where a negative equals the position's target."""
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
    # An embedding lookup can have a sparse gradient.
    return _unit(F.embedding(items, table_VD, sparse=sparse), cosine=cosine)


def _unit(vectors: Tensor, *, cosine: bool) -> Tensor:
    return F.normalize(vectors, dim=-1) if cosine else vectors
