"""Global temporal split: one cut in time for all users; events after it are targets.

Shapes: U users, T events concatenated by user, n rows of one phase.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from annotated_types import Ge, Gt, Lt
from numpy.typing import NDArray

from recsys_lab.config import UserError
from recsys_lab.data.splits.base import FlatLog, Segments, Split
from recsys_lab.data.splits.cold_start import finish
from recsys_lab.data.splits.options import TimeOptions
from recsys_lab.data.splits.periods import format_span, format_time, require_times, seconds_of
from recsys_lab.data.splits.ranges import choose, first_from, rounded_down, time_at_share
from recsys_lab.data.splits.units import Target, Units


class GlobalTemporal(Split):
    """A cut in time that is the same for all users (Meng et al. 2020; Gusak et al. 2025).

    An event at the time of the test cut counts as after it. `target` selects the targets among a
    user's events after the cut:

    - ``first``, ``last`` and ``random``: one event, predicted from all events before it. So **the
      history includes the user's earlier events after the cut**, if any: the model reads them,
      although it was not trained on them.
    - ``all``: all of them at once, predicted from the events before the first.
    - ``successive``: each in turn, predicted from all events before it, as in a deployed system. A
      user has a list for each; see `recsys_lab.evaluation.metrics.user_mean` for the average.

    Validation by ``time`` has a validation cut before the test cut, training strictly before it,
    and targets between the two by the same `target` rule. Nothing at or after the test cut is
    read. Validation by ``users`` trains up to the test cut, without some users: their last event
    before the cut is predicted from their earlier ones, and none of their events is trained on.
    Their events after the cut remain test targets.

    Users without any event before their targets have no input; they are left out and counted. The
    catalogue is that of the whole log: items first seen after a cut are candidates unless
    ``evaluation.candidates`` is ``known`` or ``released``.

    Sources: Meng et al. 2020, "Exploring data splitting strategies for the evaluation of
    recommendation models"; Gusak et al. 2025, "Time to split: exploring data splitting
    strategies for offline evaluation of sequential recommenders".

    Raises:
        UserError: if a cut is given twice or not at all, or a date cannot be read.
    """

    name = "global_temporal"

    @dataclass(frozen=True)
    class Config(TimeOptions):
        """Options of `GlobalTemporal`.

        Attributes:
            test_start: the test cut as a date, ISO 8601, UTC if no zone is given; or null.
            test_quantile: the test cut as the share of all events before it; or null. The cut is
                the time of event number ``floor(share * events)``, counted from 0: all events with
                this time are after it. Exactly one of the two is given.
            target: which events of a user after a cut are targets.
            validation: by ``time`` or by ``users``.
            validation_start: the validation cut as a date; read with ``validation: time``.
            validation_quantile: the validation cut as the share of all events before it; read
                with ``validation: time``. Exactly one of the two is given.
            validation_users: share of the users with 2 events before the cut that are held out,
                rounded down, but at least one; read with ``validation: users``.
            seed: of ``target: random`` and ``validation: users``; the draws are the same on every
                machine.
        """

        test_start: str | None
        test_quantile: Annotated[float, Gt(0), Lt(1)] | None
        target: Target
        validation: Literal["time", "users"]
        validation_start: str | None
        validation_quantile: Annotated[float, Gt(0), Lt(1)] | None
        validation_users: Annotated[float, Gt(0), Lt(1)]
        seed: Annotated[int, Ge(0)]

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.held_out_phases = ("validation",) if config.validation == "users" else ()
        self._test = _one_cut("test", config.test_start, config.test_quantile)
        self._validation: int | float | None = None
        if config.validation == "time":
            self._validation = _one_cut(
                "validation", config.validation_start, config.validation_quantile
            )

    def settings(self) -> dict[str, Any]:
        """What is recorded in the manifest and the protocol fingerprint, without unused options."""
        config = self.config
        by_time = config.validation == "time"
        unread = {"validation_users"} if by_time else {"validation_start", "validation_quantile"}
        if by_time and config.target != "random":
            unread.add("seed")
        return {key: value for key, value in super().settings().items() if key not in unread}

    def segments(self, log: FlatLog) -> Segments:
        """Split the events.

        Raises:
            UserError: if the log has no times, the validation cut is not before the test cut, or a
                part is empty.
        """
        config = self.config
        times = require_times(log, self.name)
        starts, ends = log.offsets[:-1], log.offsets[1:]
        test_cut = _time(log, times, self._test)
        cuts = {"test_cut_time": test_cut}
        users = np.arange(len(starts), dtype=np.int64)
        units = Units(log, config.unit, config.target_events)
        cut = first_from(times, starts, ends, test_cut)
        test = units.rows(
            config.target, users, *units.between(cut, ends), seed=config.seed, stream=0
        )
        held_out = np.zeros(len(starts), dtype=bool)
        if self._validation is None:
            validation = self._by_users(units, starts, units.until_places(cut))
            held_out[validation[:, 0]] = True
            trained_to = np.where(held_out, starts, units.whole_until(cut))
        else:
            validation_cut = _time(log, times, self._validation)
            cuts["validation_cut_time"] = validation_cut
            self._refuse_order(validation_cut, test_cut)
            cut_before = first_from(times, starts, cut, validation_cut)
            trained_to = units.whole_until(cut_before)
            held = units.between(cut_before, cut)
            validation = units.rows(config.target, users, *held, seed=config.seed, stream=1)
        rule = Segments(np.stack([users, starts, trained_to], axis=1), validation, test, cuts)
        shown = ", ".join(f"{key[:-9]} cut: {format_time(time)}" for key, time in cuts.items())
        return finish(
            log,
            self.name,
            rule,
            f"{format_span(log, times)}; {shown}. Move the cuts (split.test_start or "
            "split.test_quantile, split.validation_start or split.validation_quantile)",
            cold_items=config.cold_items,
            cold_users=config.cold_users,
            held_out=held_out,
        )

    def _by_users(
        self, units: Units, starts: NDArray[np.int64], end: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Rows of the last unit before number `end`, of chosen users with an event before it."""
        users = np.flatnonzero(end > units.offsets[:-1])
        users = users[units.starts(users, end[users] - 1) > starts[users]]
        number = max(1, int(rounded_down(self.config.validation_users, len(users))))
        held = choose(self.config.seed, 1, users, number)
        rule: Target = "successive" if self.config.target == "successive" else "all"
        return units.rows(rule, held, end[held] - 1, end[held])

    def _refuse_order(self, validation_cut: int, test_cut: int) -> None:
        if validation_cut >= test_cut:
            raise UserError(
                f"split=global_temporal: the validation cut ({format_time(validation_cut)}) is not "
                f"before the test cut ({format_time(test_cut)}). Lower split.validation_start or "
                "split.validation_quantile"
            )


def _one_cut(phase: str, start: str | None, quantile: float | None) -> int | float:
    """The cut in seconds since the epoch (int) or as a share of events (float)."""
    if start is None and quantile is None:
        raise UserError(
            f"split.{phase}_start and split.{phase}_quantile are both null: set one, e.g. "
            f"split.{phase}_quantile=0.9"
        )
    if start is None:
        assert quantile is not None
        return float(quantile)
    if quantile is not None:
        raise UserError(
            f"split.{phase}_start={start} and split.{phase}_quantile={quantile:g} both give the "
            f"{phase} cut: set one of them to null"
        )
    return seconds_of(f"split.{phase}_start", start)


def _time(log: FlatLog, times: NDArray[np.int64], cut: int | float) -> int:
    if isinstance(cut, int):
        return cut
    return time_at_share(times, log.offsets[:-1], log.offsets[1:], cut)
