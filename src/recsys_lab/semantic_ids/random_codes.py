"""Random codes: the control of every other quantiser.

Shapes: V items, L levels, C codes of a level.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from annotated_types import Ge

from recsys_lab.semantic_ids.base import Codes, Items, Quantiser


class RandomCodes(Quantiser):
    """Draws the codes of each item independently and uniformly."""

    @dataclass(frozen=True)
    class Config(Quantiser.Config):
        """Options of `RandomCodes`.

        Attributes:
            levels: L, without the one that tells duplicates apart.
            codes: C, the same for all levels.
            seed: seed of the draws.
        """

        levels: Annotated[int, Ge(1)]
        codes: Annotated[int, Ge(2)]
        seed: Annotated[int, Ge(0)]

    config: Config

    def quantise(self, items: Items) -> Codes:
        """The codes of all items."""
        config = self.config
        generator = torch.Generator().manual_seed(config.seed)
        shape = (items.data.num_items, config.levels)
        codes_VL = torch.randint(config.codes, shape, generator=generator)
        return Codes(codes_VL.numpy(), (config.codes,) * config.levels)

    def extend(self, items: Items, kept: Codes) -> Codes:
        """The codes of all items; those of new ones are drawn."""
        drawn = self.quantise(items)
        is_kept_V1 = kept.codes_VL[:, :1] >= 0
        return Codes(np.where(is_kept_V1, kept.codes_VL, drawn.codes_VL), kept.num_codes)
