"""The full-ranking protocol: the whole catalogue is ranked, or what of it can be recommended."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Ge, Gt, MinLen

from recsys_lab.evaluation.protocols.admissible import BYTES_A_PAIR, Admissible, joined
from recsys_lab.evaluation.protocols.base import RankingProtocol

if TYPE_CHECKING:
    from recsys_lab.contracts import EvaluationBatch, Exclude
    from recsys_lab.evaluation.catalogue import RankedData

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


class FullRanking(RankingProtocol):
    """Rank the whole catalogue for every user and compare with the held-out targets.

    Args:
        config: the options.
    """

    @dataclass(frozen=True)
    class Config:
        """Options; those of all protocols: `recsys_lab.evaluation.protocols.options.Options`.

        Attributes:
            candidates: ``all`` items; those ``known`` by a training event; or those ``released``
                at the time of the user's first target. See
                `recsys_lab.evaluation.protocols.admissible`.
            release_column: column of the items with their release, dates or times; read with
                ``candidates: released``; null: an item's first event.
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
        self._admissible = Admissible(config)
        self.reads_times = self._admissible.reads_times
        if not self._admissible.is_all:
            self.bytes_per_score += BYTES_A_PAIR

    def attach(self, data: RankedData) -> None:
        """Read when each item could be recommended."""
        super().attach(data)
        self._admissible.attach(data)

    def candidates(self) -> dict[str, Any]:
        """Which items."""
        return self._admissible.fields()

    def exclude(self, batch: EvaluationBatch) -> Exclude | None:
        """The seen pairs, if these are filtered, and those of items that are no candidates."""
        seen = (batch.seen_rows, batch.seen_items) if self.config.exclude_seen else None
        if self._admissible.is_all:
            return seen
        return joined(seen, self._admissible.excluded(batch))
