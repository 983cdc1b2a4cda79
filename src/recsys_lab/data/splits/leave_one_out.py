"""Leave-one-out: the last event of every user is the test target.

Shapes: U users, T events concatenated by user, n rows of one phase.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from recsys_lab.config import UserError
from recsys_lab.data.splits.base import FlatLog, Segments, Split
from recsys_lab.data.splits.cold_start import finish
from recsys_lab.data.splits.last_n import last_units
from recsys_lab.data.splits.options import PositionOptions


class LeaveOneOut(Split):
    """A user's last event is the test target, the one before the validation target.

    The history at test time includes the validation target. All events of users without two such
    events and another event before both are trained on; they have no targets.

    Raises:
        UserError: for ``target: successive`` with a single target.
    """

    name = "leave_one_out"

    @dataclass(frozen=True)
    class Config(PositionOptions):
        """Options of `LeaveOneOut`.

        Attributes:
            target: with ``unit: session``: ``all``: predict all events of the session at once from
                the events before it; ``successive``: each in turn, from all events before it.
        """

    def __init__(self, config: Config) -> None:
        if config.target != "all" and config.unit != "session":
            raise UserError(
                f"split.target={config.target}: a single {config.unit} is held out, so targets "
                "cannot be successive; set split.unit=session, or split.target=all"
            )
        super().__init__(config)

    def settings(self) -> dict[str, Any]:
        """What is recorded in the manifest and the protocol fingerprint."""
        return {"validation": "second last", "test": "last", **super().settings()}

    def segments(self, log: FlatLog) -> Segments:
        """Split the events; an error if no user has enough events."""
        rule, units = last_units(log, self.config, 1, 1)
        return finish(log, self.name, rule, units.needs(2), cold_items=self.config.cold_items)
