"""A prepared dataset on disk: flat memory-mapped arrays, tables, manifest.

Shapes: U users, V items, T events laid end to end by user, n rows of a phase.
"""

from __future__ import annotations

from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
        folder: of the dataset.
        problem: what is wrong, and with which file.
    """

    def __init__(self, folder: Path, problem: str) -> None:
        super().__init__(f"{folder} is not a usable prepared dataset: {problem}{PREPARE_AGAIN}")
        self.problem = problem


class PreparedDataset:
    """What training and evaluation read.

    Args:
        path: a folder that `recsys_lab.data.prepare.prepare` made.
        verify: ``full`` reads every file and compares its SHA-256 with the manifest's; ``sizes``
            looks at the lengths alone, for who has just checked them.

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
        sessions: place of the first event of every session, ascending, int64; None: not known.
        dropped_targets: places among the targets that are none, int64, ascending; mostly empty.
        features: encoded columns of items, users and events.

    Raises:
        NotWhole: when the folder is absent, incomplete, damaged or of another schema version.
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
        self._opened = self._seen()
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
        """Look again at files that somebody wrote to since they were opened.

        What was removed meanwhile is still mapped, and counts as whole.

        Raises:
            NotWhole: their content is no longer what was prepared.
        """
        noted = self.manifest["files"]
        now = self._seen()
        changed = {name: noted[name] for name, seen in now.items() if seen != self._opened[name]}
        problem = damage(self.path, changed, "full")
        if problem:
            raise NotWhole(self.path, f"{problem}: it was changed while this process read it")

    def _seen(self) -> dict[str, tuple[int, int, int]]:
        """By which a change of each file is known."""
        files = {name: self.path / name for name in self.manifest["files"]}
        stats = {name: file.stat() for name, file in files.items() if file.exists()}
        return {name: (s.st_ino, s.st_size, s.st_mtime_ns) for name, s in stats.items()}

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the content and the settings that shape it."""
        return str(self.manifest["fingerprint"])

    @property
    def features_fingerprint(self) -> str:
        """SHA-256 of the encoded columns of items, users and events, and of the texts."""
        return str(self.manifest["features_fingerprint"])

    def protocol_fields(self) -> dict[str, Any]:
        """What the data contributes to the protocol under which results are comparable."""
        settings = self.manifest["settings"]
        return {
            "data": self.fingerprint,
            "tie_rule": self.manifest["tie_rule"],
            "filter": settings["filter"],
            "split": settings["split"],
        }

    def segments(self, phase: str) -> NDArray[np.int64]:
        """The rows of one phase, as places in the flat arrays.

        Args:
            phase: ``"train"``: rows (user, start, end), (n, 3). ``"validation"`` or ``"test"``:
                rows (user, history start, history end, target end), (n, 4); targets are the
                events ``history end .. target end``.
        """
        if phase not in PHASES:
            raise ValueError(f"unknown phase '{phase}'; allowed: {', '.join(PHASES)}")
        if phase == "train" and self._joined is not None:
            return self._joined
        return self._map(phase)

    def with_validation(self) -> PreparedDataset:
        """The same data with the events of validation in the training part.

        For a model that is chosen already. Columns and their statistics stay those of the training
        part alone.
        """
        both = copy(self)
        both._joined = train_and_validation(self._map("train"), self._map("validation"))
        return both

    def target_ranges(self, phase: str) -> NDArray[np.int64]:
        """Places of the targets of ``validation`` or ``test`` in the flat arrays, int64 (G,)."""
        return target_ranges(np.asarray(self.segments(phase)), self.dropped_targets)[0]

    def training_item_counts(self) -> NDArray[np.int64]:
        """Events of each item in the training part, int64 (V,)."""
        _, starts, ends = self.segments("train").T
        return count_items(self.items, starts, ends, self.num_items)

    def first_event_times(self) -> NDArray[np.int64]:
        """Time of the first event of each item in any part, seconds since the epoch, (V,).

        Raises:
            UserError: the log has no times.
        """
        if self.timestamps is None:
            raise UserError(f"{self.path}: the log has no times")
        return first_times(self.items, self.timestamps, self.num_items)

    def item_times(self, column: str) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """A column of the items as seconds since the epoch, (V,), and whether it has a value.

        Raises:
            UserError: there is no such column, or no time in it.
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
        """The process that made a synthetic log; None for real data."""
        file = self.path / "truth.npz"
        if not file.exists():
            return None
        from recsys_lab.data.sources.synthetic.truth import load_truth

        return load_truth(file, len(self.items), np.asarray(self.item_ids(), dtype=np.int64))

    def item_ids(self) -> list[Any]:
        """Raw id of every item, (V,): all integers or all strings."""
        return self._column("items.parquet", "item_id")

    def user_ids(self) -> list[Any]:
        """Raw id of every user, (U,): all integers or all strings."""
        return self._column("users.parquet", "user_id")

    def item_titles(self) -> list[str] | None:
        """Title of every item, (V,), the raw id where it has none; None without titles."""
        table = read_parquet(self.path / "items.parquet", PREPARE_AGAIN)
        if "title" not in table.columns:
            return None
        title = pl.col("title")
        if table.schema["title"] == pl.List(pl.String):  # a list of words
            title = title.list.join(" ")
        titles = pl.coalesce(title.cast(pl.String), pl.col("item_id").cast(pl.String))
        return table.select(titles).to_series().to_list()

    def _column(self, file: str, name: str) -> list[Any]:
        return read_parquet(self.path / file, PREPARE_AGAIN, [name])[name].to_list()
