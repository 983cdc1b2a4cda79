"""The full-ranking protocol: every item of the catalogue is a candidate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Ge, MinLen

from recsys_lab.evaluation.protocol import RankingProtocol

if TYPE_CHECKING:
    from recsys_lab.contracts import EvaluationBatch, Exclude

# Written out in each protocol: a config is checked without importing anything.
Place = Annotated[int, Ge(1)]
Accuracy = Literal["ndcg", "hr", "recall", "precision", "map", "r_precision", "mrr"]
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
        """Options of `FullRanking`: see `recsys_lab.evaluation.protocol.Options`."""

        metrics: Annotated[list[Accuracy], MinLen(1)]
        ks: Annotated[list[Place], MinLen(1)]
        exclude_seen: bool
        list_length: Place
        score_mebibytes: Place
        beyond_accuracy: list[Beyond]
        beyond_ks: Annotated[list[Place], MinLen(1)]
        category_feature: str | None
        embeddings_path: str | None

    def __init__(self, config: Config) -> None:
        super().__init__(config)

    def candidates(self) -> dict[str, Any]:
        """All items."""
        return {"candidates": "all items"}

    def exclude(self, batch: EvaluationBatch) -> Exclude | None:
        """The seen pairs, if these are filtered."""
        return (batch.seen_rows, batch.seen_items) if self.config.exclude_seen else None
