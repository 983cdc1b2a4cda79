"""The sampled protocol: each target among a few drawn items. For comparison with old papers only.

Shapes: B users, V items, n candidates drawn for a user.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal

import torch
from annotated_types import Ge, Gt, Le, MinLen
from torch import Tensor

from recsys_lab.evaluation.protocols.admissible import BYTES_A_PAIR, Admissible
from recsys_lab.evaluation.protocols.base import RankingProtocol

if TYPE_CHECKING:
    from recsys_lab.contracts import EvaluationBatch, Exclude
    from recsys_lab.evaluation.catalogue import RankedData

_log = logging.getLogger(__name__)
# Written out in each protocol: a config is checked without importing anything.
Place = Annotated[int, Ge(1)]
Accuracy = Literal[
    "ndcg", "hr", "recall", "precision", "map", "r_precision", "mrr", "auc", "gauc",
    "graded_ndcg", "value", "value_recall", "value_hr",
]  # fmt: skip
Beyond = Literal[
    "coverage", "gini", "entropy", "novelty", "popularity", "popularity_lift",
    "category_diversity", "embedding_diversity", "serendipity", "repeat_share", "calibration",
]  # fmt: skip


class SampledRanking(RankingProtocol):
    """Rank a user's targets and ``num_candidates`` other items, drawn without replacement.

    The draw depends on nothing but seed and user, so every model is judged by the same candidates.
    It never holds a target, nor, with ``exclude_seen``, an item of the history.

    Sampled metrics are not estimates of those of the full ranking: they order models differently
    (Krichene and Rendle, "On sampled metrics for item recommendation", KDD 2020,
    https://doi.org/10.1145/3394486.3403226), so a warning comes with them.

    Args:
        config: the options.
    """

    bytes_per_score = 48
    """A score, its random key, and the pair that excludes it."""

    @dataclass(frozen=True)
    class Config:
        """Options; those of all protocols: `recsys_lab.evaluation.protocols.options.Options`.

        Attributes:
            num_candidates: items drawn beside the targets; fewer where fewer are allowed.
            sampling: all alike, or in proportion to training events (then none without any).
            seed: of the draws.
            candidates: what is drawn from, as with evaluation=full_ranking; targets are candidates
                in any case.
            release_column: likewise.
        """

        metrics: Annotated[list[Accuracy], MinLen(1)]
        ks: Annotated[list[Place], MinLen(1)]
        exclude_seen: bool
        max_k: Place
        score_mib: Place
        beyond_accuracy: list[Beyond]
        beyond_ks: Annotated[list[Place], MinLen(1)]
        category_feature: str | None
        embeddings_path: str | None
        mean_over: Literal["users", "lists"] = field(default="users", kw_only=True)
        num_candidates: Annotated[int, Ge(1)]
        sampling: Literal["uniform", "popularity"]
        seed: Annotated[int, Ge(0), Le(2_147_483_647)]
        candidates: Literal["all", "known", "released"] = field(default="all", kw_only=True)
        release_column: str | None = field(default=None, kw_only=True)
        target_period: Literal["day", "week", "month"] | None = field(default=None, kw_only=True)
        value_feature: str | None = field(default=None, kw_only=True)
        missing_value: Annotated[float, Ge(0)] | None = field(default=None, kw_only=True)
        off_policy_reward: str | None = field(default=None, kw_only=True)
        off_policy_propensity: str | None = field(default=None, kw_only=True)
        off_policy_items: Annotated[int, Ge(1)] | None = field(default=None, kw_only=True)
        off_policy_where: str | None = field(default=None, kw_only=True)
        off_policy_clip: Annotated[float, Gt(0)] | None = field(default=None, kw_only=True)

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._draw = config
        self._admissible = Admissible(config)
        self.reads_times = self._admissible.reads_times
        if not self._admissible.is_all:
            self.bytes_per_score += BYTES_A_PAIR
        self._counts_V = torch.empty(0)

    def attach(self, data: RankedData) -> None:
        """Read the training events of the items."""
        super().attach(data)
        self._admissible.attach(data)
        self._counts_V = torch.from_numpy(data.training_item_counts()).double()
        _log.warning(
            "evaluation: %d sampled candidates a user. Sampled metrics order models differently "
            "from the full ranking (Krichene and Rendle, 2020): compare them only with numbers of "
            "the same kind, and publish evaluation=full_ranking",
            self._draw.num_candidates,
        )

    def candidates(self) -> dict[str, Any]:
        """That they are sampled, and how."""
        drawn = {} if self._admissible.is_all else {"drawn_from": self._admissible.fields()}
        return {
            **drawn,
            "candidates": "sampled",
            "num_candidates": self._draw.num_candidates,
            "sampling": self._draw.sampling,
            "sampling_seed": self._draw.seed,
        }

    def exclude(self, batch: EvaluationBatch) -> Exclude | None:
        """All pairs but those of the targets and of the items drawn."""
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
        """Random keys of which the smallest win, float64 (B, V).

        In proportion to weights: exponential variables divided by them (Efraimidis and Spirakis,
        2006), so that one pass draws without replacement.
        """
        items_V = torch.arange(len(self._counts_V), device=users_B.device)
        uniform_BV = _uniform(self._draw.seed, users_B.unsqueeze(1), items_V)
        if self._draw.sampling == "uniform":
            return uniform_BV
        return -uniform_BV.log() / self._counts_V.to(users_B.device)


def _uniform(seed: int, users: Tensor, items: Tensor) -> Tensor:
    """A pseudo-random number in (0, 1) for each pair, the same on every machine.

    Two rounds of multiplication and xor-shift (splitmix64, Steele et al. 2014); products wrap.
    """
    x = (users + (seed << 32)) * 0x1E3779B97F4A7C15 + items * 0x3F58476D1CE4E5B9
    for multiplier in (0x3F58476D1CE4E5B9, 0x14D049BB133111EB):
        x = (x ^ ((x >> 30) & 0x3FFFFFFFF)) * multiplier
    x = x ^ ((x >> 31) & 0x1FFFFFFFF)
    return (((x >> 12) & (2**52 - 1)).double() + 0.5) / 2**52
