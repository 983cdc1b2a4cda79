"""Full ranking: ranks the whole catalogue, or its known or released items."""

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
    """Ranks all candidate items for every user and compares with the held-out targets.

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
        """Read the release times of the items, if needed."""
        super().attach(data)
        self._admissible.attach(data)

    def candidates(self) -> dict[str, Any]:
        """The candidate items."""
        return self._admissible.fields()

    def exclude(self, batch: EvaluationBatch) -> Exclude | None:
        """The seen pairs, if these are excluded, and the pairs of items that are not candidates."""
        seen = (batch.seen_rows, batch.seen_items) if self.config.exclude_seen else None
        if self._admissible.is_all:
            return seen
        return joined(seen, self._admissible.excluded(batch))
