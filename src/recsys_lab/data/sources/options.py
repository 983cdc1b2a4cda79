"""Options that several sources have, each documented once. No heavy import: read at every start."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Type = Literal["categorical", "numeric", "text", "list"]


@dataclass(frozen=True)
class SpellingOptions:
    """How values are written.

    Attributes:
        missing_values: words that stand for a missing value, in small or capital letters; null:
            NULL, None, NaN, NA, N/A, <NA>, #N/A, backslash-N and -. What is met is told.
        id_normalization: differences in spelling that tell no ids apart: blanks, case, unicode
            (NFKC), decimal (100.0 is 100). Those that are met are told.
        decimal_comma: whether numbers that are text are written 1.234,5: prices, ratings,
            features; not times.
    """

    missing_values: list[str] | None = field(default_factory=list, kw_only=True)
    id_normalization: list[Literal["blanks", "case", "unicode", "decimal"]] = field(
        default_factory=list, kw_only=True
    )
    decimal_comma: bool = field(default=False, kw_only=True)


@dataclass(frozen=True)
class ColumnOptions(SpellingOptions):
    """Which columns of a log mean what.

    Attributes:
        user_column: who; integers or strings.
        item_column: what; integers or strings.
        timestamp_column: when: numbers, dates or datetimes; null where there is none. Values of no
            such form are dropped and counted, as are years outside 1 to 9999.
        timestamp_unit: of numbers; auto: by their size.
        timestamp_format: of text and whole numbers, as in strptime, e.g. %Y%m%d; null: numbers or
            ISO 8601, what most are.
        order_column: the place in the user's history, integers; alone it replaces the timestamp,
            beside one it orders events of the same time. With neither, events are in the source's
            order.
        event_type_column: what happened, such as view or purchase; null where all are alike.
        part_column: of a published split, for split=given, the part of every row: train(ing),
            valid(ation), val or dev, test, in small or capital letters; null for none.
        session_column: which visit the event belongs to; null for none. See
            `recsys_lab.data.preparation.event_units`.
        basket_column: which order or receipt the event belongs to; null for none. Without one the
            events of a user at one time are a basket.
        rating_column: how much it was liked, a number; null for none.
        price_column: what one piece cost; null for none.
        quantity_column: how many pieces; null for none.
        event_features: further columns of the log and their types, e.g.
            ``+data.event_features.colour=categorical``.
        item_features: columns of the table of items or, without one, of the log, and their types.
            Of the log the value in an item's first training event that has one counts, first in
            time; an item without one has a missing value. Text of type list is split at ``|`` where
            any value of the column holds one, else at blanks.
        user_features: the same of the users.
        title_column: item title for people to read: a column of the table of items or, without
            one, of the log; null for none.
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
    event_features: dict[str, Type]
    item_features: dict[str, Type]
    user_features: dict[str, Type]
    title_column: str | None


@dataclass(frozen=True)
class DownloadOptions:
    """Where the files of a published dataset are.

    Attributes:
        path: the official file or archive, also unpacked, or the folder that holds it; null:
            download.
        download_dir: where downloaded files are kept.
        sha256: of the downloaded file, checked where it is given, beside a published MD5.
    """

    path: str | None
    download_dir: str
    sha256: str | None
