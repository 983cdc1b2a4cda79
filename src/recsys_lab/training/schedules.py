"""Learning-rate schedules: those of the lab, and what one of your own has to be."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from recsys_lab.config import Choice

SCHEDULES = Choice(
    "schedule",
    "recsys_lab.training",
    {"constant": "schedules.Constant", "linear": "schedules.Linear", "cosine": "schedules.Cosine"},
    base="schedules.Schedule",
)


class Schedule:
    """The learning rate after the warm-up, as a factor of the peak; derive your own from it.

    Args:
        config: the options.

    Attributes:
        reads_total: whether the rates of the first steps depend on how many follow. A run whose
            schedule does not may be trained longer later.
    """

    @dataclass(frozen=True)
    class Config:
        """Options; none by default."""

    reads_total: ClassVar[bool] = True

    def __init__(self, config: Any = None) -> None:
        self.config = config

    def factor(self, step: int, total: int) -> float:
        """The factor at a step, at least 0.

        It must depend on nothing else, so that a resumed run has the rates of one in one go.

        Args:
            step: from 0 to ``total``, the warm-up not counted.
            total: steps of the whole training after the warm-up, at least 1.
        """
        raise NotImplementedError


class Constant(Schedule):
    """The peak until the end."""

    reads_total = False

    def factor(self, step: int, total: int) -> float:
        """See `Schedule`."""
        del step, total
        return 1.0


class Linear(Schedule):
    """Falls to 0 along a line."""

    def factor(self, step: int, total: int) -> float:
        """See `Schedule`."""
        return 1 - step / total


class Cosine(Schedule):
    """Falls to 0 along a half cosine (Loshchilov and Hutter, 2017)."""

    def factor(self, step: int, total: int) -> float:
        """See `Schedule`."""
        return 0.5 * (1 + math.cos(math.pi * (step / total)))
