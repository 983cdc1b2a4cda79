"""Options shared by several splits. Without heavy imports: loaded at every start."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class SplitOptions:
    """Options of all splits.

    Attributes:
        cold_items: handling of targets whose item has no training event: ``keep``, ``drop`` (and
            count), or keep and ``report`` their number.
        target_events: types of events that may be targets; null: all. See
            `recsys_lab.data.splits.units`.
    """

    cold_items: Literal["keep", "drop", "report"]
    target_events: list[str] | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class PositionOptions(SplitOptions):
    """Options of splits that hold out the last events of users.

    Attributes:
        target: ``all``: predict all targets of a user at once from the events before the first;
            ``successive``: each in turn, from all events before it.
        unit: what is counted and held out: events, whole sessions or whole baskets; see
            `recsys_lab.data.splits.units`.
    """

    target: Literal["all", "successive"] = field(default="all", kw_only=True)
    unit: Literal["event", "session", "basket"] = field(default="event", kw_only=True)


@dataclass(frozen=True)
class TimeOptions(SplitOptions):
    """Options of splits that cut by time.

    Attributes:
        cold_users: handling of rows whose user has no training event, as for ``cold_items``. Users
            held out for validation are not cold.
        unit: what is counted and held out: events, whole sessions or whole baskets; see
            `recsys_lab.data.splits.units`.
    """

    cold_users: Literal["keep", "drop", "report"]
    unit: Literal["event", "session", "basket"] = field(default="event", kw_only=True)
