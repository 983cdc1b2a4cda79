"""Which events of the raw log stay: conditions on a row, and on its place among others."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, Literal, NamedTuple

import narwhals as nw
from annotated_types import Ge, Gt, Le

from recsys_lab.config import UserError
from recsys_lab.data.columns.timestamps import parse_date


class Rule(NamedTuple):
    """One reason to drop a row.

    Attributes:
        step: name of the step in the counts.
        reason: for people.
        fails: true for the rows to drop; where an earlier rule fails it may be null.
    """

    step: str
    reason: str
    fails: nw.Expr


class Filters:
    """The filter settings, applied in the order of the options; bad rows are gone before.

    Bad are rows without a user, an item or, where the log has them, a time or place that can be
    read. How many there may be is `max_bad_rows`; it changes no result and is not recorded. What is
    prepared already is refused by it as a new dataset is.

    Args:
        config: the settings.

    Raises:
        UserError: for a date that cannot be read, or a start after the end.
    """

    @dataclass(frozen=True)
    class Config:
        """Options of `Filters`.

        Attributes:
            max_bad_rows: share of bad rows above which nothing is prepared; 1 allows all.
            event_types: events of other types are dropped; null for all.
            min_rating: events with a smaller or no rating are dropped; null for off.
            start: earlier events are dropped: ISO 8601, UTC where no zone is given; null for off.
            end: events at or after it are dropped; null for off.
            drop_duplicates: drop rows that repeat user, item, time (and order) and, where the log
                has one, event type; the first stays. Without a timestamp and an order nothing is
                a duplicate.
            drop_consecutive_repeats: of an item that a user has several times in a row the first
                event stays.
            counts: which events the next three look at. ``whole``: all, as published protocols
                have it; what stays is then decided by validation and test, too. ``training``: what
                the split trains on (of users it holds out, their input): see
                `recsys_lab.data.preparation.training_filters`.
            session_gap: minutes without an event of the user that end a session; null: sessions
                are those of ``data.session_column``, if any. No event is dropped for it.
            max_history: a user's older events are dropped; 0 for off.
            min_user_count: users with fewer events are dropped; 0 for off.
            min_item_count: items with fewer events are dropped; 0 for off.
            iterative: repeat the two counts until nothing changes (k-core); else each is taken
                once, items first, and what users are then left may make items rarer.
            catalogue: which items can be recommended. ``events``: those with an event that stays.
                ``table``: those of the source's table of items, too, for models that read its
                columns or texts; also items whose events these filters dropped.
        """

        max_bad_rows: Annotated[float, Ge(0), Le(1)] = field(default=1.0, kw_only=True)
        event_types: list[str] | None
        min_rating: float | None
        start: str | None
        end: str | None
        drop_duplicates: bool
        drop_consecutive_repeats: bool
        counts: Literal["whole", "training"] = field(default="whole", kw_only=True)
        session_gap: Annotated[float, Gt(0)] | None = field(default=None, kw_only=True)
        max_history: Annotated[int, Ge(0)]
        min_user_count: Annotated[int, Ge(0)]
        min_item_count: Annotated[int, Ge(0)]
        iterative: bool
        catalogue: Literal["events", "table"] = field(default="events", kw_only=True)

    def __init__(self, config: Config) -> None:
        self.config = config
        self._start = _seconds("start", config.start)
        self._end = _seconds("end", config.end)
        if self._start is not None and self._end is not None and self._start >= self._end:
            raise UserError(
                f"filter.start={config.start} is not before filter.end={config.end}: no event "
                "would be left"
            )

    def settings(self) -> dict[str, Any]:
        """What is recorded in the manifest and the protocol fingerprint.

        Without ``counts: whole``, ``catalogue: events`` and ``session_gap: null``, which is what
        filters did before there
        was a choice.
        """
        found = asdict(self.config)
        del found["max_bad_rows"]
        for option, older in (("counts", "whole"), ("catalogue", "events"), ("session_gap", None)):
            if found[option] == older:
                del found[option]
        return found

    def rules(self, columns: Collection[str]) -> list[Rule]:
        """The conditions on single rows.

        Args:
            columns: of the log.

        Raises:
            UserError: when the log has no column that a setting needs.
        """
        config = self.config
        found = []
        if config.event_types is not None:
            _require("event_type", columns, f"event_types={config.event_types}")
            kind = nw.col("event_type")
            found += [
                Rule("event type", "missing event type", kind.is_null()),
                Rule(
                    "event type",
                    f"event type is none of {', '.join(config.event_types)}",
                    ~kind.is_in(config.event_types),
                ),
            ]
        if config.min_rating is not None:
            _require("rating", columns, f"min_rating={config.min_rating:g}")
            rating = nw.col("rating")
            found += [
                Rule("rating", "missing or unreadable rating", rating.is_null() | rating.is_nan()),
                Rule("rating", f"rating below {config.min_rating:g}", rating < config.min_rating),
            ]
        for option, limit, word in (("start", self._start, "before"), ("end", self._end, "from")):
            if limit is None:
                continue
            text = getattr(config, option)
            _require("timestamp", columns, f"{option}={text}")
            time = nw.col("timestamp")
            fails = time < limit if option == "start" else time >= limit
            found.append(Rule("dates", f"{word} {text} on" if option == "end" else f"{word} {text}",
                              fails))  # fmt: skip
        return found


def _seconds(option: str, text: str | None) -> int | None:
    """Seconds since the epoch of a date."""
    return None if text is None else int(parse_date(f"filter.{option}", text).timestamp())


def _require(column: str, columns: Collection[str], setting: str) -> None:
    if column not in columns:
        atomic = {"rating": "rating_field", "timestamp": "time_field"}.get(column)
        also = f" (data=recbole: data.{atomic})" if atomic is not None else ""
        raise UserError(
            f"filter.{setting}: this log has no {column}. Name its column with "
            f"data.{column}_column{also} where the source has one, or set the filter to null"
        )
