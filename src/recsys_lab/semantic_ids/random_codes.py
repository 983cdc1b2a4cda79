"""Random codes: the control of every other quantiser.

Shapes: V items, L levels, C codes of a level.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import torch
from annotated_types import Ge

from recsys_lab.contracts import SemanticIds

if TYPE_CHECKING:
    from recsys_lab.contracts import TrainingData


class RandomCodes:
    """Draws the codes of each item independently and uniformly.

    Args:
        config: the options.
    """

    @dataclass(frozen=True)
    class Config:
        """Options of `RandomCodes`.

        Attributes:
            levels: L.
            codes: C, the same for all levels.
            seed: seed of the draws.
        """

        levels: Annotated[int, Ge(1)]
        codes: Annotated[int, Ge(2)]
        seed: Annotated[int, Ge(0)]

    def __init__(self, config: Config) -> None:
        self.config = config

    def tokenize(self, data: TrainingData) -> SemanticIds:
        """The codes of all items."""
        generator = torch.Generator().manual_seed(self.config.seed)
        shape = (data.num_items, self.config.levels)
        codes_VL = torch.randint(self.config.codes, shape, generator=generator)
        digest = hashlib.sha256(codes_VL.numpy().astype("<i8").tobytes()).hexdigest()
        return SemanticIds(codes_VL, (self.config.codes,) * self.config.levels, None, digest[:16])
