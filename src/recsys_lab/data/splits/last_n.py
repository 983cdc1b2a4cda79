"""The last n events of every user are found by what came before them.

Shapes: U users, T events laid end to end by user, n rows of one phase.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from annotated_types import Ge

from recsys_lab.data.splits.base import Segments, recorded
from recsys_lab.data.splits.cold_start import finish
from recsys_lab.data.splits.units import Units

if TYPE_CHECKING:
    from recsys_lab.data.splits.base import FlatLog


class LastN:
    """A user's last events are the test targets, those before them the validation targets.

    The history at test time includes the validation targets. Users with too few events
    for all targets and one training event are trained on wholly and have no targets.

    Args:
        config: see `Config`.
    """

    held_out_phases: tuple[str, ...] = ()

    @dataclass(frozen=True)
    class Config:
        """Options of `LastN`.

        Attributes:
            validation_events: validation targets a user.
            test_events: test targets a user.
            cold_items: targets whose item has no training event: ``keep``, ``drop`` (and count),
                or keep and ``report`` their number.
            target: whether all targets of a user are to be found at once, by the events before the
                first of them, or (``successive``) each in turn, by all events before it.
            target_events: types of the events that may be targets; null: all. See
                `recsys_lab.data.splits.units`.
            unit: what is counted and held out: events, whole sessions or whole baskets; likewise.
        """

        validation_events: Annotated[int, Ge(1)]
        test_events: Annotated[int, Ge(1)]
        cold_items: Literal["keep", "drop", "report"]
        target: Literal["all", "successive"] = field(default="all", kw_only=True)
        target_events: list[str] | None = field(default=None, kw_only=True)
        unit: Literal["event", "session", "basket"] = field(default="event", kw_only=True)

    def __init__(self, config: Config) -> None:
        self.config = config

    def settings(self) -> dict[str, Any]:
        """What is recorded in the manifest and the protocol fingerprint."""
        return {"name": "last_n", **recorded(self.config)}

    def segments(self, log: FlatLog) -> Segments:
        """Split the events.

        Raises:
            UserError: when every user has too few events.
        """
        config = self.config
        targets = config.validation_events + config.test_events
        starts, ends = log.offsets[:-1], log.offsets[1:]
        users = np.arange(len(starts), dtype=np.int64)
        units = Units(log, config)
        held = units.offsets[1:] - targets  # the first unit that is held out
        enough = units.counts >= targets
        enough[enough] = units.starts(users[enough], held[enough]) > starts[enough]
        user, first = users[enough], held[enough]
        test = first + config.validation_events
        trained_to = ends.copy()
        trained_to[enough] = units.starts(user, first)
        rule = Segments(
            train=np.stack([users, starts, trained_to], axis=1),
            validation=units.rows(config.target, user, first, test),
            test=units.rows(config.target, user, test, first + targets),
        )
        hint = (
            f"split.validation_events={config.validation_events} and "
            f"split.test_events={config.test_events}: {units.needs(targets)}"
        )
        return finish(log, "last_n", rule, hint, cold_items=config.cold_items)
