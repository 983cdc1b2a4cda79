"""The last event of every user is found by what came before it.

Shapes: U users, T events laid end to end by user, n rows of one phase.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from recsys_lab.data.splits.base import Segments
from recsys_lab.data.splits.finish import finish

if TYPE_CHECKING:
    from recsys_lab.data.splits.base import FlatLog


class LeaveOneOut:
    """A user's last event is the test target, the one before the validation target.

    The history at test time includes the validation target; at validation it does not. Users
    with fewer than `min_events` events are trained on wholly and have no targets.

    Args:
        config: see `Config`.
    """

    min_events = 3
    held_out_phases: tuple[str, ...] = ()

    @dataclass(frozen=True)
    class Config:
        """Options of `LeaveOneOut`.

        Attributes:
            cold_items: targets whose item has no training event: ``keep``, ``drop`` (and count),
                or keep and ``report`` their number.
        """

        cold_items: Literal["keep", "drop", "report"]

    def __init__(self, config: Config) -> None:
        self.config = config

    def settings(self) -> dict[str, Any]:
        """What is recorded in the manifest and the protocol fingerprint."""
        rule = {"name": "leave_one_out", "validation": "second last", "test": "last"}
        return {**rule, **asdict(self.config)}

    def segments(self, log: FlatLog) -> Segments:
        """Split the events.

        Raises:
            UserError: when no user has `min_events` events.
        """
        starts, ends = log.offsets[:-1], log.offsets[1:]
        users = np.arange(len(starts), dtype=np.int64)
        enough = ends - starts >= self.min_events
        user, start, end = users[enough], starts[enough], ends[enough]
        rule = Segments(
            train=np.stack([users, starts, np.where(enough, ends - 2, ends)], axis=1),
            validation=np.stack([user, start, end - 2, end - 1], axis=1),
            test=np.stack([user, start, end - 1, end], axis=1),
        )
        longest = int((ends - starts).max(initial=0))
        hint = (
            f"Targets need users with {self.min_events} events; the longest history has {longest}"
        )
        return finish(log, "leave_one_out", rule, hint, cold_items=self.config.cold_items)
