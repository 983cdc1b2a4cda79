"""Options shared by several sources."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from recsys_lab.data.columns.id_spellings import Difference
from recsys_lab.data.raw import ONLY_WITH, FeatureType


@dataclass(frozen=True)
class SpellingOptions:
    """How values are written.

    Attributes:
        missing_values: words that mean a missing value, ignoring case; null: NULL, None, NaN, NA,
            N/A, <NA>, #N/A, backslash-N and -. A warning lists those that occur.
        id_normalization: differences in spelling to ignore in ids: blanks, case, unicode (NFKC),
            decimal (100.0, as pandas writes a column with gaps, is 100), zeros (00042 is 42). A
            warning lists those that occur.
        decimal_comma: whether numbers in text are written 1.234,5: prices, ratings, features; not
            times.
    """

    missing_values: list[str] | None = field(default_factory=list, kw_only=True)
    id_normalization: list[Difference] = field(default_factory=list, kw_only=True)
    decimal_comma: bool = field(default=False, kw_only=True)


@dataclass(frozen=True)
class ColumnOptions(SpellingOptions):
    """The meaning of the columns of a log.

    Attributes:
        user_column: user ids; integers or strings.
        item_column: item ids; integers or strings.
        timestamp_column: times: numbers, dates or datetimes; null for none. Rows whose time cannot
            be read or lies outside the years 1 to 9999 are dropped and counted.
        timestamp_unit: unit of numbers; auto: inferred from their size.
        timestamp_format: format of text and whole numbers, as in strptime, e.g. %Y%m%d; null:
            numbers or ISO 8601, whichever fits more values.
        order_column: position in the user's history, integers; it replaces the timestamp, or
            orders events with the same one. With neither, events keep the order of the source.
        event_type_column: type of event, such as view or purchase; null for none.
        part_column: part of a published split, for split=given: train(ing), valid(ation), val or
            dev, test, ignoring case; null for none.
        session_column: id of the session; null for none. See
            `recsys_lab.data.preparation.event_units`.
        basket_column: id of the order or receipt; null for none: the events of a user at one time
            are then a basket.
        rating_column: rating, a number; null for none.
        price_column: price of one piece; null for none.
        quantity_column: number of pieces; null for none.
        keep_returns: whether rows with a negative quantity are events, too. false: they are
            returns, which are dropped and counted; the purchases that they undo are kept.
        event_features: further columns of the log and their types, e.g.
            ``+data.event_features.colour=categorical``.
        item_features: columns of the table of items or, without one, of the log, and their types.
            From the log, an item gets the value of its first training event (in time) that has
            one, else a missing value. Text of type list is split at ``|`` if any value of the
            column has one, else at blanks.
        user_features: likewise for users.
        title_column: readable title of an item: a column of the table of items or, without one,
            of the log; null for none.
    """

    user_column: str
    item_column: str
    timestamp_column: str | None
    timestamp_unit: Literal["auto", "s", "ms", "us", "ns"]
    timestamp_format: str | None
    order_column: str | None
    event_type_column: str | None
    part_column: str | None = field(default=None, kw_only=True)
    session_column: str | None = field(default=None, kw_only=True)
    basket_column: str | None = field(default=None, kw_only=True)
    rating_column: str | None
    price_column: str | None
    quantity_column: str | None
    keep_returns: bool = field(default=True, kw_only=True, metadata={ONLY_WITH: "quantity_column"})
    event_features: dict[str, FeatureType]
    item_features: dict[str, FeatureType]
    user_features: dict[str, FeatureType]
    title_column: str | None


@dataclass(frozen=True)
class DownloadOptions:
    """Where the files of a published dataset are.

    Attributes:
        path: the official file or archive, also unpacked, or the folder that holds it; null:
            download it.
        download_dir: folder for downloaded files.
        sha256: expected hash of the downloaded file, checked in addition to a published MD5; null
            for none.
    """

    path: str | None
    download_dir: str
    sha256: str | None
