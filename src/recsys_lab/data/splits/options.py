"""Options that several splits have, each documented once. No heavy import: read at every start."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class SplitOptions:
    """Options of all splits.

    Attributes:
        cold_items: targets whose item has no training event: ``keep``, ``drop`` (and count), or
            keep and ``report`` their number.
        target_events: types of the events that may be targets; null: all. See
            `recsys_lab.data.splits.units`.
    """

    cold_items: Literal["keep", "drop", "report"]
    target_events: list[str] | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class PositionOptions(SplitOptions):
    """Options of splits that hold out the last events of users.

    Attributes:
        target: whether all targets of a user are to be found at once, by the events before the
            first of them, or (``successive``) each in turn, by all events before it.
        unit: what is counted and held out: events, whole sessions or whole baskets; see
            `recsys_lab.data.splits.units`.
    """

    target: Literal["all", "successive"] = field(default="all", kw_only=True)
    unit: Literal["event", "session", "basket"] = field(default="event", kw_only=True)


@dataclass(frozen=True)
class TimeOptions(SplitOptions):
    """Options of splits that cut by time.

    Attributes:
        cold_users: rows of users without training events, as with ``cold_items``. Users that are
            held out for validation are not cold.
        unit: what is counted and held out: events, whole sessions or whole baskets; see
            `recsys_lab.data.splits.units`.
    """

    cold_users: Literal["keep", "drop", "report"]
    unit: Literal["event", "session", "basket"] = field(default="event", kw_only=True)
