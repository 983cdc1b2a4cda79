"""A prepared dataset as polars frames with raw ids."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import polars as pl

from recsys_lab.api.arguments import folder_of, require_one_of
from recsys_lab.config.commands import Verify
from recsys_lab.contracts import LIST
from recsys_lab.data.preparation.manifest import PREPARE_AGAIN
from recsys_lab.data.prepared import PHASES, PreparedDataset
from recsys_lab.data.splits.ranges import flat_index
from recsys_lab.files.reading import read_parquet

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Part = Literal["train", "validation", "test"]


class Dataset:
    """Users, items and events of a prepared dataset.

    Args:
        prepared: the dataset as flat arrays of indices.

    Attributes:
        prepared: likewise, for code that makes batches.
    """

    def __init__(self, prepared: PreparedDataset) -> None:
        self.prepared = prepared

    def __repr__(self) -> str:
        """Name and sizes."""
        data = self.prepared
        return (
            f"<Dataset {data.manifest['name']}: {data.num_users:,} users, {data.num_items:,} "
            f"items, {data.num_interactions:,} events>"
        )

    @property
    def path(self) -> Path:
        """Its folder."""
        return self.prepared.path

    @property
    def items(self) -> pl.DataFrame:
        """``item_id``, ``title`` where known, and every other column of the items.

        In the order of the catalogue, like `Run.item_vectors`.
        """
        table = read_parquet(self.path / "items.parquet", PREPARE_AGAIN).drop("item", strict=False)
        titles = self.prepared.item_titles()
        return table if titles is None else table.with_columns(title=pl.Series(titles))

    @property
    def users(self) -> pl.DataFrame:
        """``user_id`` and every other column of the users."""
        return read_parquet(self.path / "users.parquet", PREPARE_AGAIN).drop("user", strict=False)

    def events(self, part: Part | None = None) -> pl.DataFrame:
        """Events with ``user_id``, ``item_id`` and, where known, ``timestamp`` (seconds, UTC).

        Args:
            part: ``train`` for the training events, ``validation`` or ``test`` for the held-out
                targets. None for every event of the log, with a column ``part``, which is null for
                events in none of the three (e.g. those that are only in histories).

        Raises:
            UserError: there is no such part.
        """
        require_one_of("part", part, (*PHASES, None))
        if part is not None:
            return self._frame(self._indices(part))
        parts = np.full(self.prepared.num_interactions, -1)
        for number, name in enumerate(PHASES):
            parts[self._indices(name)] = number
        names = pl.Series("part", parts).replace_strict(dict(enumerate(PHASES)), default=None)
        return self._frame(np.arange(len(parts))).with_columns(names)

    def histories(self, part: Literal["validation", "test"]) -> pl.DataFrame:
        """The events that the targets of a part are predicted from, as input of `Run.recommend`.

        Where users have several lists of targets (``split.target=successive``), a column ``list``
        numbers their histories from 0.

        Raises:
            UserError: there is no such part, or it has no targets (``train``).
        """
        require_one_of("part", part, PHASES[1:])
        users, starts, ends, _ = np.asarray(self.prepared.segments(part)).T
        frame = self._frame(flat_index(starts, ends))
        first = np.searchsorted(users, users)
        numbers = np.arange(len(users)) - first
        if numbers.any():
            column = pl.Series(np.repeat(numbers, ends - starts), dtype=pl.Int32)
            frame = frame.with_columns(column.alias(LIST))
        return frame

    def _indices(self, part: str) -> NDArray[np.int64]:
        if part == "train":
            _, starts, ends = np.asarray(self.prepared.segments(part)).T
            return flat_index(starts, ends)
        return self.prepared.target_ranges(part)

    def _frame(self, events: NDArray[np.int64]) -> pl.DataFrame:
        data = self.prepared
        users = np.searchsorted(data.offsets, events, side="right") - 1
        columns = {
            "user_id": pl.Series(data.user_ids()).gather(users),
            "item_id": pl.Series(data.item_ids()).gather(data.items[events]),
        }
        if data.timestamps is not None:
            columns["timestamp"] = pl.Series(data.timestamps[events])
        return pl.DataFrame(columns)


def dataset(folder: Path | str, *, verify: Verify = "full") -> Dataset:
    """Open a prepared dataset; see also `Run.dataset`.

    Args:
        folder: of the dataset, made by `recsys-lab prepare` or `recsys-lab train` in ``prepared/``.
        verify: ``full`` compares every file with its SHA-256, ``sizes`` only the file sizes.

    Raises:
        UserError: there is no usable prepared dataset, or ``verify`` is invalid.
    """
    require_one_of("verify", verify, get_args(Verify))
    return Dataset(PreparedDataset(folder_of("dataset", folder), verify))
