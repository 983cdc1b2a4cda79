"""User ratio: a share of every user's events, the last ones, are the test targets.

Shapes: U users, T events concatenated by user, n rows of one phase.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from annotated_types import Gt, Lt

from recsys_lab.config import UserError
from recsys_lab.data.splits.base import FlatLog, Segments, Split
from recsys_lab.data.splits.cold_start import finish
from recsys_lab.data.splits.options import PositionOptions
from recsys_lab.data.splits.ranges import rounded_down
from recsys_lab.data.splits.units import Units


class UserRatio(Split):
    """The last share of a user's events are test targets, the share before it validation targets.

    Of a user's n events, ``floor(ratio * n)`` but at least one are test targets, likewise
    validation targets. If this minimum would leave no training event, the validation target is
    given up first, then the test target: 1 event is trained on, 2 are train and test, 3 one each.
    This is the rule of RecBole's ratio split, ``RS`` with order ``TO``.

    Raises:
        UserError: if the ratios leave nothing to train on.
    """

    name = "user_ratio"

    @dataclass(frozen=True)
    class Config(PositionOptions):
        """Options of `UserRatio`.

        Attributes:
            validation_ratio: share of a user's events that are validation targets.
            test_ratio: share of a user's events that are test targets.
        """

        validation_ratio: Annotated[float, Gt(0), Lt(1)]
        test_ratio: Annotated[float, Gt(0), Lt(1)]

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        if config.validation_ratio + config.test_ratio > 1 - 1e-6:
            raise UserError(
                f"split.validation_ratio={config.validation_ratio:g} and "
                f"split.test_ratio={config.test_ratio:g} leave nothing to train on: their sum "
                "must be below 1"
            )

    def segments(self, log: FlatLog) -> Segments:
        """Split the events; an error if every user has too few events."""
        starts = log.offsets[:-1]
        users = np.arange(len(starts), dtype=np.int64)
        units = Units(log, self.config.unit, self.config.target_events)
        lengths = units.counts
        tests = rounded_down(self.config.test_ratio, lengths)
        validations = rounded_down(self.config.validation_ratio, lengths)
        tests += (tests == 0) & (lengths - validations > 1)
        validations += (validations == 0) & (lengths - tests > 1)
        last = units.offsets[1:]
        test = last - tests
        validation = test - validations
        rule = Segments(
            train=np.stack([users, starts, units.starts(users, validation)], axis=1),
            validation=units.rows(self.config.target, users, validation, test),
            test=units.rows(self.config.target, users, test, last),
        )
        hint = f"In both phases: {units.needs(2)}"
        return finish(log, self.name, rule, hint, cold_items=self.config.cold_items)
