"""Last n: the last n events of every user are the test targets.

Shapes: U users, T events concatenated by user, n rows of one phase.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from annotated_types import Ge

from recsys_lab.data.splits.base import FlatLog, Segments, Split
from recsys_lab.data.splits.cold_start import finish
from recsys_lab.data.splits.options import PositionOptions
from recsys_lab.data.splits.units import Units


class LastN(Split):
    """A user's last events are the test targets, those before them the validation targets.

    The history at test time includes the validation targets. All events of users with too few
    for all targets and one training event are trained on; they have no targets.
    """

    name = "last_n"

    @dataclass(frozen=True)
    class Config(PositionOptions):
        """Options of `LastN`.

        Attributes:
            validation_events: number of validation targets per user.
            test_events: number of test targets per user.
        """

        validation_events: Annotated[int, Ge(1)]
        test_events: Annotated[int, Ge(1)]

    def segments(self, log: FlatLog) -> Segments:
        """Split the events; an error if every user has too few events."""
        config = self.config
        targets = config.validation_events + config.test_events
        rule, units = last_units(log, config, config.validation_events, config.test_events)
        hint = (
            f"split.validation_events={config.validation_events} and "
            f"split.test_events={config.test_events}: {units.needs(targets)}"
        )
        return finish(log, self.name, rule, hint, cold_items=config.cold_items)


def last_units(
    log: FlatLog, config: PositionOptions, validation: int, test: int
) -> tuple[Segments, Units]:
    """Rows that hold out the last units of each user with enough units and an event before them.

    Args:
        log: the events.
        config: defines the units and the targets.
        validation: number of validation units, before the test units.
        test: number of test units, the last ones.
    """
    starts, ends = log.offsets[:-1], log.offsets[1:]
    users = np.arange(len(starts), dtype=np.int64)
    units = Units(log, config.unit, config.target_events)
    held = units.offsets[1:] - validation - test  # the first unit that is held out
    enough = units.counts >= validation + test
    enough[enough] = units.starts(users[enough], held[enough]) > starts[enough]
    user, first = users[enough], held[enough]
    middle = first + validation
    trained_to = ends.copy()
    trained_to[enough] = units.starts(user, first)
    rule = Segments(
        train=np.stack([users, starts, trained_to], axis=1),
        validation=units.rows(config.target, user, first, middle),
        test=units.rows(config.target, user, middle, middle + test),
    )
    return rule, units
