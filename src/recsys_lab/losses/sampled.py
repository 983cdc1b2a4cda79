"""Base class and options of the losses with sampled negatives.

Shapes: N supervised positions, K negatives, D width, V items.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, NamedTuple

from annotated_types import Ge, Gt

from recsys_lab.config import Chosen, UserError, build_chosen
from recsys_lab.contracts.processes import all_targets, common_draws
from recsys_lab.losses.negatives import (
    NEGATIVES,
    Negatives,
    NegativeSampler,
    negative_scores,
    positive_scores,
)
from recsys_lab.losses.precision import full_precision

if TYPE_CHECKING:
    from torch import Tensor


USUAL_ALPHA = 0.75
"""Exponent of word2vec's sampler (Mikolov et al., 2013, https://arxiv.org/abs/1310.4546)."""


@dataclass(frozen=True)
class SampledOptions:
    """The options of every sampled loss.

    Attributes:
        sampling: negative sampler, a name or a class: see `recsys_lab.losses.negatives`.
        num_negatives: negatives per position.
        shared_negatives: all positions of a step share their negatives: one matrix product.
        alpha: exponent of the item counts for ``sampling: popularity``; null: 0.75.
        cosine: normalise states and item vectors to unit length.
        temperature: divides the scores.
    """

    sampling: Annotated[Chosen, NEGATIVES]
    num_negatives: Annotated[int, Ge(1)]
    shared_negatives: bool
    alpha: Annotated[float, Ge(0)] | None
    cosine: bool
    temperature: Annotated[float, Gt(0)]


class Scores(NamedTuple):
    """The scores of a step.

    Attributes:
        positive_N: scores of the targets.
        negative_NK: scores of the negatives, ``-inf`` where one equals the position's target.
        log_expected: log of the expected number of draws of each negative, (K,) or (N, K).
    """

    positive_N: Tensor
    negative_NK: Tensor
    log_expected: Tensor


class SampledLoss:
    """Base class: draws negatives and scores them; subclasses define the loss.

    Args:
        config: options of the loss.

    Attributes:
        sparse: whether the gradient of the item table is a sparse tensor.

    Raises:
        UserError: ``alpha`` is given, and the sampler does not use it.
    """

    def __init__(self, config: SampledOptions) -> None:
        by_popularity = config.sampling == "popularity"
        if config.alpha is not None and not by_popularity:
            raise UserError(
                f"loss.alpha: got {config.alpha:g} with loss.sampling={config.sampling}, which "
                "does not use it; set loss.sampling=popularity, or loss.alpha=null"
            )
        alpha = USUAL_ALPHA if config.alpha is None else config.alpha
        self.config = config
        self._sampler: NegativeSampler = build_chosen(
            NEGATIVES,
            config.sampling,
            number=config.num_negatives,
            shared=config.shared_negatives,
            **({"alpha": alpha} if by_popularity else {}),
        )
        self.sparse = False

    def read_counts(self, counts_V: Tensor) -> None:
        """Receive the number of training events of each item, (V,)."""
        self._sampler.read_counts(counts_V)

    @property
    def reads_targets(self) -> bool:
        """Whether `read_targets` must be called before the first step."""
        return self._sampler.reads_targets

    def read_targets(self, counts_V: Tensor) -> None:
        """Receive how often each item is expected to be a target in an epoch, (V,)."""
        self._sampler.read_targets(counts_V)

    def scores_in_memory(self, positions: int, num_items: int, device: str) -> int:
        """Number of target and negative scores; see `recsys_lab.contracts.HoldsScores`."""
        del num_items, device
        return positions * (1 + self.config.num_negatives)

    def scores(self, states_ND: Tensor, targets_N: Tensor, table_VD: Tensor) -> Scores:
        """Scores of the targets and of fresh negatives, in full precision.

        With several processes, negatives are drawn for the targets of all of them, also in-batch
        ones: each process scores the negatives that its positions have in one process.

        Raises:
            UserError: the sampler returned something else, or tensors of the wrong shape.
        """
        targets_M, rows = all_targets(targets_N)
        with common_draws():
            negatives = self._sampler.draw(targets_M, table_VD.shape[0])
        if not isinstance(negatives, Negatives):
            raise UserError(
                f"loss.sampling: {type(self._sampler).__name__}.draw returned a "
                f"{type(negatives).__name__}, expected recsys_lab.losses.negatives.Negatives"
            )
        shape = self._sampler.shape(targets_M)
        for what, drawn in (("items", negatives.items), ("log_expected", negatives.log_expected)):
            if drawn.shape != shape:
                raise UserError(
                    f"loss.sampling: {type(self._sampler).__name__}.draw returned {what} of shape "
                    f"{tuple(drawn.shape)}, expected {shape}"
                )
        if not self.config.shared_negatives:
            negatives = Negatives(negatives.items[rows], negatives.log_expected[rows])
        options = {"cosine": self.config.cosine, "sparse": self.sparse}
        with full_precision(states_ND, table_VD) as (states_ND, table_VD):
            positive_N = positive_scores(states_ND, targets_N, table_VD, **options)
            negative_NK = negative_scores(states_ND, negatives, targets_N, table_VD, **options)
        scale = 1 / self.config.temperature
        return Scores(positive_N * scale, negative_NK * scale, negatives.log_expected)
