"""The full-ranking protocol: the whole catalogue is ranked, or what of it can be recommended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from recsys_lab.evaluation.protocols.admissible import BYTES_A_PAIR, Admissible, joined
from recsys_lab.evaluation.protocols.base import RankingProtocol
from recsys_lab.evaluation.protocols.options import CatalogueOptions

if TYPE_CHECKING:
    from recsys_lab.contracts import EvaluationBatch, Exclude
    from recsys_lab.evaluation.catalogue import RankedData


class FullRanking(RankingProtocol):
    """Rank the whole catalogue for every user and compare with the held-out targets.

    Args:
        config: the options.
    """

    @dataclass(frozen=True)
    class Config(CatalogueOptions):
        """Options of `FullRanking`: those of `CatalogueOptions`."""

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
