"""The raw data that a reader returns to the pipeline."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

from recsys_lab.config import UserError

if TYPE_CHECKING:
    import narwhals as nw
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

FeatureType = Literal["categorical", "numeric", "text", "list"]
"""How a column is encoded: see `recsys_lab.data.features.encode`."""

PART = "_part"
"""Column of `RawData.interactions` with a row's part in a published split: 0 train, 1 validation, 2
test, int8."""

ONLY_WITH = "only with"
"""Key of a field's metadata: the name of another option. A newer option with it is left out of the
identity of a source at its default, and where the other option is null."""

SEPARATOR = "|"
"""Separates the values of a list that is written as text."""

RUNS = ("session", "basket")
"""Optional columns of the log that group events of a user."""

OWN = {
    "item": ("item", "item_id"),
    "user": ("user", "user_id"),
    "event": ("user", "item", "user_id", "item_id", "timestamp", "order", "row"),
}
"""Column names that the lab reserves, by side; features cannot have them."""


def free_name(name: str, used: Collection[str]) -> str:
    """``name_raw``, with more ``_raw`` while it is in use."""
    name = f"{name}_raw"
    while name in used:
        name = f"{name}_raw"
    return name


@dataclass(frozen=True)
class ParquetLog:
    """A log in Parquet files, which the engine scans without a copy.

    Attributes:
        files: local paths or URLs, in the order of the log.
        columns: column of `RawData.interactions` -> expression over the files' columns, which
            every engine can run.
    """

    files: tuple[str, ...]
    columns: Mapping[str, nw.Expr]


@dataclass(frozen=True)
class Features:
    """Names and types of the columns that models may read besides ids and times.

    Attributes:
        items: columns of `RawData.items`.
        users: columns of `RawData.users`.
        events: columns of `RawData.interactions`.

    Raises:
        UserError: a name is in `OWN`.
    """

    items: Mapping[str, FeatureType] = field(default_factory=dict)
    users: Mapping[str, FeatureType] = field(default_factory=dict)
    events: Mapping[str, FeatureType] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for side, kinds in (("item", self.items), ("user", self.users), ("event", self.events)):
            for name in kinds:
                if name in OWN[side]:
                    raise UserError(
                        f"data.{side}_features.{name}: a prepared dataset has a column of this "
                        "name itself; give the source's column another name"
                    )


class FromLog(NamedTuple):
    """A column of items or users whose values are in the rows of the log.

    An item has one value: see `recsys_lab.data.features.first_values`.

    Attributes:
        present: column of `RawData.interactions` with whether a row has a value, bool.
        values: rows of the log, numbered from 0 through all its files, ascending -> their values.
    """

    present: str
    values: Callable[[NDArray[np.int64]], pl.Series]


class LogColumn(NamedTuple):
    """A column of `RawData.interactions` that conditions may name otherwise.

    Attributes:
        name: of the column.
        is_time: whether it holds seconds since the epoch.
        as_numbers: the override by which a column of text is read as numbers, for messages; empty
            if there is none.
    """

    name: str
    is_time: bool = False
    as_numbers: str = ""


class Unreadable(NamedTuple):
    """Values of a numeric column that could not be parsed and count as missing.

    Attributes:
        rows: number of such values.
        first: the first one, as written in the source.
        place: its row, readable.
    """

    rows: int
    first: str
    place: str


@dataclass(frozen=True)
class About:
    """Licence, citation and caveats of a published dataset.

    Attributes:
        title: full name.
        homepage: official address.
        licence: the terms in one sentence.
        citation: the publication to cite.
        notes: pitfalls of its protocol, one sentence each.
    """

    title: str
    homepage: str
    licence: str
    citation: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class RawData:
    """The raw log and what is known about users and items.

    Attributes:
        interactions: rows in file order with ``user_id`` and ``item_id`` (int64 or strings;
            null or blank where missing) and, optionally, ``timestamp`` (seconds since the epoch,
            int64; null if unreadable), ``order`` (int64, null likewise), ``event_type`` (string),
            `RUNS` (integers or strings), ``rating``, ``price``, ``quantity`` (float64), and the
            columns of ``features.events``. A lazy frame must keep its order when collected.
            Events of a user are sorted by `PART` (if present), timestamp, order, file order.
        items: ``item_id`` and optional columns such as ``title``; or None.
        users: ``user_id`` and optional columns; or None.
        dropped: reason -> number of source rows that are not in ``interactions``.
        unreadable: column -> its values that are not numbers; columns of items and users are named
            ``items.column`` and ``users.column``.
        truth_path: file with the process of a synthetic reader, or None.
        features: columns to encode.
        about: licence and citation of a published dataset, or None.
        warnings: oddities of the source, one readable sentence each; stored in the manifest.
        describe_rows: rows of the source, numbered from 0 through all its files, ascending -> the
            text of each as written there; None: rows are described by ``interactions``.
        normalizes_ids: whether the reader has the option ``id_normalization``.
        part_rows: number of rows of each part, for a source with `PART`; else None.
        drops_returns: whether rows with a negative ``quantity`` are dropped, as returns.
        aliases: further names that ``filter.where`` may use -> the column of ``interactions``;
            one that begins with an underscore has no other name.
        from_log: ``item`` or ``user`` -> column -> how it is read from the log; such a side has no
            table.
    """

    interactions: pl.DataFrame | pl.LazyFrame | ParquetLog
    items: pl.DataFrame | None = None
    users: pl.DataFrame | None = None
    dropped: Mapping[str, int] | None = None
    unreadable: Mapping[str, Unreadable] = field(default_factory=dict)
    truth_path: Path | None = None
    features: Features = Features()
    about: About | None = None
    warnings: Sequence[str] = ()
    normalizes_ids: bool = False
    describe_rows: Callable[[NDArray[np.int64]], list[str]] | None = None
    from_log: Mapping[str, Mapping[str, FromLog]] = field(default_factory=dict)
    part_rows: Mapping[str, int] | None = None
    drops_returns: bool = False
    aliases: Mapping[str, LogColumn] = field(default_factory=dict)


class Reader(Protocol):
    """A source of interactions; everything after `read_raw` is shared by all sources."""

    @property
    def config(self) -> Any:
        """The reader's options; fields named ``path``, ``*_path`` and ``*_dir`` are locations.

        Content is identified by `source_key`, not by locations.
        """
        ...

    def source_key(self) -> dict[str, Any]:
        """Identity of the source's content, JSON-compatible and equal on every machine."""
        ...

    def read_raw(self, scratch: Path) -> RawData:
        """Read the source.

        Args:
            scratch: an empty folder for data larger than memory, e.g. Parquet files that
                ``interactions`` scans; removed after the preparation.

        Raises:
            UserError: the source is absent, damaged or not of the expected form.
        """
        ...
