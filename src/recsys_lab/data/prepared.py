"""A prepared dataset on disk: flat memory-mapped arrays, tables, manifest.

Shapes: U users, V items, T events concatenated by user, n rows of a phase.
"""

from __future__ import annotations

from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys_lab.config import UserError, did_you_mean
from recsys_lab.config.commands import Verify
from recsys_lab.data.columns.timestamps import parse_times
from recsys_lab.data.features.store import FeatureStore
from recsys_lab.data.formats.npy import map_npy
from recsys_lab.data.preparation.manifest import MANIFEST, PREPARE_AGAIN, read_manifest
from recsys_lab.data.splits.cold_start import target_ranges, train_and_validation
from recsys_lab.data.splits.ranges import count_items, first_times
from recsys_lab.files.digests import damage
from recsys_lab.files.reading import read_parquet, reading

if TYPE_CHECKING:
    from recsys_lab.contracts import GroundTruth

PHASES = ("train", "validation", "test")


class NotWhole(UserError):
    """A prepared dataset is absent, incomplete or of another schema version.

    Args:
        folder: the dataset.
        problem: the file and what is wrong with it.
    """

    def __init__(self, folder: Path, problem: str) -> None:
        advice = PREPARE_AGAIN
        if not (folder / MANIFEST).exists():
            advice = "; give the folder of one, or repeat the command that makes it"
        super().__init__(f"{folder} is not a usable prepared dataset: {problem}{advice}")
        self.problem = problem


