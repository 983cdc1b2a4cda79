"""The last n events of every user are found, all at once, by what came before them.

Shapes: U users, T events laid end to end by user, n rows of one phase.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from annotated_types import Ge

from recsys_lab.data.splits.base import Segments
from recsys_lab.data.splits.finish import finish

if TYPE_CHECKING:
    from recsys_lab.data.splits.base import FlatLog


class LastN:
    """A user's last events are the test targets, those before them the validation targets.

    All targets of a phase are to be found by the same history, the events before the first of
    them; the history at test time includes the validation targets. Users with too few events
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
        """

        validation_events: Annotated[int, Ge(1)]
        test_events: Annotated[int, Ge(1)]
        cold_items: Literal["keep", "drop", "report"]

    def __init__(self, config: Config) -> None:
        self.config = config

    def settings(self) -> dict[str, Any]:
        """What is recorded in the manifest and the protocol fingerprint."""
        return {"name": "last_n", **asdict(self.config)}

    def segments(self, log: FlatLog) -> Segments:
        """Split the events.

        Raises:
            UserError: when every user has too few events.
        """
        config = self.config
        targets = config.validation_events + config.test_events
        starts, ends = log.offsets[:-1], log.offsets[1:]
        users = np.arange(len(starts), dtype=np.int64)
        enough = ends - starts > targets
        user, start, end = users[enough], starts[enough], ends[enough]
        test = end - config.test_events
        rule = Segments(
            train=np.stack([users, starts, np.where(enough, ends - targets, ends)], axis=1),
            validation=np.stack([user, start, end - targets, test], axis=1),
            test=np.stack([user, start, test, end], axis=1),
        )
        hint = (
            f"split.validation_events={config.validation_events} and "
            f"split.test_events={config.test_events} need users with {targets + 1} events; the "
            f"longest history has {int((ends - starts).max(initial=0))}"
        )
        return finish(log, "last_n", rule, hint, cold_items=config.cold_items)
