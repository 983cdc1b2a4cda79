"""What the losses that look at a sample of the catalogue share: their scores.

Shapes: N supervised positions, K negatives, D width, V items.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from recsys_lab.config import UserError
from recsys_lab.losses.negatives import NegativeSampler, negative_scores, positive_scores
from recsys_lab.losses.precision import full_precision

if TYPE_CHECKING:
    from torch import Tensor

    from recsys_lab.losses.negatives import Sampling


USUAL_ALPHA = 0.75
"""Of word2vec (Mikolov et al., 2013, https://arxiv.org/abs/1310.4546)."""


class SampledConfig(Protocol):
    """The options that every sampled loss has."""

    @property
    def sampling(self) -> Sampling:
        """How negatives are drawn."""
        ...

    @property
    def num_negatives(self) -> int:
        """K."""
        ...

    @property
    def shared_negatives(self) -> bool:
        """Whether all positions of a step have the same ones."""
        ...

    @property
    def alpha(self) -> float | None:
        """Power of the popularity, or None for `USUAL_ALPHA`."""
        ...

    @property
    def cosine(self) -> bool:
        """Whether vectors are scaled to length one."""
        ...

    @property
    def temperature(self) -> float:
        """Divides the scores."""
        ...


class Scores(NamedTuple):
    """The scores of a step.

    Attributes:
        positive_N: of the targets.
        negative_NK: of the negatives, ``-inf`` where one is the position's own target.
        log_expected: log of the expected number of draws of each negative, (K,) or (N, K).
    """

    positive_N: Tensor
    negative_NK: Tensor
    log_expected: Tensor


class SampledLoss:
    """Draws negatives and scores them; the formula is in the classes that derive from it.

    Args:
        config: of the loss.

    Attributes:
        sparse: whether the gradient of the table is a sparse tensor of the rows looked up.

    Raises:
        UserError: ``alpha`` is given and not read.
    """

    def __init__(self, config: SampledConfig) -> None:
        if config.alpha is not None and config.sampling != "popularity":
            raise UserError(
                f"loss.alpha: got {config.alpha:g} with loss.sampling={config.sampling}, which "
                "reads no popularity; use loss.sampling=popularity, or loss.alpha=null"
            )
        self._options = config
        self._sampler = NegativeSampler(
            config.sampling,
            config.num_negatives,
            shared=config.shared_negatives,
            alpha=USUAL_ALPHA if config.alpha is None else config.alpha,
        )
        self.sparse = False

    def read_counts(self, counts_V: Tensor) -> None:
        """Take over how often each item occurs in training, (V,)."""
        self._sampler.read_counts(counts_V)

    @property
    def reads_targets(self) -> bool:
        """Whether `read_targets` must come before the first step."""
        return self._sampler.reads_targets

    def read_targets(self, counts_V: Tensor) -> None:
        """Take over how often each item is expected to be a target in an epoch, (V,)."""
        self._sampler.read_targets(counts_V)

    def scores_in_memory(self, positions: int, num_items: int, device: str) -> int:
        """Of the targets and their negatives; see `recsys_lab.contracts.HoldsScores`."""
        del num_items, device
        return positions * (1 + self._options.num_negatives)

    def _scores(self, states_ND: Tensor, targets_N: Tensor, table_VD: Tensor) -> Scores:
        """Scores of the targets and of fresh negatives, in full precision."""
        negatives = self._sampler.draw(targets_N, table_VD.shape[0])
        options = {"cosine": self._options.cosine, "sparse": self.sparse}
        with full_precision(states_ND, table_VD) as (states_ND, table_VD):
            positive_N = positive_scores(states_ND, targets_N, table_VD, **options)
            negative_NK = negative_scores(states_ND, negatives, targets_N, table_VD, **options)
        scale = 1 / self._options.temperature
        return Scores(positive_N * scale, negative_NK * scale, negatives.log_expected)