class PreparedDataset:
    """A prepared dataset, as training and evaluation read it.

    Args:
        path: a folder written by `recsys_lab.data.prepare.prepare`.
        verify: ``full`` compares the SHA-256 of every file with the manifest; ``sizes`` compares
            only the lengths, for files that were just checked.

    Attributes:
        path: the folder.
        manifest: the parsed ``manifest.json``.
        num_users: U.
        num_items: V.
        num_interactions: T.
        items: item of every event, int32 (T,), memory-mapped.
        offsets: user u owns events ``offsets[u] .. offsets[u + 1]``, int64 (U + 1,).
        timestamps: seconds since the epoch of every event, int64 (T,), or None.
        is_target: which events may be targets, bool (T,); None: all.
        sessions: index of the first event of every session, ascending, int64; None: unknown.
        dropped_targets: indices of events in the target ranges that are not targets, ascending,
            int64; mostly empty.
        features: encoded columns of items, users and events.

    Raises:
        NotWhole: the folder is absent, incomplete, damaged or of another schema version.
    """

    items: NDArray[np.int32]
    offsets: NDArray[np.int64]
    timestamps: NDArray[np.int64] | None
    is_target: NDArray[np.bool_] | None
    sessions: NDArray[np.int64] | None
    dropped_targets: NDArray[np.int64]

    def __init__(self, path: Path | str, verify: Verify = "full") -> None:
        self.path = Path(path)
        manifest, problem = read_manifest(self.path, verify)
        if manifest is None:
            raise NotWhole(self.path, problem)
        self.manifest: dict[str, Any] = manifest
        self._opened = self._file_stats()
        with reading(self.path / MANIFEST, PREPARE_AGAIN):
            self._read(manifest)

    def _read(self, manifest: dict[str, Any]) -> None:
        self.num_users = int(manifest["num_users"])
        self.num_items = int(manifest["num_items"])
        self.num_interactions = int(manifest["num_interactions"])
        self.items = self._map("items")
        self.offsets = self._map("offsets")
        self.timestamps = self._map("timestamps") if manifest["has_timestamps"] else None
        self.is_target = self._map_if_there("is_target")
        self.sessions = self._map_if_there("sessions")
        self.dropped_targets = np.asarray(self._map("dropped_targets"))
        self.features = FeatureStore(self.path, manifest["features"])
        self._joined: NDArray[np.int64] | None = None

    def _map(self, name: str) -> NDArray[Any]:
        return map_npy(self.path / f"{name}.npy")

    def _map_if_there(self, name: str) -> NDArray[Any] | None:
        return self._map(name) if f"{name}.npy" in self.manifest["files"] else None

    def check(self) -> None:
        """Verify the files that were written to since they were opened.

        A removed file is still mapped, so it passes.

        Raises:
            NotWhole: the content of a file has changed.
        """
        expected, now = self.manifest["files"], self._file_stats()
        changed = {name: expected[name] for name in now if now[name] != self._opened[name]}
        problem = damage(self.path, changed, "full")
        if problem:
            raise NotWhole(self.path, f"{problem}: it was changed while this process read it")

    def _file_stats(self) -> dict[str, tuple[int, int, int]]:
        """Inode, size and modification time of every file that exists."""
        files = {name: self.path / name for name in self.manifest["files"]}
        stats = {name: file.stat() for name, file in files.items() if file.exists()}
        return {name: (s.st_ino, s.st_size, s.st_mtime_ns) for name, s in stats.items()}

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the content and of the settings that determine it."""
        return str(self.manifest["fingerprint"])

    @property
    def features_fingerprint(self) -> str:
        """SHA-256 of the encoded columns of items, users and events, and of the texts."""
        return str(self.manifest["features_fingerprint"])

    def protocol_fields(self) -> dict[str, Any]:
        """Fields that the data adds to the protocol; results with equal protocols compare."""
        settings = self.manifest["settings"]
        return {
            "data": self.fingerprint,
            "tie_rule": self.manifest["tie_rule"],
            "filter": settings["filter"],
            "split": settings["split"],
        }

    def segments(self, phase: str) -> NDArray[np.int64]:
        """The rows of one phase, as indices into the flat arrays.

        Args:
            phase: ``train``, ``validation`` or ``test``.

        Returns:
            (n, 3): user, start, end for ``train``; (n, 4): user, history start, history end,
            target end for the others, where the targets are ``history end .. target end``.
        """
        if phase not in PHASES:
            raise ValueError(f"unknown phase '{phase}'; allowed: {', '.join(PHASES)}")
        if phase == "train" and self._joined is not None:
            return self._joined
        return self._map(phase)

    def with_validation(self) -> PreparedDataset:
        """The same data with the validation events added to the training part.

        For a model that is already selected. Feature statistics are those of the training part.
        """
        both = copy(self)
        both._joined = train_and_validation(self._map("train"), self._map("validation"))
        return both

    def target_ranges(self, phase: str) -> NDArray[np.int64]:
        """Indices of the targets of ``validation`` or ``test`` in the flat arrays, int64 (G,)."""
        return target_ranges(np.asarray(self.segments(phase)), self.dropped_targets)[0]

    def training_item_counts(self) -> NDArray[np.int64]:
        """Number of training events of each item, int64 (V,)."""
        _, starts, ends = self.segments("train").T
        return count_items(self.items, starts, ends, self.num_items)

    def first_event_times(self) -> NDArray[np.int64]:
        """Time of the first event of each item in any part, seconds since the epoch, (V,).

        Raises:
            UserError: the log has no timestamps.
        """
        if self.timestamps is None:
            raise UserError(f"{self.path}: the log has no timestamps")
        return first_times(self.items, self.timestamps, self.num_items)

    def item_times(self, column: str) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """An item column as seconds since the epoch, (V,), and whether each value is present.

        Raises:
            UserError: the column is missing or does not hold times.
        """
        file = self.path / "items.parquet"
        table = read_parquet(file, PREPARE_AGAIN)
        if column not in table.columns:
            raise UserError(
                f"evaluation.release_column={column}: the items have no such column"
                f"{did_you_mean(column, table.columns)} They have: {', '.join(table.columns)}"
            )
        seconds, _ = parse_times(table[column], file)
        return seconds.fill_null(0).to_numpy(), seconds.is_not_null().to_numpy()

    def truth(self) -> GroundTruth | None:
        """The process that generated a synthetic log; None for real data."""
        file = self.path / "truth.npz"
        if not file.exists():
            return None
        from recsys_lab.data.sources.synthetic.truth import load_truth

        return load_truth(file, len(self.items), np.asarray(self.item_ids(), dtype=np.int64))

    def item_ids(self) -> list[Any]:
        """Raw id of every item, (V,): all integers or all strings."""
        return self.raw_ids("item").to_list()

    def user_ids(self) -> list[Any]:
        """Raw id of every user, (U,): all integers or all strings."""
        return self.raw_ids("user").to_list()

    def raw_ids(self, side: Literal["item", "user"]) -> pl.Series:
        """The same as a column ``item_id`` or ``user_id``, for datasets with many users."""
        name = f"{side}_id"
        return read_parquet(self.path / f"{side}s.parquet", PREPARE_AGAIN, [name])[name]

    def titles(self) -> pl.Series | None:
        """Title of every item, null where missing, (V,); None if there is no title column."""
        table = read_parquet(self.path / "items.parquet", PREPARE_AGAIN)
        if "title" not in table.columns:
            return None
        title = table["title"]
        if title.dtype == pl.List(pl.String):  # a list of words
            title = title.list.join(" ")
        return title.cast(pl.String)

    def item_titles(self) -> list[str] | None:
        """Title of every item, (V,), or its raw id if missing; None if there is no title column."""
        titles = self.titles()
        if titles is None:
            return None
        return titles.zip_with(titles.is_not_null(), self.raw_ids("item").cast(pl.String)).to_list()
