"""Back-tests: consecutive test windows, each with the training period before it.

Shapes: U users, T events concatenated by user, n rows of one phase.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, NamedTuple

import numpy as np
from annotated_types import Ge, Gt, Le

from recsys_lab.config import UserError
from recsys_lab.data.splits.base import FlatLog, Segments, Split
from recsys_lab.data.splits.cold_start import finish
from recsys_lab.data.splits.options import TimeOptions
from recsys_lab.data.splits.periods import (
    DAY,
    format_span,
    format_time,
    require_times,
    seconds_of,
    span,
)
from recsys_lab.data.splits.ranges import first_from
from recsys_lab.data.splits.units import Units


class Window(NamedTuple):
    """One window of a back-test, in seconds since the epoch; every end is excluded.

    Attributes:
        train_start: None: the log's first event.
        validation_start: where training ends.
        test_start: where validation ends.
        test_end: where the test window ends.
    """

    train_start: int | None
    validation_start: int
    test_start: int
    test_end: int


class Rolling(Split):
    """One of several consecutive windows, each with a training period: evaluates retraining.

    Test windows of `window_days` are placed backwards from the end without gaps; window 0 is the
    oldest. Each has a validation window before it, and a training period before that. Only events
    of these three are used, also as input. The catalogue is that of the whole log: items first seen
    after the window are candidates unless ``evaluation.candidates`` is ``known`` or ``released``;
    ``items_unused`` in the manifest's split is the number of items without an event in the three.
    Targets of the validation and the test window follow the same rule: the user's ``first`` or
    ``last`` event in it, predicted from all events before it (also those of the window); ``all``,
    predicted from the events before the first of them; or ``successive``: each in turn, from all
    events before it.

    Users without any event before their targets have no input; they are left out and counted.

    Raises:
        UserError: if there is no such window, or the end is not a date.
    """

    name = "rolling"

    @dataclass(frozen=True)
    class Config(TimeOptions):
        """Options of `Rolling`.

        Attributes:
            num_windows: number of test windows.
            window: index of this dataset's window, 0 for the oldest; null: all, for which commands
                make one run each.
            window_days: length of a test window, in days.
            validation_days: length of the validation window before it, in days.
            train_days: length of the training period before that, in days; null for everything.
            end: events at or after this date are not used: ISO 8601, UTC if no zone is given;
                null: the last window ends with the log's last event.
            target: which events of a user in a window are targets.
        """

        num_windows: Annotated[int, Ge(1)]
        window: Annotated[int, Ge(0)] | None
        window_days: Annotated[float, Gt(0), Le(1_000_000)]
        validation_days: Annotated[float, Gt(0), Le(1_000_000)]
        train_days: Annotated[float, Gt(0), Le(1_000_000)] | None
        end: str | None
        target: Literal["first", "last", "all", "successive"]

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        if config.window is not None and config.window >= config.num_windows:
            raise UserError(
                f"split.window={config.window}: there are split.num_windows={config.num_windows} "
                f"windows; allowed are 0 (the oldest) to {config.num_windows - 1}, or null for all"
            )
        self._end = None if config.end is None else seconds_of("split.end", config.end)

    def windows(self, log: FlatLog) -> list[Window]:
        """All windows of the back-test, the oldest first.

        Raises:
            UserError: if the log has no times.
        """
        config = self.config
        times = require_times(log, self.name)
        end = span(log, times)[1] + 1 if self._end is None else self._end
        length, before = _seconds(config.window_days), _seconds(config.validation_days)
        windows = []
        for back in range(config.num_windows, 0, -1):
            test = end - back * length
            validation = test - before
            train = None if config.train_days is None else validation - _seconds(config.train_days)
            windows.append(Window(train, validation, test, test + length))
        return windows

    def segments(self, log: FlatLog) -> Segments:
        """Split the events of the chosen window.

        Raises:
            UserError: if no window is chosen, the log has no times, or a part is empty.
        """
        config = self.config
        if config.window is None:
            raise UserError(
                "split=rolling: a dataset has one window, and split.window=null means all. Set "
                f"split.window to one of 0 (the oldest) to {config.num_windows - 1}, or use a "
                "command that runs every window"
            )
        times = require_times(log, self.name)
        window = self.windows(log)[config.window]
        starts, ends = log.offsets[:-1], log.offsets[1:]
        if window.train_start is not None:
            starts = first_from(times, starts, ends, window.train_start)
        validation, test, end = (
            first_from(times, starts, ends, time)
            for time in (window.validation_start, window.test_start, window.test_end)
        )
        users = np.arange(len(starts), dtype=np.int64)
        units = Units(log, config.unit, config.target_events)
        # A training period may begin within a session.
        trained_to = np.maximum(starts, units.whole_until(validation))
        validation_rows, test_rows = (
            units.rows(config.target, users, *units.between(begin, until), history_n=starts)
            for begin, until in ((validation, test), (test, end))
        )
        rule = Segments(
            train=np.stack([users, starts, trained_to], axis=1),
            validation=validation_rows,
            test=test_rows,
            counts={
                "validation_start_time": window.validation_start,
                "test_start_time": window.test_start,
                "test_end_time": window.test_end,
            },
        )
        hint = (
            f"{format_span(log, times)}; window {config.window}: validation from "
            f"{format_time(window.validation_start)}, test from {format_time(window.test_start)} "
            f"to {format_time(window.test_end)}. Choose fewer or shorter windows "
            "(split.num_windows, split.window_days, split.validation_days), or another split.end"
        )
        return finish(
            log, self.name, rule, hint, cold_items=config.cold_items, cold_users=config.cold_users
        )


def _seconds(days: float) -> int:
    return max(1, round(days * DAY))
