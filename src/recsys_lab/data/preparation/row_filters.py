"""The filter settings, and the rules that single rows of the raw log must pass."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, Literal, NamedTuple

import narwhals as nw
from annotated_types import Ge, Gt, Le

from recsys_lab.config import UserError
from recsys_lab.data.columns.conditions import parse_condition, parts_of
from recsys_lab.data.columns.timestamps import parse_date
from recsys_lab.data.preparation.durations import window_seconds
from recsys_lab.data.preparation.excluded_items import excluded_ids, recorded

_OLDER = {
    "counts": "whole",
    "catalogue": "events",
    "session_gap": None,
    "window": None,
    "where": None,
    "exclude_items": None,
    "sample_users": None,
}
"""What filters did before these options existed."""


class Rule(NamedTuple):
    """A reason to drop rows.

    Attributes:
        step: name of the step in the counts.
        reason: shown to the user.
        fails: true for the rows to drop; may be null where an earlier rule fails.
    """

    step: str
    reason: str
    fails: nw.Expr


class Filters:
    """The filter settings, applied in the order of the options, after bad rows are dropped.

    A row is bad without a user, an item or, where the log has them, a readable time or order.
    `max_bad_rows` limits their share; it does not change results and is not recorded, and it also
    applies to a dataset that is already prepared.

    Args:
        config: the settings.

    Attributes:
        conditions: the conditions of ``where``.
        excluded: the ids of ``exclude_items``.

    Raises:
        UserError: for a date that cannot be read, a start after the end, a malformed condition, or
            a file of ids that cannot be read.
    """

    @dataclass(frozen=True)
    class Config:
        """Options of `Filters`.

        Attributes:
            max_bad_rows: share of bad rows above which nothing is prepared; 1 allows all.
            event_types: events of other types are dropped; null for all.
            min_rating: events with a lower rating or none are dropped; null for off.
            start: earlier events are dropped: ISO 8601, UTC if no zone is given; null for off.
            end: events at or after it are dropped; null for off.
            window: only events of this long before the newest one that the options above keep, in
                days (``90d``) or weeks (``12w``), are kept; null for off.
            where: conditions on columns, all of which must hold, e.g. ``country=France,price<50``,
                see `recsys_lab.data.columns.conditions`. Columns are those of the log, by the
                lab's names or those of the source; ``item.category`` and ``user.age`` are of the
                tables of items and users. Times are compared with ISO 8601 dates; other events,
                and those without a value, are dropped. null for off.
            exclude_items: ids of items that are dropped, such as postage and fees: a list, or a
                file with a column item_id; null for off. Ids that no event has are told.
            drop_duplicates: drop rows that repeat an earlier one in user, item, time (and order)
                and, if the log has one, event type. Without a timestamp and an order no row is a
                duplicate.
            drop_consecutive_repeats: keep only the first of a user's consecutive events with the
                same item.
            counts: which events the next three options count. ``whole``: all, as in published
                protocols, so validation and test also decide what is kept. ``training``: those the
                split trains on (for held-out users, their input): see
                `recsys_lab.data.preparation.training_filters`.
            session_gap: minutes without an event of the user that end a session; null: sessions
                are those of ``data.session_column``, if any. It drops no event.
            max_history: keep only this many latest events of each user; 0 for off.
            min_user_count: users with fewer events are dropped; 0 for off.
            min_item_count: items with fewer events are dropped; 0 for off.
            iterative: repeat the two counts until nothing changes (k-core); false: apply each
                once, items first, so dropping users may leave items below their minimum.
            sample_users: keep only this many users, for smoke tests: a fixed sample of those that
                all other filters keep, whose items may have fewer than ``min_item_count`` events;
                null: all.
            catalogue: which items can be recommended. ``events``: those with an event after the
                filters. ``table``: also all others of the source's table of items, for models that
                read its columns or texts.
        """

        max_bad_rows: Annotated[float, Ge(0), Le(1)] = field(default=1.0, kw_only=True)
        event_types: list[str] | None
        min_rating: float | None
        start: str | None
        end: str | None
        window: str | None = field(default=None, kw_only=True)
        where: str | None = field(default=None, kw_only=True)
        exclude_items: list[str | int] | str | None = field(default=None, kw_only=True)
        drop_duplicates: bool
        drop_consecutive_repeats: bool
        counts: Literal["whole", "training"] = field(default="whole", kw_only=True)
        session_gap: Annotated[float, Gt(0)] | None = field(default=None, kw_only=True)
        max_history: Annotated[int, Ge(0)]
        min_user_count: Annotated[int, Ge(0)]
        min_item_count: Annotated[int, Ge(0)]
        iterative: bool
        sample_users: Annotated[int, Ge(2)] | None = field(default=None, kw_only=True)
        catalogue: Literal["events", "table"] = field(default="events", kw_only=True)

    def __init__(self, config: Config) -> None:
        self.config = config
        self._start = _seconds("start", config.start)
        self._end = _seconds("end", config.end)
        if config.window is not None:
            window_seconds("filter.window", config.window)
        self.conditions = [parse_condition(text, "filter.where") for text in parts_of(config.where)]
        excluded = config.exclude_items
        self.excluded = () if excluded is None else excluded_ids(excluded)
        if self._start is not None and self._end is not None and self._start >= self._end:
            raise UserError(
                f"filter.start={config.start} is not before filter.end={config.end}: no event "
                "would be left"
            )

    def settings(self) -> dict[str, Any]:
        """What is recorded in the manifest and the protocol fingerprint.

        Without the options of `_OLDER` at those values: they are newer. ``exclude_items`` are the
        ids, also if they are in a file.
        """
        settings = asdict(self.config)
        del settings["max_bad_rows"]
        if self.config.where is not None:
            settings["where"] = ",".join(condition.text for condition in self.conditions)
        if self.config.exclude_items is not None:
            settings["exclude_items"] = recorded(self.excluded)
        for option, older in _OLDER.items():
            if settings[option] == older:
                del settings[option]
        return settings

    def rules(self, columns: Collection[str]) -> list[Rule]:
        """The rules for single rows.

        Args:
            columns: of the log.

        Raises:
            UserError: if the log lacks a column that a setting needs.
        """
        config = self.config
        rules = []
        if config.event_types is not None:
            _require("event_type", columns, f"event_types={config.event_types}")
            kind = nw.col("event_type")
            rules += [
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
            rules += [
                Rule("rating", "missing or unreadable rating", rating.is_null() | rating.is_nan()),
                Rule("rating", f"rating below {config.min_rating:g}", rating < config.min_rating),
            ]
        if config.window is not None:
            _require("timestamp", columns, f"window={config.window}")
        for option, limit, word in (("start", self._start, "before"), ("end", self._end, "from")):
            if limit is None:
                continue
            text = getattr(config, option)
            _require("timestamp", columns, f"{option}={text}")
            time = nw.col("timestamp")
            fails = time < limit if option == "start" else time >= limit
            reason = f"{word} {text}{' on' if option == 'end' else ''}"
            rules.append(Rule("dates", reason, fails))
        return rules


def _seconds(option: str, text: str | None) -> int | None:
    """Seconds since the epoch of a date."""
    return None if text is None else int(parse_date(f"filter.{option}", text).timestamp())


def _require(column: str, columns: Collection[str], setting: str) -> None:
    if column not in columns:
        atomic = {"rating": "rating_field", "timestamp": "time_field"}.get(column)
        also = f" (data=recbole: data.{atomic})" if atomic is not None else ""
        raise UserError(
            f"filter.{setting}: this log has no {column}. Name its column with "
            f"data.{column}_column{also} if the source has one, or set the filter to null"
        )
