"""Full ranking: ranks the whole catalogue, or its known or released items."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from recsys_lab.evaluation.protocols.admissible import CatalogueRanking
from recsys_lab.evaluation.protocols.options import CatalogueOptions


class FullRanking(CatalogueRanking):
    """Ranks all candidate items for every user and compares with the held-out targets.

    Args:
        config: the options.
    """

    @dataclass(frozen=True)
    class Config(CatalogueOptions):
        """Options of `FullRanking`: those of `CatalogueOptions`."""

    def candidates(self) -> dict[str, Any]:
        """The candidate items."""
        return self._admissible.fields()
