"""The two logs that are compared: a prepared dataset, that of a run, or a file of events.

Shapes: U users, V items, T events sorted by user, then by time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import polars as pl

from recsys_lab.config import UserError
from recsys_lab.data.features.store import Lists
from recsys_lab.data.preparation.manifest import MANIFEST
from recsys_lab.data.prepared import PreparedDataset
from recsys_lab.experiment.restore import prepared_of
from recsys_lab.files.faults import reason
from recsys_lab.runs.find import whole_record
from recsys_lab.runs.record import RECORD

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from recsys_lab.config.commands import Verify
    from recsys_lab.data.raw import FeatureType

RESERVED = ("(missing)", "(not in training)")
"""Names of the codes of a prepared column that are not a value."""

DAY = 86_400


@dataclass(frozen=True)
class Column:
    """The values of a feature by the rows of its side.

    Attributes:
        values: codes, or numbers (NaN: missing), one per row; of a list, of all rows end to end.
        names: of the codes; empty for numbers.
        offsets: of a list column: row r has ``values[offsets[r]:offsets[r + 1]]``.
    """

    values: NDArray[Any]
    names: list[str] = field(default_factory=list)
    offsets: NDArray[np.int64] | None = None


@dataclass(frozen=True)
class EventLog:
    """One log as flat arrays.

    Attributes:
        path: as given.
        kind: where it came from.
        user_ids: raw ids, (U,).
        item_ids: raw ids, (V,).
        items_T: item of every event.
        users_T: user of every event, ascending.
        times_T: seconds since the epoch, or None.
        kinds: ``side.column`` -> type of every feature.
        notes: what a reader should know about the log.
        fingerprint: of the content, where it is prepared.
        settings: of the preparation: filters; None for a file.
        columns: the features of a file; those of a prepared dataset are read from it.
        prepared: the dataset, or None for a file.
        titles: of the items, or None.
    """

    path: str
    kind: Literal["prepared", "run", "file"]
    user_ids: pl.Series
    item_ids: pl.Series
    items_T: NDArray[np.int64]
    users_T: NDArray[np.int64]
    times_T: NDArray[np.int64] | None
    kinds: Mapping[str, FeatureType]
    notes: tuple[str, ...] = ()
    fingerprint: str | None = None
    settings: Mapping[str, Any] | None = None
    columns: Mapping[str, Column] = field(default_factory=dict)
    prepared: PreparedDataset | None = None
    titles: list[str] | None = None

    def column(self, name: str) -> Column:
        """The feature ``side.column``; not for texts, which have no codes."""
        if self.prepared is None:
            return self.columns[name]
        stored = self.prepared.features.column(name)
        if self.kinds[name] == "numeric":
            return Column(np.asarray(stored))
        names = [*RESERVED, *map(str, self.prepared.features.values(name))]
        if isinstance(stored, Lists):
            return Column(np.asarray(stored.codes), names, np.asarray(stored.offsets))
        return Column(np.asarray(stored), names)

    @property
    def span(self) -> tuple[int, int] | None:
        """First and last time."""
        if self.times_T is None or not len(self.times_T):
            return None
        return int(self.times_T.min()), int(self.times_T.max())


@dataclass(frozen=True)
class Part:
    """The events of a log that are compared.

    Attributes:
        rows_T: their indices in the log.
        users_T: index of their user among ``users``.
        items_T: item of the log.
        times_T: or None.
        users: the users of the log that have one.
    """

    rows_T: NDArray[np.int64]
    users_T: NDArray[np.int64]
    items_T: NDArray[np.int64]
    times_T: NDArray[np.int64] | None
    users: NDArray[np.int64]


def part_of(log: EventLog, days: float | None) -> Part:
    """The events of the last days of a log, or all of them."""
    rows_T = np.arange(len(log.items_T))
    if days is not None and log.times_T is not None and len(rows_T):
        rows_T = np.flatnonzero(log.times_T > log.times_T.max() - days * DAY)
    users, users_T = np.unique(log.users_T[rows_T], return_inverse=True)
    times = None if log.times_T is None else log.times_T[rows_T]
    return Part(rows_T, users_T, log.items_T[rows_T], times, users)


def open_prepared(path: str, verify: Verify) -> EventLog | None:
    """The dataset of a folder, of its own or of a run; None if it is neither.

    Raises:
        UserError: it does not exist, or is damaged.
    """
    folder = Path(path)
    try:
        if not folder.exists():
            near = sorted(str(file.parent) for file in Path().glob(f"prepared/*/{MANIFEST}"))
            known = f" Prepared here: {', '.join(near[:5])}." if near else ""
            raise UserError(
                f"{path}: does not exist; expected a prepared dataset (a folder below prepared/), "
                f"a run directory, or, for NEW, a file of events.{known}"
            )
        if (folder / RECORD).exists():
            return _from_prepared(path, "run", prepared_of(whole_record(folder), verify))
        if (folder / MANIFEST).exists():
            return _from_prepared(path, "prepared", PreparedDataset(folder, verify))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({reason(error)})") from None
    return None


def _from_prepared(path: str, kind: Literal["prepared", "run"], data: PreparedDataset) -> EventLog:
    lengths = np.diff(data.offsets)
    times = None if data.timestamps is None else np.asarray(data.timestamps)
    return EventLog(
        path=path,
        kind=kind,
        user_ids=pl.Series(data.user_ids()),
        item_ids=pl.Series(data.item_ids()),
        items_T=np.asarray(data.items, dtype=np.int64),
        users_T=np.repeat(np.arange(data.num_users), lengths),
        times_T=times,
        kinds={name: data.features.entry(name)["type"] for name in data.features.names()},
        fingerprint=data.fingerprint,
        settings=data.manifest["settings"]["filter"],
        prepared=data,
        titles=data.item_titles(),
    )
