"""One moment for all users: what came before it is known, what came after must be found.

Shapes: U users, T events laid end to end by user, n rows of one phase.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from annotated_types import Ge, Gt, Lt

from recsys_lab.config import UserError
from recsys_lab.data.splits.base import Segments, recorded
from recsys_lab.data.splits.cold_start import finish
from recsys_lab.data.splits.periods import (
    format_span,
    format_time,
    require_times,
    seconds_of,
)
from recsys_lab.data.splits.ranges import choose, first_from, rounded_down, time_at_share
from recsys_lab.data.splits.units import Target, Units

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from recsys_lab.data.splits.base import FlatLog


class GlobalTemporal:
    """A cut in time that is the same for all users (Meng et al. 2020; Gusak et al. 2025).

    An event at or after the test cut is after it. Of a user's events after the cut, `target`
    says which are to be found:

    - ``first``, ``last`` and ``random``: one event, by all events before it. So **the history
      includes the user's earlier events after the cut**, if any: the model reads them, though it
      was not trained on them.
    - ``all``: all of them at once, by the events before the first of them.
    - ``successive``: each of them in turn, by all events before it, as a system in use would be
      asked. A user has a list for each; `recsys_lab.evaluation.metrics.user_mean` says what is
      averaged.

    Validation by ``time`` is the same once more: a validation cut before the test cut, training
    strictly before it, targets between the two by the same `target` rule. Nothing at or after
    the test cut is read. Validation by ``users`` trains up to the test cut, but for some users:
    their last event before the cut is to be found by their earlier ones, and none of their
    events is trained on. Their events after the cut stay test targets.

    Users without any event before their targets have no input and are left out, counted. The
    catalogue is that of the whole log: items first seen after a cut are candidates, too, unless
    ``evaluation.candidates`` is ``known`` or ``released``.

    Sources: Meng et al. 2020, "Exploring data splitting strategies for the evaluation of
    recommendation models"; Gusak et al. 2025, "Time to split: exploring data splitting
    strategies for offline evaluation of sequential recommenders".

    Args:
        config: see `Config`.

    Raises:
        UserError: when a cut is given twice or not at all, or a date cannot be read.
    """

    @dataclass(frozen=True)
    class Config:
        """Options of `GlobalTemporal`.

        Attributes:
            test_start: the test cut as a date, ISO 8601, UTC where no zone is given; or null.
            test_quantile: the test cut as the share of all events before it; or null. The cut is
                the time of event number ``floor(share * events)``, counted from 0: events that
                share this time are all after it. Exactly one of the two is given.
            target: which events of a user after a cut are to be found.
            validation: by ``time`` or by ``users``.
            validation_start: the validation cut as a date; read with ``validation: time``.
            validation_quantile: the validation cut as the share of all events before it; read
                with ``validation: time``. Exactly one of the two is given.
            validation_users: share of the users with 2 events before the cut that are held out,
                rounded down, but at least one; read with ``validation: users``.
            seed: of ``target: random`` and ``validation: users``; the draws are equal on every
                machine.
            cold_items: targets whose item has no training event: ``keep``, ``drop`` (and count),
                or keep and ``report`` their number.
            cold_users: rows of users without training events, likewise. Users that are held out
                for validation are not cold.
            target_events: types of the events that may be targets; null: all. See
                `recsys_lab.data.splits.units`.
            unit: what is counted and held out: events, whole sessions or whole baskets; likewise.
        """

        test_start: str | None
        test_quantile: Annotated[float, Gt(0), Lt(1)] | None
        target: Literal["first", "last", "random", "all", "successive"]
        validation: Literal["time", "users"]
        validation_start: str | None
        validation_quantile: Annotated[float, Gt(0), Lt(1)] | None
        validation_users: Annotated[float, Gt(0), Lt(1)]
        seed: Annotated[int, Ge(0)]
        cold_items: Literal["keep", "drop", "report"]
        cold_users: Literal["keep", "drop", "report"]
        target_events: list[str] | None = field(default=None, kw_only=True)
        unit: Literal["event", "session", "basket"] = field(default="event", kw_only=True)

    def __init__(self, config: Config) -> None:
        self.config = config
        self._test = _one_cut("test", config.test_start, config.test_quantile)
        self._validation: int | float | None = None
        if config.validation == "time":
            self._validation = _one_cut(
                "validation", config.validation_start, config.validation_quantile
            )

    @property
    def held_out_phases(self) -> tuple[str, ...]:
        """Phases whose users must not be trained on."""
        return ("validation",) if self.config.validation == "users" else ()

    def settings(self) -> dict[str, Any]:
        """What is recorded in the manifest and the protocol fingerprint: options that are read."""
        config = self.config
        by_time = config.validation == "time"
        unread = {"validation_users"} if by_time else {"validation_start", "validation_quantile"}
        if by_time and config.target != "random":
            unread.add("seed")
        kept = {key: value for key, value in recorded(config).items() if key not in unread}
        return {"name": "global_temporal", **kept}

    def segments(self, log: FlatLog) -> Segments:
        """Split the events.

        Raises:
            UserError: when the log has no times, the validation cut is not before the test cut,
                or a part is empty.
        """
        config = self.config
        times = require_times(log, "global_temporal")
        starts, ends = log.offsets[:-1], log.offsets[1:]
        test_cut = _time(log, times, self._test)
        cuts = {"test_cut_time": test_cut}
        users = np.arange(len(starts), dtype=np.int64)
        units = Units(log, config)
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
        said = ", ".join(f"{key[:-9]} cut: {format_time(time)}" for key, time in cuts.items())
        return finish(
            log,
            "global_temporal",
            rule,
            f"{format_span(log, times)}; {said}. Move the cuts (split.test_start or "
            "split.test_quantile, split.validation_start or split.validation_quantile)",
            cold_items=config.cold_items,
            cold_users=config.cold_users,
            held_out=held_out,
        )

    def _by_users(
        self, units: Units, starts: NDArray[np.int64], end: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """The last unit before number `end` of some users who have an event before it."""
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
    """Seconds since the epoch (int) or a share of events (float)."""
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
