"""What a reader hands to the pipeline."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

from recsys_lab.config import UserError

if TYPE_CHECKING:
    from pathlib import Path

    import narwhals as nw
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

FeatureType = Literal["categorical", "numeric", "text", "list"]
"""How a column is encoded: see `recsys_lab.data.features.encode`."""

PART = "_part"
"""Column of `RawData.interactions` with the part of a published split that a row is in: 0 train, 1
validation, 2 test, int8."""

SEPARATOR = "|"
"""Between the values of a list that is written as text."""

RUNS = ("session", "basket")
"""Columns of the log that say which events of a user belong together, where it has them."""

OWN = {
    "item": ("item", "item_id"),
    "user": ("user", "user_id"),
    "event": ("user", "item", "user_id", "item_id", "timestamp", "order", "row"),
}
"""Columns of the lab itself, by side: no feature can have their names."""


def free_name(name: str, taken: Collection[str]) -> str:
    """``name_raw``, or what else is not taken."""
    found = f"{name}_raw"
    while found in taken:
        found = f"{found}_raw"
    return found


@dataclass(frozen=True)
class ParquetLog:
    """A log that lies in Parquet files: the engine scans them itself, without a copy.

    Attributes:
        files: local paths or URLs; the log's order is theirs, then that of their rows.
        columns: name of a column of `RawData.interactions` -> what makes it from the files'
            columns. The expressions run on every engine.
    """

    files: tuple[str, ...]
    columns: Mapping[str, nw.Expr]


@dataclass(frozen=True)
class Features:
    """The columns that models may read besides ids and times, by name.

    Attributes:
        items: columns of `RawData.items`.
        users: columns of `RawData.users`.
        events: columns of `RawData.interactions`.

    Raises:
        UserError: for a name in `OWN`.
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
    """A column of items or users whose values stand in the rows of the log.

    An item has one value: see `recsys_lab.data.features.first_values`.

    Attributes:
        present: column of `RawData.interactions` that tells whether a row has a value, bool.
        values: rows of the log, counted from 0 through all its files, ascending -> their values.
    """

    present: str
    values: Callable[[NDArray[np.int64]], pl.Series]


class Unreadable(NamedTuple):
    """Values of a column of numbers that are none, and count as missing.

    Attributes:
        rows: how many.
        first: the first of them, as it stands there.
        place: its row, for people.
    """

    rows: int
    first: str
    place: str


@dataclass(frozen=True)
class About:
    """What people must know of a published dataset.

    Attributes:
        title: its full name.
        homepage: its official address.
        licence: the terms in one sentence.
        citation: whom to cite.
        notes: traps of its protocol, one sentence each.
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
            null or blank where missing) and, where there are, ``timestamp`` (seconds since the
            epoch, int64; null where it could not be read), ``order`` (int64, null likewise),
            ``event_type`` (string), `RUNS` (integers or strings), ``rating``, ``price``,
            ``quantity`` (float64), and the columns of ``features.events``. A lazy frame must keep
            its order when collected. Events of a user are put in order by `PART` (where there is
            one), then timestamp, then order, then file order.
        items: ``item_id`` and optional columns such as ``title``; or None.
        users: ``user_id`` and optional columns; or None.
        dropped: rows of the source that are not in ``interactions``, by reason.
        unreadable: column -> its values that are no numbers; for columns of items and users the
            name is ``items.column`` or ``users.column``.
        truth_path: where a synthetic reader stored its process, or None.
        features: the columns that are encoded.
        about: of a published dataset, or None.
        warnings: what is odd about the source, a sentence each, for people and the manifest.
        describe_rows: rows of the source, counted from 0 through all its files, ascending -> the
            text of each, as written there; None: what ``interactions`` has of them is shown.
        normalizes_ids: whether the reader has the option ``id_normalization``.
        part_rows: of a source with `PART`, the rows of each part; else None.
        from_log: ``item`` or ``user`` -> column -> how it is taken from the log; such a side has no
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


class Reader(Protocol):
    """A source of interactions; everything after `read_raw` is shared by all sources."""

    @property
    def config(self) -> Any:
        """The reader's dataclass; fields named ``path``, ``*_path`` and ``*_dir`` are places.

        Places do not tell one content from another; `source_key` does.
        """
        ...

    def source_key(self) -> dict[str, Any]:
        """Identity of the source's content, ready for JSON, equal on every machine."""
        ...

    def read_raw(self, scratch: Path) -> RawData:
        """Read the source.

        Args:
            scratch: an empty folder for what does not fit into memory, e.g. Parquet files that
                ``interactions`` scans; removed when the dataset is prepared.

        Raises:
            UserError: when it is absent, damaged or not of the expected form.
        """
        ...
