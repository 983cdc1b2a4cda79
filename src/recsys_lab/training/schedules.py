"""Learning-rate schedules, and the base class for your own."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

from recsys_lab.config import Choice

SCHEDULES = Choice(
    "schedule",
    "recsys_lab.training",
    {"constant": "schedules.Constant", "linear": "schedules.Linear", "cosine": "schedules.Cosine"},
    base="schedules.Schedule",
)


class Schedule(ABC):
    """The learning rate after the warm-up, as a factor of the peak; base class for your own.

    Args:
        config: the options.

    Attributes:
        reads_total: whether the rates depend on the total number of steps; if not, a finished run
            can be trained longer.
    """

    @dataclass(frozen=True)
    class Config:
        """Options; none by default."""

    reads_total: ClassVar[bool] = True

    def __init__(self, config: Any = None) -> None:
        self.config = config

    @abstractmethod
    def factor(self, step: int, total: int) -> float:
        """The factor at a step, at least 0.

        It must depend only on its arguments, so that a resumed run has the same rates.

        Args:
            step: from 0 to ``total``, without the warm-up.
            total: steps of the whole training after the warm-up, at least 1.
        """


class Constant(Schedule):
    """Constant at the peak."""

    reads_total = False

    def factor(self, step: int, total: int) -> float:
        """See `Schedule`."""
        del step, total
        return 1.0


class Linear(Schedule):
    """Linear decay to 0."""

    def factor(self, step: int, total: int) -> float:
        """See `Schedule`."""
        return 1 - step / total


class Cosine(Schedule):
    """Cosine decay to 0 (Loshchilov and Hutter, 2017)."""

    def factor(self, step: int, total: int) -> float:
        """See `Schedule`."""
        return 0.5 * (1 + math.cos(math.pi * (step / total)))
