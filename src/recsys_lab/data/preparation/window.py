"""``filter.window``: only the last days or weeks of the log."""

from __future__ import annotations

from typing import TYPE_CHECKING

import narwhals as nw

from recsys_lab.data.preparation.durations import window_seconds
from recsys_lab.data.preparation.row_filters import Rule

if TYPE_CHECKING:
    from collections.abc import Sequence

    from recsys_lab.data.engines.base import Frame
    from recsys_lab.data.preparation.row_filters import Filters


def with_window(
    frame: Frame, filters: Filters, rules: Sequence[Rule], mark: str
) -> tuple[Frame, list[Rule]]:
    """Add the rule of the window, which depends on the newest event that all other rules keep.

    An event exactly one window before the newest is dropped, so that ``7d`` are seven days.

    Args:
        frame: the log, with the index of the first rule that a row fails in the column ``mark``.
        filters: the settings; without a window nothing is changed.
        rules: the other rules; a row that passes them has ``len(rules)`` in ``mark``.
        mark: the column.

    Returns:
        The frame with the new marks, and all rules.
    """
    text = filters.config.window
    if text is None:
        return frame, list(rules)
    kept = nw.col(mark) == len(rules)
    newest = frame.filter(kept).select(nw.col("timestamp").max()).collect(backend="pyarrow")
    latest = newest["timestamp"].to_list()[0]
    if latest is None:  # nothing is left, which is refused later
        latest = 0
    first = int(latest) - window_seconds("filter.window", text)
    rule = Rule("window", f"more than {text} before the newest event", nw.col("timestamp") <= first)
    passes = nw.when(kept & ~rule.fails).then(nw.lit(len(rules) + 1)).otherwise(nw.col(mark))
    return frame.with_columns(passes.cast(nw.Int8).alias(mark)), [*rules, rule]
