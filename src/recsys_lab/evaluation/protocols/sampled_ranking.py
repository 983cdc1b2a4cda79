"""Sampled ranking: targets among a few sampled items. Only for comparison with older papers.

Shapes: B users, V items, n candidates sampled per user.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import torch
from annotated_types import Ge, Le
from torch import Tensor

from recsys_lab.evaluation.protocols.admissible import CatalogueRanking
from recsys_lab.evaluation.protocols.options import CatalogueOptions, Place

if TYPE_CHECKING:
    from recsys_lab.contracts import EvaluationBatch, Exclude
    from recsys_lab.evaluation.catalogue import RankedData

_log = logging.getLogger(__name__)


class SampledRanking(CatalogueRanking):
    """Ranks a user's targets among ``num_candidates`` other items, sampled without replacement.

    The sample depends only on seed and user, so all models are evaluated on the same candidates. It
    has no targets and, with ``exclude_seen``, no items of the history.

    Sampled metrics are not estimates of full-ranking metrics and order models differently (Krichene
    and Rendle, "On sampled metrics for item recommendation", KDD 2020,
    https://doi.org/10.1145/3394486.3403226): the run prints a warning.

    Args:
        config: the options.
    """

    ranks_few = True
    bytes_per_score = 48
    """A score, its random key, and the pair that excludes it."""

    @dataclass(frozen=True)
    class Config(CatalogueOptions):
        """Options of `SampledRanking`, in addition to those of `CatalogueOptions`.

        Attributes:
            num_candidates: items sampled per user in addition to the targets; fewer if fewer are
                available.
            sampling: "uniform", or "popularity": in proportion to training events (items without
                any are not sampled).
            seed: seed of the samples.
        """

        num_candidates: Place
        sampling: Literal["uniform", "popularity"]
        seed: Annotated[int, Ge(0), Le(2_147_483_647)]

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._draw = config
        self._counts_V = torch.empty(0)

    def attach(self, data: RankedData) -> None:
        """Read the item counts of the training part."""
        super().attach(data)
        self._counts_V = torch.from_numpy(data.training_item_counts()).double()
        _log.warning(
            "evaluation: %d sampled candidates per user. Sampled metrics order models differently "
            "from full ranking (Krichene and Rendle, 2020): compare them only with numbers of the "
            "same protocol, and publish evaluation=full_ranking",
            self._draw.num_candidates,
        )

    def candidates(self) -> dict[str, Any]:
        """The sampling of the candidates."""
        drawn = {} if self._admissible.is_all else {"drawn_from": self._admissible.fields()}
        return {
            **drawn,
            "candidates": "sampled",
            "num_candidates": self._draw.num_candidates,
            "sampling": self._draw.sampling,
            "sampling_seed": self._draw.seed,
        }

    def exclude(self, batch: EvaluationBatch) -> Exclude | None:
        """All pairs except those of the targets and of the sampled items."""
        keys_BV = self._keys(batch.history.users_B)
        keys_BV[batch.target_rows, batch.target_items] = torch.inf
        if self.config.exclude_seen:
            keys_BV[batch.seen_rows, batch.seen_items] = torch.inf
        if not self._admissible.is_all:
            keys_BV[self._admissible.excluded(batch)] = torch.inf
        number = min(self._draw.num_candidates, keys_BV.shape[1])
        drawn_Bn = keys_BV.topk(number, dim=1, largest=False)
        out_BV = torch.ones_like(keys_BV, dtype=torch.bool)
        out_BV.scatter_(1, drawn_Bn.indices, drawn_Bn.values == torch.inf)
        out_BV[batch.target_rows, batch.target_items] = False
        if self.config.exclude_seen:
            out_BV[batch.seen_rows, batch.seen_items] = True
        rows, items = out_BV.nonzero(as_tuple=True)
        return rows, items

    def _keys(self, users_B: Tensor) -> Tensor:
        """Random keys, float64 (B, V); the items with the smallest keys are the sample.

        For weighted sampling without replacement, exponential variables divided by the weights
        (Efraimidis and Spirakis, 2006).
        """
        items_V = torch.arange(len(self._counts_V), device=users_B.device)
        uniform_BV = _uniform(self._draw.seed, users_B.unsqueeze(1), items_V)
        if self._draw.sampling == "uniform":
            return uniform_BV
        return -uniform_BV.log() / self._counts_V.to(users_B.device)


def _uniform(seed: int, users: Tensor, items: Tensor) -> Tensor:
    """A pseudo-random number in (0, 1) for each pair, equal on all machines.

    Two rounds of multiplication and xor-shift (splitmix64, Steele et al. 2014); products wrap.
    """
    x = (users + (seed << 32)) * 0x1E3779B97F4A7C15 + items * 0x3F58476D1CE4E5B9
    for multiplier in (0x3F58476D1CE4E5B9, 0x14D049BB133111EB):
        x = (x ^ ((x >> 30) & 0x3FFFFFFFF)) * multiplier
    x = x ^ ((x >> 31) & 0x1FFFFFFFF)
    return (((x >> 12) & (2**52 - 1)).double() + 0.5) / 2**52
