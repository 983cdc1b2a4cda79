"""A published split: the source states the part of every row, by file or column.

Shapes: U users, T events concatenated by user, n rows of one phase.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from recsys_lab.config import UserError
from recsys_lab.data.splits.base import FlatLog, Segments, Split
from recsys_lab.data.splits.cold_start import finish
from recsys_lab.data.splits.options import SplitOptions
from recsys_lab.data.splits.ranges import first_from
from recsys_lab.data.splits.units import Units

NO_PARTS = (
    "split=given: the source does not say which rows are for training, validation and test. Name a "
    "column with data.part_column=COLUMN, or files: data.path (training), data.validation_path and "
    "data.test_path; data=recbole reads a folder with NAME.train.inter, NAME.valid.inter and "
    "NAME.test.inter, data=hub the splits of data.validation_split and data.test_split"
)


class Given(Split):
    """A published split, row by row: no row changes its part.

    A user's events are ordered by part (train, validation, test), then by time. Validation rows
    are predicted from the user's training rows, test rows from those of training and validation
    (with ``target_events``: from all before the first target). Users without a row of an earlier
    part have no input in a phase: they are left out and counted.

    If a row of a later part is earlier in time than one of an earlier part, as in random splits,
    the history would hold events after the target: `Config.out_of_order` decides.
    """

    name = "given"

    @dataclass(frozen=True)
    class Config(SplitOptions):
        """Options of `Given`.

        Attributes:
            out_of_order: if users have a row that is earlier than one of an earlier part,
                ``refuse`` the split, or ``keep`` it and warn with their number.
            target: ``all``: predict all targets of a user at once from the events before the
                first; ``successive``: each in turn, from all events before it.
        """

        out_of_order: Literal["refuse", "keep"]
        target: Literal["all", "successive"] = field(default="all", kw_only=True)

        @property
        def unit(self) -> Literal["event"]:
            """Always events: the parts of the source are kept."""
            return "event"

    def settings(self) -> dict[str, Any]:
        """What is recorded in the manifest and the protocol fingerprint."""
        history = {"validation": "training rows", "test": "training and validation rows"}
        return {"history": history, **super().settings()}

    def segments(self, log: FlatLog) -> Segments:
        """Split the events.

        Raises:
            UserError: if the log has no parts, or a part has no usable row.
        """
        if log.parts is None:
            raise UserError(NO_PARTS)
        starts, ends = log.offsets[:-1], log.offsets[1:]
        users = np.arange(len(starts), dtype=np.int64)
        validation, test = (first_from(log.parts, starts, ends, part) for part in (1, 2))
        units, target = Units(log, self.config.unit, self.config.target_events), self.config.target
        rule = Segments(
            train=np.stack([users, starts, validation], axis=1),
            validation=units.rows(target, users, *units.between(validation, test)),
            test=units.rows(target, users, *units.between(test, ends)),
        )
        hint = (
            "A target is predicted from its user's events in earlier parts: users of validation "
            "and test need rows of an earlier part, under the same id"
        )
        return finish(log, self.name, rule, hint, cold_items=self.config.cold_items)
