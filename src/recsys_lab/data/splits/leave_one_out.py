"""The last event of every user is found by what came before it.

Shapes: U users, T events laid end to end by user, n rows of one phase.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from recsys_lab.config import UserError
from recsys_lab.data.splits.base import Segments, recorded
from recsys_lab.data.splits.cold_start import finish
from recsys_lab.data.splits.units import Units

if TYPE_CHECKING:
    from recsys_lab.data.splits.base import FlatLog


class LeaveOneOut:
    """A user's last event is the test target, the one before the validation target.

    The history at test time includes the validation target; at validation it does not. Users
    without two such events and another event before both are trained on wholly and have no
    targets.

    Args:
        config: see `Config`.

    Raises:
        UserError: for targets in turn where there is one.
    """

    held_out_phases: tuple[str, ...] = ()

    @dataclass(frozen=True)
    class Config:
        """Options of `LeaveOneOut`.

        Attributes:
            cold_items: targets whose item has no training event: ``keep``, ``drop`` (and count),
                or keep and ``report`` their number.
            target: with ``unit: session``: whether all events of the session are to be found at
                once, by the events before it, or (``successive``) each in turn, by all before it.
            target_events: types of the events that may be targets; null: all. See
                `recsys_lab.data.splits.units`.
            unit: what is counted and held out: events, whole sessions or whole baskets; likewise.
        """

        cold_items: Literal["keep", "drop", "report"]
        target: Literal["all", "successive"] = field(default="all", kw_only=True)
        target_events: list[str] | None = field(default=None, kw_only=True)
        unit: Literal["event", "session", "basket"] = field(default="event", kw_only=True)

    def __init__(self, config: Config) -> None:
        if config.target != "all" and config.unit != "session":
            raise UserError(
                f"split.target={config.target}: one {config.unit} is held out, so that there is "
                "nothing to find in turn; set split.unit=session, or split.target=all"
            )
        self.config = config

    def settings(self) -> dict[str, Any]:
        """What is recorded in the manifest and the protocol fingerprint."""
        rule = {"name": "leave_one_out", "validation": "second last", "test": "last"}
        return {**rule, **recorded(self.config)}

    def segments(self, log: FlatLog) -> Segments:
        """Split the events.

        Raises:
            UserError: when no user has enough events.
        """
        starts, ends = log.offsets[:-1], log.offsets[1:]
        users = np.arange(len(starts), dtype=np.int64)
        units = Units(log, self.config)
        held = units.offsets[1:] - 2  # the first unit that is held out
        enough = units.counts >= 2
        enough[enough] = units.starts(users[enough], held[enough]) > starts[enough]
        user, first = users[enough], held[enough]
        trained_to = ends.copy()
        trained_to[enough] = units.starts(user, first)
        rule = Segments(
            train=np.stack([users, starts, trained_to], axis=1),
            validation=units.rows(self.config.target, user, first, first + 1),
            test=units.rows(self.config.target, user, first + 1, first + 2),
        )
        return finish(log, "leave_one_out", rule, units.needs(2), cold_items=self.config.cold_items)
